package edge

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian"
	"meridian/edge/cert"
	"meridian/internal/delay"
	"meridian/topology"
)

// A pipes is a listener without a socket.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A lab is an edge and its regions in simulated time: real HTTP/2 on simulated
// lines, and no TLS on the clients' side.
type lab struct {
	*Edge
	t     testing.TB
	lines map[meridian.Region]*delay.Line
	ends  []func()
	busy  sync.WaitGroup // handlers of regions: one may outlive its connection

	mu     sync.Mutex
	ledger map[string]int // how often each request was executed
}

// newLab starts an edge at eu-west-1 and the given regions. Call end.
func newLab(t testing.TB, regions []*region, opts ...func(*Config, *Deps)) *lab {
	l := &lab{t: t, lines: map[meridian.Region]*delay.Line{}, ledger: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	slow := delay.NewGroup(delay.Timers{})
	var wg, run sync.WaitGroup
	l.ends = append(l.ends, cancel, run.Wait, slow.Close)
	doors := map[meridian.Region]pipes{}
	for _, g := range regions {
		l.lines[g.name] = delay.NewLine(g.rtt, g.rtt)
		door, srv := make(pipes), l.serve(g)
		doors[g.name] = door
		wg.Go(func() { srv.Serve(door) })
		l.ends = append(l.ends, func() { close(door); srv.Close() })
	}
	cfg := Config{Place: "eu-west-1", Node: "eu-west-1/edge", Domain: domain, HTTPS: "127.0.0.1:0"}
	deps := Deps{Certs: cert.New(cert.Config{Domains: []string{domain}}), Dial: func(ctx context.Context, r meridian.Region) (net.Conn, error) {
		return slow.Dial(ctx, l.lines[r], func(ctx context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			select {
			case doors[r] <- there:
				return here, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
	}}
	deps.Map = &topology.Map{}
	deps.Map.Publish(draw(regions))
	for _, o := range opts {
		o(&cfg, &deps)
	}
	e, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	l.Edge = e
	run.Go(func() { e.origin.Run(ctx, func() {}) })
	l.ends = append(l.ends, wg.Wait, l.busy.Wait)
	time.Sleep(3 * time.Second) // simulated: all are connected
	return l
}

func (l *lab) end() {
	for _, f := range l.ends {
		f()
	}
}

// serve returns a region's server, which keeps the ledger.
func (l *lab) serve(g *region) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.busy.Add(1)
		defer l.busy.Done()
		l.mu.Lock()
		l.ledger[r.URL.Query().Get("n")]++
		l.mu.Unlock()
		g.serve(w, r)
	})}
}

// A sample is one answered request.
type sample struct {
	method string
	begin  time.Duration // since the load began
	took   time.Duration
	status int
	from   string
}

// load sends n requests at an even rate, whether they are answered or not, one
// of ten a write, and returns all once they are.
func (l *lab) load(rate, n int) []sample {
	out := make([]sample, n)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range out {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		method := "GET"
		if i%10 == 9 {
			method = "POST"
		}
		wg.Go(func() { out[i] = l.one(method, fmt.Sprintf("/items?n=%d", i), start) })
	}
	wg.Wait()
	return out
}

func (l *lab) one(method, target string, start time.Time, header ...string) sample {
	r := httptest.NewRequest(method, "https://"+domain+target, nil)
	if method == "POST" {
		r = httptest.NewRequest(method, "https://"+domain+target, strings.NewReader("body"))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, s := httptest.NewRecorder(), sample{method: method, begin: time.Since(start)}
	func() {
		defer func() { // an engine breaks the response then
			if p := recover(); p == http.ErrAbortHandler {
				w.Code = 0
			} else if p != nil {
				panic(p)
			}
		}()
		l.ServeHTTP(w, r)
	}()
	s.took, s.status, s.from = time.Since(start)-s.begin, w.Code, w.Body.String()
	return s
}

// plain returns a region that answers with its name, and at once.
func plain(name meridian.Region, rtt time.Duration) *region {
	return &region{name: name, rtt: rtt, serve: func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, string(name))
	}}
}

func farRegions() []*region {
	return []*region{plain("us-east-1", 68*time.Millisecond), plain("eu-central-1", 20*time.Millisecond), plain("ap-southeast-1", 170*time.Millisecond)}
}

// slowReads counts safe requests that took longer than a second, which is what
// half a second of silence and the way to any other region fit into.
func slowReads(all []sample) (n int) {
	for _, s := range all {
		if s.method == "GET" && (s.took > time.Second || s.status != 200) {
			n++
		}
	}
	return n
}

// slow counts requests of any kind that took longer than a second, and those
// that failed: writes that may have been executed are told so.
func slow(all []sample) (late, failed int) {
	for _, s := range all {
		if s.took > time.Second {
			late++
		}
		if s.status != 200 {
			failed++
		}
	}
	return late, failed
}

// delayed counts reads that waited for a region in vain.
func delayed(all []sample) (n int) {
	for _, s := range all {
		if s.method == "GET" && s.took > 100*time.Millisecond {
			n++
		}
	}
	return n
}

// after returns how long reads took that began in a span of time, sorted.
func after(all []sample, from, to time.Duration) (out []time.Duration) {
	for _, s := range all {
		if s.method == "GET" && s.begin >= from && s.begin < to {
			out = append(out, s.took)
		}
	}
	slices.Sort(out)
	return out
}
