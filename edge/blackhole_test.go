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
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
	"meridian/edge/cert"
	"meridian/edge/origin"
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

// blackHole cuts the nearest region off at a second of a load of 2,000 requests
// a second, in silence, and returns what became of all requests, and how many
// writes were executed twice.
func blackHole(t *testing.T, opts ...func(*Config, *Deps)) (all []sample, twice int) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions(), opts...)
		defer l.end()
		defer time.AfterFunc(time.Second, func() { l.lines["eu-central-1"].Set(delay.Fault{Cut: true}) }).Stop()
		all = l.load(2000, 8000)
		l.mu.Lock()
		defer l.mu.Unlock()
		for name, n := range l.ledger {
			if n > 1 && strings.HasSuffix(name, "9") { // of the writes: see load
				twice++
			}
		}
	})
	return all, twice
}

// A region that falls silent under 2,000 requests a second costs at most ten
// requests that are slow or fail, reads and writes together, and a second later
// nobody notices. Without the ears, thousands wait until their connections are
// given up.
func TestBlackHoledRegionIsLeftWithinASecond(t *testing.T) {
	all, twice := blackHole(t)
	tardy, failed := slow(all)
	t.Logf("of %d requests %d took longer than a second, %d failed", len(all), tardy, failed)
	if tardy > 0 || failed > 10 || twice > 0 {
		t.Errorf("%d requests were slow, %d failed, %d were executed twice; want none slow, at most 10 failed, none twice", tardy, failed, twice)
	}
	if n := slowReads(all); n > 10 {
		t.Errorf("%d slow reads, want at most 10", n)
	}
	late := after(all, 2*time.Second, 4*time.Second)
	if p99 := late[len(late)*99/100]; p99 > 80*time.Millisecond {
		t.Errorf("a second later the 99th percentile is %v, want that of the next region", p99)
	}
	first := after(all, time.Second, 2*time.Second)
	t.Logf("%d reads delayed", delayed(all))
	t.Logf("reads of the first second: p50 %v, p90 %v, longest %v", first[len(first)/2], first[len(first)*9/10], first[len(first)-1])
	if n := delayed(all); n > 250 {
		t.Errorf("%d reads were delayed at all, want at most 250: those that were under way, and those of about 60 ms", n)
	}
	all, _ = blackHole(t, func(c *Config, _ *Deps) { c.Upstream.Blind = true })
	t.Logf("blind, %d reads delayed", delayed(all))
	if n := delayed(all); n < 500 {
		t.Errorf("blind, %d reads were delayed: the test shows nothing", n)
	}

	all, _ = blackHole(t, func(c *Config, _ *Deps) { c.Upstream.Silence = time.Hour })
	if n := slowReads(all); n <= 10 {
		t.Errorf("without ears %d reads were slow: the test shows nothing", n)
	}
}

// A region that stands still for a moment and goes on answers the writes that
// wait for it, also after its silence was a proof: none is answered 502.
func TestAWriteOutwaitsALull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		line := l.lines["eu-central-1"]
		line.Set(delay.Fault{Cut: true})
		defer time.AfterFunc(600*time.Millisecond, func() { line.Set(delay.Fault{}) }).Stop()
		if s := l.one("POST", "/items?n=w", time.Now()); s.status != 200 || s.from != "eu-central-1" {
			t.Errorf("answered %d by %q after %v, want 200 by the region that has it", s.status, s.from, s.took)
		}
	})
}

// Where there is one region a write waits for it as long as its connection does:
// nothing is gained by going.
func TestAWriteWaitsForTheOnlyRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions()[:1])
		defer l.end()
		line := l.lines["us-east-1"]
		line.Set(delay.Fault{Cut: true})
		defer time.AfterFunc(1500*time.Millisecond, func() { line.Set(delay.Fault{}) }).Stop()
		if s := l.one("POST", "/items?n=w", time.Now()); s.status != 200 {
			t.Errorf("answered %d after %v, want 200", s.status, s.took)
		}
	})
}

