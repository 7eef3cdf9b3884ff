package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"meridian/internal/framing"
)

// A bare client speaks HTTP/3 by hand.
type bare struct {
	*quic.Conn
	t *testing.T
}

func (w *world) bare(t *testing.T) bare {
	t.Helper()
	https, _ := w.Addrs()
	c, err := quic.DialAddr(t.Context(), https.String(), &tls.Config{RootCAs: w.roots, ServerName: domain, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	b := bare{c, t}
	control, err := c.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	control.Write([]byte{0, 4, 0}) // the control stream, and SETTINGS without any
	return b
}

// asking3 is the HEADERS frame of a GET.
func asking3(path string) []byte { return headed3("GET", path) }

// headed3 is the HEADERS frame of a request, with a header if one is given.
func headed3(method, path string, header ...string) []byte {
	var block bytes.Buffer
	e := qpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", domain}, {":path", path}} {
		e.WriteField(qpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if len(header) > 0 {
		e.WriteField(qpack.HeaderField{Name: header[0], Value: header[1]})
	}
	return frame3(1, block.Bytes())
}

// ask opens a stream, and says what is given there.
func (b bare) ask(said []byte) *quic.Stream {
	b.t.Helper()
	s, err := b.OpenStreamSync(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(10 * time.Second))
	s.Write(said)
	return s
}

// goodbyes returns the streams that GOAWAY frames name, as they come.
func (b bare) goodbyes() <-chan quic.StreamID {
	out := make(chan quic.StreamID)
	go func() {
		defer close(out)
		s, err := b.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		r := quicvarint.NewReader(bufio.NewReader(s))
		quicvarint.Read(r) // its type
		for {
			typ, err := quicvarint.Read(r)
			if err != nil {
				return
			}
			n, _ := quicvarint.Read(r)
			body := make([]byte, n)
			for i := range body {
				body[i], _ = r.ReadByte()
			}
			if typ == 7 {
				id, _, _ := quicvarint.Parse(body)
				out <- quic.StreamID(id)
			}
		}
	}()
	return out
}

// Who gives up request after request is sent away, however it is done. Controls:
// as many as a browser may give up, and others on other connections.
func TestHTTP3RapidResetEndsTheConnection(t *testing.T) {
	head := asking3("/")
	for name, ask := range map[string]func(b bare, s *quic.Stream){
		"before the head is read": func(_ bare, s *quic.Stream) { s.Write(head); s.CancelRead(0x10c); s.CancelWrite(0x10c) },
		"with a head":             func(_ bare, s *quic.Stream) { s.Write(head); s.Close(); s.CancelRead(0x10c) },
		"with half a head":        func(_ bare, s *quic.Stream) { s.Write(head[:len(head)-1]); s.Close() },
		"with trailers that are none": func(_ bare, s *quic.Stream) {
			s.Write(slices.Concat(head, frame3(1, []byte{0, 0, 0xc0 | 0x11})))
			s.Close()
		},
		"with a body and trailers that are none": func(_ bare, s *quic.Stream) {
			s.Write(slices.Concat(headed3("POST", "/"), frame3(0, []byte("x")), frame3(1, []byte{0, 0, 0xc0 | 0x11})))
			s.Close()
		},
		"with less than is announced": func(_ bare, s *quic.Stream) {
			s.Write(slices.Concat(headed3("POST", "/", "content-length", "9"), frame3(0, []byte("x"))))
			s.Close()
		},
		"with a head that is none": func(_ bare, s *quic.Stream) {
			s.Write([]byte{1, 3, 0, 0, 0xc0 | 0x11}) // :method alone
			s.Close()
		},
	} {
		w := newWorld(t, []*region{named("eu-west-1", 0)})
		good := func(b bare) {
			s := b.ask(head)
			s.Close()
			if text, err := io.ReadAll(s); err != nil || !bytes.Contains(text, []byte("eu-west-1 GET")) {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
		b, other := w.bare(t), w.bare(t)
		flood := func(n int) {
			for range n {
				s, err := b.OpenStreamSync(b.Context())
				if err != nil {
					return
				}
				ask(b, s)
			}
		}
		flood(300)
		good(b)
		if w.cuts(Cut(framing.Resets)) != 0 {
			t.Errorf("%s: cut for too few", name)
		}
		flood(100_000)
		w.until("ended", func() bool { return b.Context().Err() != nil })
		var e *quic.ApplicationError
		if errors.As(context.Cause(b.Context()), &e); e == nil || !e.Remote || e.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad) {
			t.Errorf("%s: %v", name, context.Cause(b.Context()))
		}
		w.until("counted", func() bool { return w.cuts(Cut(framing.Resets)) == 1 })
		w.until("logged", func() bool { return strings.Contains(w.log.String(), "cause=resets") })
		good(other)
	}
}

func reset3(err error, code http3.ErrCode) bool {
	var e *quic.StreamError
	return errors.As(err, &e) && e.Remote && e.ErrorCode == quic.StreamErrorCode(code)
}

// Control: with another limit the head is waited for, and what comes whole has
// no limit.
func TestHTTP3HeadThatDoesNotComeIsCut(t *testing.T) {
	for _, limit := range []time.Duration{200 * time.Millisecond, time.Minute} {
		w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Header = limit })
		b, head := w.bare(t), asking3("/")
		s := b.ask(head[:len(head)-1])
		s.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err := s.Read(make([]byte, 1))
		cut := limit < time.Second
		if got := reset3(err, http3.ErrCodeRequestIncomplete); got != cut {
			t.Errorf("limit %v: %v", limit, err)
		}
		if cut {
			w.until("counted", func() bool { return w.cuts(Cut(framing.Slow)) == 1 })
			w.until("logged", func() bool { return strings.Contains(w.log.String(), "cause=slow") })
		} else {
			s.Write(head[len(head)-1:])
		}
		whole := b.ask(head)
		if !cut {
			whole = s
			s.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		whole.Close()
		if text, err := io.ReadAll(whole); err != nil || !bytes.Contains(text, []byte("eu-west-1 GET")) {
			t.Errorf("limit %v: the connection goes on: %q, %v", limit, text, err)
		}
	}
}

// The limit of a head is none of the body and the response.
func TestHTTP3RequestMayOutliveTheLimitOfItsHead(t *testing.T) {
	const limit = 200 * time.Millisecond
	w := newWorld(t, []*region{{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }}}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Header = limit })
	pr, pw := io.Pipe()
	time.AfterFunc(3*limit, func() { io.WriteString(pw, "late"); pw.Close() })
	resp, err := w.h3().Post(w.url, "text/plain", pr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); string(text) != "late" || err != nil || w.cuts(Cut(framing.Slow)) != 0 {
		t.Errorf("%q, %v", text, err)
	}
}

func TestHTTP3StreamThatSaysNothingIsCut(t *testing.T) {
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) { c.Timeouts.Header = 200 * time.Millisecond })
	b := w.bare(t)
	if _, err := b.OpenUniStream(); err != nil { // the edge sees it when a later one is used
		t.Fatal(err)
	}
	later, err := b.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	later.Write([]byte{2}) // QPACK's encoder, which may be quiet for ever
	w.until("counted", func() bool { return w.cuts(Cut(framing.Slow)) == 1 })
	if b.Context().Err() != nil {
		t.Error("the connection ended")
	}
}

