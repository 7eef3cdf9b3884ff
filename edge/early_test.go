package edge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// prompt is a region that answers before it has read a body, and counts what it
// is asked.
func prompt(asked *atomic.Int64) *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, r.Method)
	}}
}

// early sends a request without its body, and returns the connection once it was
// answered.
func (w *world) early(head string) (*tls.Conn, *bufio.Reader) {
	w.t.Helper()
	https, _ := w.Addrs()
	c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, head)
	in := bufio.NewReader(c)
	w.answered(in, "PUT")
	return c, in
}

func (w *world) answered(in *bufio.Reader, want string) {
	w.t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		w.t.Fatalf("no answer for %s: %v\n%s", want, err, w.log)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != want {
		w.t.Fatalf("%q, %v; want %s", b, err, want)
	}
}

// TestAConnectionOutlivesABodyThatWasAnsweredEarly sends bodies after their
// answers, and asks once more on the same connection.
func TestAConnectionOutlivesABodyThatWasAnsweredEarly(t *testing.T) {
	for name, body := range map[string][2]string{
		"length":  {"Content-Length: 3\r\n", "abc"},
		"chunked": {"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			w := newWorld(t, []*region{prompt(&asked)})
			c, in := w.early("PUT / HTTP/1.1\r\nHost: " + domain + "\r\n" + body[0] + "\r\n")
			io.WriteString(c, body[1]+"GET / HTTP/1.1\r\nHost: "+domain+"\r\n\r\n")
			w.answered(in, "GET")
			if n := asked.Load(); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
		})
	}
}

// TestARestThatComesTooLateIsNoRequest sends the rest of a body when nobody waits
// for it any more.
func TestARestThatComesTooLateIsNoRequest(t *testing.T) {
	const late = "GET /smuggled HTTP/1.1\r\nHost: " + domain + "\r\n\r\n"
	var asked atomic.Int64
	w := newWorld(t, []*region{prompt(&asked)}, hasty(true))
	c, in := w.early(fmt.Sprintf("PUT / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", domain, len(late)))
	time.Sleep(w.cfg.Limits.Pace.Grace * 3 / 2) // as such a client does
	io.WriteString(c, late)
	rest, _ := io.ReadAll(in)
	if n := asked.Load(); n != 1 || strings.Contains(w.log.String(), "/smuggled") {
		t.Errorf("%d requests, want 1: %q\n%s", n, rest, w.log)
	}
}