// A region at the other end of the world that is silent is found out in half a
// second as well, and one that is merely far and idle is not taken for silent.
func TestAFarRegionsSilenceIsNoticedInHalfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, []*region{plain("us-east-1", 300*time.Millisecond), plain("eu-central-1", 20*time.Millisecond)})
		defer l.end()
		for range 600 {
			time.Sleep(50 * time.Millisecond)
			if s, why := l.origin.State("us-east-1"); s != origin.Ready {
				t.Fatalf("idle for a while it is %v: %s", s, why)
			}
		}
		l.lines["us-east-1"].Set(delay.Fault{Cut: true})
		time.Sleep(525 * time.Millisecond) // and a listening more
		if s, _ := l.origin.State("us-east-1"); s != origin.Broken {
			t.Errorf("half a second after it fell silent it is %v, want broken", s)
		}
	})
}

// A write that may have been executed is not moved, whatever the silence.
func TestSilenceExecutesNoWriteTwice(t *testing.T) {
	var all atomic.Int32
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		line := l.lines["eu-central-1"]
		done := make(chan sample)
		line.Set(delay.Fault{Deaf: true}) // requests arrive, answers do not
		go func() { done <- l.one("POST", "/items?n=w", time.Now()) }()
		if s := <-done; s.status != http.StatusBadGateway || s.took > time.Second {
			t.Errorf("answered %d by %q after %v, want 502 within a second", s.status, s.from, s.took)
		}
		all.Add(int32(l.ledger["w"]))
		if s := l.one("POST", "/items?n=v", time.Now()); s.from != "us-east-1" {
			t.Errorf("the next write was answered %d by %q, want us-east-1", s.status, s.from)
		}
	})
	if all.Load() != 1 {
		t.Errorf("the write was executed %d times, want once", all.Load())
	}
}

// A region that returns gets a growing share, and all in the end.
func TestRegionThatReturnsIsLetInSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		line := l.lines["eu-central-1"]
		line.Set(delay.Fault{Cut: true})
		time.Sleep(10 * time.Second)
		if s, why := l.origin.State("eu-central-1"); s != origin.Broken {
			t.Fatalf("state %v (%s) of a region that is silent, want broken", s, why)
		}
		line.Set(delay.Fault{})
		all := l.load(200, 200*12)
		share := func(second int) (n int) {
			for _, s := range all[second*200 : (second+1)*200] {
				if s.from == "eu-central-1" {
					n++
				}
			}
			return n * 100 / 200
		}
		shares := make([]int, 12)
		for i := range shares {
			shares[i] = share(i)
		}
		if !slices.IsSorted(shares) || shares[11] != 100 || !slices.ContainsFunc(shares, func(n int) bool { return n > 5 && n < 60 }) {
			t.Errorf("percent of requests by second after the return: %v; want a growing share that ends at 100", shares)
		}
	})
}

// Once the circuits are open what is stored is served at once, and nobody waits
// for a region that is not there. Without ears somebody does.
func TestStaleIsServedAtOnceWhenEveryCircuitIsOpen(t *testing.T) {
	if longest := staleWait(t); longest > 2*time.Millisecond {
		t.Errorf("what is stored came after %v, want at once", longest)
	}
	if longest := staleWait(t, func(c *Config, _ *Deps) { c.Upstream.Silence = time.Hour }); longest < 100*time.Millisecond {
		t.Errorf("without ears what is stored came after %v: the test shows nothing", longest)
	}
}

// staleWait cuts every region off, and returns the longest that a request
// waited for a stored response after that.
func staleWait(t *testing.T, opts ...func(*Config, *Deps)) (longest time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		gs := farRegions()
		for _, g := range gs {
			g.serve = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=1, stale-if-error=3600")
				io.WriteString(w, "stored")
			}
		}
		l := newLab(t, gs, opts...)
		defer l.end()
		l.one("GET", "/stored", time.Now())
		for _, g := range gs {
			l.lines[g.name].Set(delay.Fault{Cut: true})
		}
		time.Sleep(1500 * time.Millisecond) // stale by now, and every circuit open
		for range 10 {
			s := l.one("GET", "/stored", time.Now())
			if s.status != 200 || s.from != "stored" {
				t.Errorf("answered %d %q, want what is stored", s.status, s.from)
			}
			longest = max(longest, s.took)
			time.Sleep(700 * time.Millisecond)
		}
	})
	return longest
}