// A request that was on its way when its client was told to go is answered; one
// that comes when that cannot be so is refused, and may be sent again.
func TestHTTP3RequestUnderWayAtGoodbyeIsAnswered(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	w := newWorld(t, []*region{{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			close(began)
			<-release
		}
		io.WriteString(w, "whole")
	}}})
	b := w.bare(t)
	held := b.ask(asking3("/"))
	held.Close()
	<-began
	goodbyes := b.goodbyes()
	stopped := make(chan struct{})
	go func() { w.stop(); close(stopped) }()
	if id := <-goodbyes; id != noRequest {
		t.Errorf("the first GOAWAY names stream %d", id)
	}
	under := b.ask(asking3("/under"))
	under.Close()
	if text, err := io.ReadAll(under); err != nil || !bytes.HasSuffix(text, []byte("whole")) {
		t.Errorf("the request that was on its way: %q, %v", text, err)
	}
	if id := <-goodbyes; id != under.StreamID()+4 {
		t.Errorf("the last GOAWAY names stream %d, want %d", id, under.StreamID()+4)
	}
	if _, err := io.ReadAll(b.ask(asking3("/"))); !reset3(err, http3.ErrCodeRequestRejected) {
		t.Errorf("a request after it: %v", err)
	}
	close(release)
	if text, err := io.ReadAll(held); err != nil || !bytes.HasSuffix(text, []byte("whole")) {
		t.Errorf("the first: %q, %v", text, err)
	}
	<-stopped
}
