package origin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"meridian"
	"meridian/topology"
)

// TestNothingIsSentToARegionThatSaysNothing: a gateway that has closed its door
// reads nothing of the connections that its node still takes. What was sent on one
// would be in doubt, so nothing is: a POST that is asked meanwhile is unsent when
// the connection ends, and one that finds the next connection is answered.
func TestNothingIsSentToARegionThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialed := make(chan net.Conn)
		m := &topology.Map{}
		m.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: "r", Healthy: true}}})
		o := New(Config{Place: "here", Connections: 1}, Deps{Map: m, Dial: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
			here, there := net.Pipe()
			dialed <- there
			return here, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx, func() {}) }()
		mute := <-dialed
		got := make(chan int64, 1)
		go func() { n, _ := io.Copy(io.Discard, mute); got <- n }()
		synctest.Wait()
		preface, asked := int64(0), make(chan error, 1)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://r/", nil)
			resp, err := o.RoundTrip(req, Trip{Region: "r"})
			if err == nil {
				resp.Body.Close()
			}
			asked <- err
		}()
		synctest.Wait()
		if s, _ := o.State("r"); s != Cold {
			t.Errorf("the region is %v before it said anything", s)
		}
		mute.Close()
		if preface = <-got; preface == 0 || preface > 200 { // and its SETTINGS; HEADERS would be more
			t.Errorf("%d bytes were sent", preface)
		}
		var e *Error
		if err := <-asked; !errors.As(err, &e) || e.Sent != Unsent {
			t.Errorf("asked on a connection that ended: %v", err)
		}
		spoken := <-dialed
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		srv := &http.Server{Protocols: p, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
		l := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		l.conns <- spoken
		go srv.Serve(l)
		synctest.Wait()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://r/", nil)
		resp, err := o.RoundTrip(req, Trip{Region: "r"})
		if err != nil || resp.StatusCode != http.StatusTeapot {
			t.Errorf("control: a region that speaks: %v, %v", resp, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
}

// A oneListener accepts what it is given.
type oneListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error   { close(l.closed); return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }
