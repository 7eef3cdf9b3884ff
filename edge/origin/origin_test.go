package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian"
	"meridian/topology"
)

// A peer is a region that a test plays frame by frame.
type peer struct {
	t *testing.T
	*http2.Framer
	net.Conn
}

// play returns an Origin of one region and one connection, and the region's
// end of it once that is made.
func play(t *testing.T) (*Origin, *peer) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: "r", Healthy: true}}})
	o := New(Config{Place: "here", Connections: 1}, Deps{Map: m, Dial: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || !bytes.Equal(preface, []byte(http2.ClientPreface)) {
		t.Fatalf("preface %q, %v", preface, err)
	}
	p := &peer{t, http2.NewFramer(c, c), c}
	p.WriteSettings()
	return o, p
}

// request waits for a request's HEADERS and returns its stream.
func (p *peer) request() uint32 {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			return f.StreamID
		}
	}
}

// send makes a round trip, and returns what came of it.
func send(o *Origin) <-chan error {
	errs := make(chan error, 1)
	go func() {
		req, _ := http.NewRequest("POST", "https://api.example.test/", bytes.NewReader([]byte("x")))
		resp, err := o.RoundTrip(req, Trip{Region: "r", FirstByte: 10 * time.Second})
		if err == nil {
			resp.Body.Close()
		}
		errs <- err
	}()
	return errs
}

// What the region says, or fails to say, decides whether a request counts as
// unsent. All of these had left the edge.
func TestSentIsWhatTheRegionSaysItIs(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(p *peer, stream uint32)
		want Sent
	}{
		{"REFUSED_STREAM", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, Unsent},
		{"GOAWAY that leaves it out", func(p *peer, s uint32) { p.WriteGoAway(0, http2.ErrCodeNo, nil) }, Unsent},
		{"CANCEL", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeCancel) }, MaybeSent},
		{"INTERNAL_ERROR", func(p *peer, s uint32) { p.WriteRSTStream(s, http2.ErrCodeInternal) }, MaybeSent},
		{"GOAWAY that takes it in, then silence", func(p *peer, s uint32) { p.WriteGoAway(s, http2.ErrCodeNo, nil); p.Close() }, MaybeSent},
		{"end of the connection", func(p *peer, s uint32) { p.Close() }, MaybeSent},
		{"nonsense", func(p *peer, s uint32) { p.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) }, MaybeSent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, p := play(t)
			errs := send(o)
			tt.do(p, p.request())
			var e *Error
			if err := <-errs; !errors.As(err, &e) || e.Sent != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// An edge that has just begun has heard of no region yet. It sends its requests
// all the same; it leaves a region only for another one.
func TestRegionsAreLeftForHealthyOnes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		r     bool // is healthy
		other bool
		want  bool // it is left
	}{
		{"nobody has looked", false, false, false},
		{"all are healthy", true, true, false},
		{"the other is down", true, false, false},
		{"it is down", false, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &topology.Map{}
				m.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: "r", Healthy: tt.r}, {Name: "other", Healthy: tt.other}}})
				o := New(Config{}, Deps{Map: m, Dial: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ready := make(chan struct{})
				go o.Run(ctx, func() { close(ready) }) // ends before the bubble does
				<-ready
				req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.test/", nil)
				begin := time.Now()
				_, err := o.RoundTrip(req, Trip{Region: "r", FirstByte: 10 * time.Second, Waiting: Waiting{Elsewhere: true, Movable: true}})
				if left := errors.Is(err, errLost); left != tt.want {
					t.Errorf("after %v: %v, want it to be left: %v", time.Since(begin), err, tt.want)
				}
			})
		})
	}
}

// net/http would send a POST with this header again by itself.
func TestConnectionThatBreaksIsOneAttempt(t *testing.T) {
	o, p := play(t)
	req, _ := http.NewRequest("POST", "https://api.example.test/", nil)
	req.Header.Set("Idempotency-Key", "k")
	errs := make(chan error, 1)
	go func() {
		_, err := o.RoundTrip(req, Trip{Region: "r"})
		errs <- err
	}()
	p.request()
	p.Close()
	var e *Error
	if err := <-errs; !errors.As(err, &e) || e.Sent != MaybeSent {
		t.Errorf("%v, want %s", err, MaybeSent)
	}
}

func TestRefusedRequestLeavesTheConnectionInUse(t *testing.T) {
	o, p := play(t)
	errs := send(o)
	p.WriteRSTStream(p.request(), http2.ErrCodeRefusedStream)
	<-errs
	errs = send(o)
	stream := p.request() // on the same connection
	var head bytes.Buffer
	hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
	if err := <-errs; err != nil {
		t.Error(err)
	}
	if c := o.memory.circuit("r"); c.Phase != Closed || c.row != 0 {
		t.Errorf("a region that answered is remembered as %+v", c)
	}
}
