package edge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// A saw is what regions were asked.
type saw struct {
	mu    sync.Mutex
	lines []string
}

func (s *saw) region() *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/early" { // answers before it has read the body
			w.WriteHeader(202)
			return
		}
		body, err := io.ReadAll(r.Body)
		line := fmt.Sprintf("%s %s %s %q\n", r.Method, r.Host, r.RequestURI, body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
	}}
}

func (s *saw) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.lines
	s.lines = nil
	return out
}

// TestEachRequestHasOneReading sends the bytes of internal/framing/testdata/smuggling, and
// compares the statuses of all that is answered, and what a region was asked.
// Each line of input is a Go string; they are sent as they stand, together. With
// half the client then says that no more will come; with unread, only the first
// status is compared, and that nothing was smuggled.
func TestEachRequestHasOneReading(t *testing.T) {
	s := &saw{}
	w := newWorld(t, []*region{s.region()})
	datadriven.Walk(t, "../internal/framing/testdata/smuggling", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := w.answers(unquoted(t, d.Input), d.Cmd == "half")
			asked := strings.Join(s.take(), "")
			if d.Cmd == "unread" { // the edge may go on after it, or end the connection
				return strings.SplitAfter(out, "\n")[0] + map[bool]string{false: "nothing smuggled\n", true: asked}[strings.Contains(asked, "/smuggled")]
			}
			return out + asked
		})
	})
}

func unquoted(t *testing.T, input string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		text, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%q is no Go string", line)
		}
		b.WriteString(text)
	}
	return b.String()
}

// answers sends bytes and returns the statuses of all responses until the edge
// closes the connection.
func (w *world) answers(text string, half bool) (out string) {
	w.t.Helper()
	https, _ := w.Addrs()
	c, err := tls.Dial("tcp", https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, text)
	if half {
		c.CloseWrite()
	}
	raw, _ := io.ReadAll(c)
	from := bufio.NewReader(bytes.NewReader(raw))
	for {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			return out
		}
		io.Copy(io.Discard, resp.Body)
		out += strconv.Itoa(resp.StatusCode) + "\n"
	}
}
