package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
)

// A server is one that somebody else runs, with a count of its connections.
type server struct {
	*httptest.Server
	conns atomic.Int64
}

func plainServer(t testing.TB, h2 bool, serve http.HandlerFunc) (*server, CustomConfig) {
	t.Helper()
	s := &server{Server: httptest.NewUnstartedServer(serve)}
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	cfg := CustomConfig{Name: "assets"}
	if h2 {
		s.StartTLS()
		cfg.Roots = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	cfg.URL, _ = url.Parse(s.URL)
	return s, cfg
}

// ask sends one request and reads all of its answer.
func ask(c *Custom, method, path string, body io.Reader) (string, error) {
	req, _ := http.NewRequest(method, "http://x", body)
	req.GetBody = nil // as the edge's are
	c.Address(req, path, "", false, "")
	resp, err := c.RoundTrip(req, Trip{FirstByte: 5 * time.Second})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func sentOf(t *testing.T, err error) (Sent, meridian.Kind) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Region != "assets" {
		t.Fatalf("%T %v", err, err)
	}
	return e.Sent, e.Kind
}

func TestConnectionsAreKeptAndShared(t *testing.T) {
	for _, tt := range []struct {
		h2         bool
		together   int
		atMost     int64
		afterwards int64
	}{{false, 1, 1, 1}, {true, 1, 1, 1}, {true, 50, 1, 1}, {false, 20, 20, 20}} {
		gate := make(chan struct{})
		s, cfg := plainServer(t, tt.h2, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-gate
			}
			io.WriteString(w, r.Proto)
		})
		c := NewCustom(cfg, nil)
		var wg sync.WaitGroup
		for range tt.together {
			wg.Go(func() {
				if _, err := ask(c, "GET", "/wait", nil); err != nil {
					t.Error(err)
				}
			})
		}
		close(gate)
		wg.Wait()
		if n := s.conns.Load(); n > tt.atMost {
			t.Errorf("%+v: %d connections", tt, n)
		}
		for range 5 {
			if _, err := ask(c, "POST", "/", strings.NewReader("x")); err != nil {
				t.Error(err)
			}
		}
		if n := s.conns.Load(); n > tt.afterwards {
			t.Errorf("%+v: %d connections afterwards", tt, n)
		}
		c.Close()
	}
}

// A request beyond the limit waits for another to end, and takes the place of a
// connection that is idle but too old for it.
func TestConnectionsAreBounded(t *testing.T) {
	s, cfg := plainServer(t, false, func(w http.ResponseWriter, r *http.Request) { time.Sleep(5 * time.Millisecond) })
	cfg.Connections = 2
	c := NewCustom(cfg, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := ask(c, "GET", "/", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	c.pool.mu.Lock()
	for _, p := range c.pool.conns {
		p.last = time.Now().Add(-idleWrite - time.Second)
	}
	c.pool.mu.Unlock()
	if _, err := ask(c, "POST", "/", strings.NewReader("x")); err != nil || s.conns.Load() != 3 || len(c.pool.conns) != 2 {
		t.Errorf("%d connections made, %d kept: %v", s.conns.Load(), len(c.pool.conns), err)
	}
	// Who waits in vain was not sent.
	hold := make(chan struct{})
	_, cfg = plainServer(t, false, func(w http.ResponseWriter, r *http.Request) { <-hold })
	cfg.Connections, cfg.ResponseTimeout = 1, 50*time.Millisecond
	c = NewCustom(cfg, nil)
	defer close(hold)
	conn, _, err := c.pool.take(t.Context(), true, c.dial)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = ask(c, "POST", "/", strings.NewReader("x"))
	if sent, kind := sentOf(t, err); sent != Unsent || kind != meridian.Timeout {
		t.Errorf("%s %s: %v", sent, kind, err)
	}
}

func TestARequestThatNobodyTookIsUnsent(t *testing.T) {
	s, cfg := plainServer(t, false, nil)
	s.Close()
	_, err := ask(NewCustom(cfg, nil), "POST", "/", strings.NewReader("x"))
	if sent, kind := sentOf(t, err); sent != Unsent || kind != meridian.Unavailable {
		t.Errorf("%s %s: %v", sent, kind, err)
	}
}

func TestARequestThatWasBrokenOffMayHaveBeenSent(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		_, cfg := plainServer(t, h2, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		_, err := ask(NewCustom(cfg, nil), "POST", "/", strings.NewReader("x"))
		if sent, kind := sentOf(t, err); sent != MaybeSent || kind != meridian.Malformed {
			t.Errorf("%s %s: %v", sent, kind, err)
		}
	}
}

// A broken conn writes nothing once it is told so.
type broken struct {
	net.Conn
	now *atomic.Bool
}

func (b broken) Write(p []byte) (int, error) {
	if b.now.Load() {
		return 0, errors.New("broken pipe")
	}
	return b.Conn.Write(p)
}

// A server closes a connection that was idle, and the request that meets this
// was not sent. It is told by net/http's own mark, which this pins down.
func TestAnIdleConnectionThatEndedIsUnsent(t *testing.T) {
	var n atomic.Int64
	_, cfg := plainServer(t, false, func(http.ResponseWriter, *http.Request) { n.Add(1) })
	var now atomic.Bool
	c := NewCustom(cfg, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return broken{conn, &now}, err
	})
	if _, err := ask(c, "POST", "/", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	now.Store(true)
	_, err := ask(c, "POST", "/", strings.NewReader("x"))
	if sent, _ := sentOf(t, err); sent != Unsent {
		t.Errorf("%s: %v", sent, err)
	}
	now.Store(false) // the rest of the pool was suspected; a new connection works
	if _, err := ask(c, "POST", "/", strings.NewReader("x")); err != nil || n.Load() != 2 {
		t.Errorf("%d requests: %v", n.Load(), err)
	}
}

// net/http's own client would send a POST with an Idempotency-Key twice.
func TestNothingIsSentTwiceByItself(t *testing.T) {
	var n atomic.Int64
	_, cfg := plainServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
	})
	c := NewCustom(cfg, nil)
	if _, err := ask(c, "POST", "/", nil); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("POST", "http://x", nil)
	req.Header.Set("Idempotency-Key", "1")
	c.Address(req, "/", "", false, "")
	if _, err := c.RoundTrip(req, Trip{}); err == nil || n.Load() != 2 {
		t.Errorf("%d requests arrived: %v", n.Load(), err)
	}
	// Control: net/http's client, asked for the same, sends it again.
	n.Store(0)
	hc := &http.Client{}
	if resp, err := hc.Post(cfg.URL.String(), "", nil); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	req, _ = http.NewRequest("POST", cfg.URL.String(), nil)
	req.Header.Set("Idempotency-Key", "1")
	hc.Do(req)
	if n.Load() < 3 {
		t.Errorf("the control sent %d requests, and shows nothing", n.Load())
	}
}

