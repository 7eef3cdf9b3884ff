package origin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"meridian"
)

// A deaf connection hears nothing of what its server says once much was written,
// until a write has failed.
type deaf struct {
	net.Conn
	wrote  atomic.Int64
	failed chan struct{}
	once   sync.Once
}

const much = 32 << 10

func (d *deaf) Write(p []byte) (int, error) {
	n, err := d.Conn.Write(p)
	d.wrote.Add(int64(n))
	if err != nil {
		d.once.Do(func() { close(d.failed) })
	}
	return n, err
}

func (d *deaf) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if d.wrote.Load() > much {
		<-d.failed
	}
	return n, err
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.failed) })
	return d.Conn.Close()
}

// hasty is a server that answers, or not, when it has read a part of a request, and
// closes its connection with the rest unread: a reset follows what it said.
func hasty(t *testing.T, answer string) *url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.CopyN(io.Discard, r.Body, 2*much)
				io.WriteString(c, answer)
			}
			c.Close()
		}
	}()
	u, _ := url.Parse("http://" + l.Addr().String())
	return u
}

func deafly(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deaf{Conn: c, failed: make(chan struct{})}, nil
}

func TestWhatAnOriginAnswersEarlyIsTheAnswer(t *testing.T) {
	const text = "no more of that"
	for name, answer := range map[string]string{
		"it closes":                      fmt.Sprintf("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text),
		"it does not say that it closes": fmt.Sprintf("HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\n\r\n%s", len(text), text),
		"its end is the answer's":        "HTTP/1.1 413 Content Too Large\r\n\r\n" + text,
	} {
		c := NewCustom(CustomConfig{Name: "assets", URL: hasty(t, answer)}, deafly)
		for range 2 {
			if got, err := ask(c, "POST", "/", strings.NewReader(strings.Repeat("x", 16<<20))); err != nil || got != text {
				t.Errorf("%s: %.40q, %v", name, got, err)
			}
		}
		c.Close()
	}
}

func TestWhoEndsWithoutAnAnswerHasNotAnswered(t *testing.T) {
	c := NewCustom(CustomConfig{Name: "assets", URL: hasty(t, "")}, deafly)
	defer c.Close()
	_, err := ask(c, "POST", "/", strings.NewReader(strings.Repeat("x", 16<<20)))
	if sent, kind := sentOf(t, err); sent != MaybeSent || kind != meridian.Malformed {
		t.Errorf("%v, %v: %v", sent, kind, err)
	}
}
