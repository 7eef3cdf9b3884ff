package framing

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// one listens for one connection.
type one struct {
	net.Conn
	taken, closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case l.taken <- struct{}{}:
		return l.Conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *one) Close() error   { return nil }
func (l *one) Addr() net.Addr { return l.LocalAddr() }

// Who is answered before its body was read may be sending still: a connection that
// is closed at once is reset, and the answer with it.
func TestWhoIsAnsweredEarlyMaySendForAMoment(t *testing.T) {
	for name, tt := range map[string]struct {
		head string
		body string // that the client sends on its own
		open bool   // for a moment
	}{
		"Expect":                               {"Expect: 100-continue\r\nContent-Length: 5000000\r\n", "x", true},
		"Expect, and chunks":                   {"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "100000\r\n" + strings.Repeat("x", 300_000), true}, // net/http reads 256 KiB of it,
		"no Expect":                            {"Content-Length: 5000000\r\n", "x", true},                                                                    // net/http's own
		"Expect, and all of the body was read": {"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\nX-Read: all\r\n", "xy", false},
		"Expect, and all of the chunks were read": {"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-Read: all\r\n", "1\r\nx\r\n0\r\n\r\n", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			l := &one{NewH1(plain{far}, Config{Header: 1 << 10}), make(chan struct{}, 1), make(chan struct{})}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Read") != "" {
					io.Copy(io.Discard, r.Body)
				}
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			})}
			go srv.Serve(l)
			defer srv.Close()
			defer close(l.closed)
			go io.WriteString(near, "POST / HTTP/1.1\r\nHost: a\r\n"+tt.head+"\r\n"+tt.body)
			in := bufio.NewReader(near)
			resp, err := http.ReadResponse(in, nil)
			for err == nil && resp.StatusCode == http.StatusContinue {
				resp, err = http.ReadResponse(in, nil)
			}
			if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Fatalf("%s: %v, %v", name, resp, err)
			}
			time.Sleep(lingerFor / 2)
			near.SetDeadline(time.Now().Add(lingerFor / 4))
			if _, err := io.WriteString(near, strings.Repeat("x", 1000)); (err != io.ErrClosedPipe) != tt.open {
				t.Errorf("%s: after a moment a write says %v", name, err)
			}
			near.SetDeadline(time.Now().Add(10 * time.Second))
			if n, err := io.Copy(io.Discard, in); n > 0 || err != nil {
				t.Errorf("%s: in the end %d bytes, %v", name, n, err)
			}
			near.Close()
		})
	}
}