func TestTheResponseTimeoutIsTold(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	_, cfg := plainServer(t, false, func(http.ResponseWriter, *http.Request) { <-hold })
	cfg.ResponseTimeout = 20 * time.Millisecond
	_, err := ask(NewCustom(cfg, nil), "GET", "/", nil)
	if sent, kind := sentOf(t, err); sent != MaybeSent || kind != meridian.Timeout {
		t.Errorf("%s %s: %v", sent, kind, err)
	}
}

func TestACircuitOpensAndProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := CustomConfig{Name: "assets", URL: &url.URL{Scheme: "http", Host: "a.test"}}
		var dials atomic.Int64
		c := NewCustom(cfg, func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			time.Sleep(100 * time.Millisecond)
			return nil, errors.New("no route to host")
		})
		for range 10 {
			ask(c, "GET", "/", nil)
		}
		if dials.Load() != opensAfter {
			t.Errorf("%d dials", dials.Load())
		}
		_, err := ask(c, "GET", "/", nil)
		if sent, kind := sentOf(t, err); sent != Unsent || kind != meridian.Unavailable || !strings.Contains(err.Error(), "3 dials failed in a row, the newest: ") {
			t.Errorf("%s %s: %v", sent, kind, err)
		}
		time.Sleep(firstAvoid)
		for range 10 {
			ask(c, "GET", "/", nil)
		}
		if dials.Load() != opensAfter+1 {
			t.Errorf("%d dials, with one probe", dials.Load())
		}
	})
}

// A request that must not be sent twice takes no connection that its server may
// be about to close.
func TestAWriteTakesNoConnectionThatWasIdleForLong(t *testing.T) {
	s, cfg := plainServer(t, false, func(http.ResponseWriter, *http.Request) {})
	c := NewCustom(cfg, nil)
	ask(c, "GET", "/", nil)
	c.pool.mu.Lock()
	c.pool.conns[0].last = time.Now().Add(-idleWrite - time.Second)
	c.pool.mu.Unlock()
	if ask(c, "POST", "/", strings.NewReader("x")); s.conns.Load() != 2 {
		t.Errorf("%d connections after a write", s.conns.Load())
	}
	c.pool.mu.Lock()
	c.pool.conns = c.pool.conns[len(c.pool.conns)-1:]
	c.pool.conns[0].last = time.Now().Add(-idleWrite - time.Second)
	c.pool.mu.Unlock()
	if ask(c, "GET", "/", nil); s.conns.Load() != 2 {
		t.Errorf("%d connections after a read", s.conns.Load())
	}
}

func TestAClientThatGoesAwayLeavesThePoolWell(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	_, cfg := plainServer(t, false, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-hold
		}
	})
	c := NewCustom(cfg, nil)
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://x", nil)
	c.Address(req, "/hold", "", false, "")
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.RoundTrip(req, Trip{})
	if _, kind := sentOf(t, err); kind != meridian.Canceled {
		t.Errorf("%s: %v", kind, err)
	}
	if _, err := ask(c, "GET", "/", nil); err != nil {
		t.Error(err)
	}
}

func TestAnAddressIsTheOriginsOwn(t *testing.T) {
	for _, tt := range []struct{ url, host, viewer, path, wantURL, wantHost string }{
		{"https://assets.example.test", "", "", "/a", "https://assets.example.test/a", "assets.example.test"},
		{"https://assets.example.test:8443/p/", "", "", "/a", "https://assets.example.test:8443/p/a", "assets.example.test:8443"},
		{"http://10.0.0.1/p%2Fq", "b.test", "", "/a%2F", "http://10.0.0.1/p%2Fq/a%2F", "b.test"},
		{"http://10.0.0.1", "b.test", "api.example.test", "//a", "http://10.0.0.1//a", "api.example.test"},
	} {
		u, _ := url.Parse(tt.url)
		c := NewCustom(CustomConfig{Name: "a", URL: u, HostHeader: tt.host}, nil)
		req := &http.Request{Header: http.Header{}}
		c.Address(req, tt.path, "x=%zz", true, tt.viewer)
		got := fmt.Sprintf("%s://%s%s", req.URL.Scheme, req.URL.Host, req.URL.RequestURI())
		if got != tt.wantURL+"?x=%zz" || req.Host != tt.wantHost {
			t.Errorf("%s: %s, host %s", tt.url, got, req.Host)
		}
	}
}
