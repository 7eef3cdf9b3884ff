package edge

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/origin"
	"meridian/topology"
)

// dying returns a region that counts what it executes, and dies in the middle
// of the first request, when that has begun to execute.
func dying(g *region, executed *atomic.Int32) *region {
	name := g.name
	g.serve = func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		executed.Add(1)
		go g.kill()
		<-r.Context().Done()
		fmt.Fprint(w, name)
	}
	return g
}

func counted(g *region, executed *atomic.Int32) *region {
	g.serve = func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		executed.Add(1)
		fmt.Fprintf(w, "%s %s", g.name, text)
	}
	return g
}

func TestSafeRequestIsAnsweredByAnotherRegionWhenItsOwnDies(t *testing.T) {
	var n atomic.Int32
	gs := threeRegions()
	dying(gs[1], &n)
	w := newWorld(t, gs, func(c *Config, _ *Deps, _ *world) { c.Upstream.Hedges = -1 }) // one would answer before the region is dead
	start := time.Now()
	for range 20 {
		if got := w.do("GET", "/", "held", "X-A", "b"); got.status != 200 || !strings.HasPrefix(got.body, "us-east-1") {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if d := time.Since(start); d > 5*time.Second { // each would have to wait to see that it is dead
		t.Errorf("20 requests took %v, want less than 5 s", d)
	}
	if n.Load() != 1 {
		t.Errorf("the region that died began %d requests, want 1", n.Load())
	}
}

// A write whose region dies under it may have been executed, so it is not sent
// again. Take the guard away, and it is executed twice.
func TestWriteIsNeverExecutedTwice(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		status, executed := loseRegionDuring(t, method, nil)
		if executed != 1 || status != http.StatusBadGateway {
			t.Errorf("%s was executed %d times, answered %d; want once, 502", method, executed, status)
		}
	}
	unguarded := func(a origin.Attempt) origin.Verdict { return origin.Verdict{Again: a.Tries < 3, Why: "no guard"} }
	if _, executed := loseRegionDuring(t, "POST", unguarded); executed < 2 {
		t.Errorf("without the guard the write was executed %d times: the test shows nothing", executed)
	}
}

// loseRegionDuring sends a write whose region dies while it executes it, and
// returns how often regions executed it in all.
func loseRegionDuring(t *testing.T, method string, retry func(origin.Attempt) origin.Verdict) (status int, executed int32) {
	var n atomic.Int32
	gs := threeRegions()
	counted(gs[0], &n)
	counted(gs[2], &n)
	dying(gs[1], &n)
	w := newWorld(t, gs)
	if retry != nil {
		w.retry = retry
	}
	got := w.do(method, "/", "held", "Idempotency-Key", "k-1")
	w.stop()
	return got.status, n.Load()
}

func TestUnsentWriteGoesToAnotherRegion(t *testing.T) {
	var n atomic.Int32
	gs := threeRegions()
	counted(gs[0], &n)
	w := newWorld(t, gs)
	gs[1].kill()
	w.lost(gs[1])
	for range 10 {
		if got := w.do("POST", "/", "body"); got.status != 200 || got.body != "us-east-1 body" {
			t.Fatalf("%d %s\n%s", got.status, got.body, w.log)
		}
	}
	if n.Load() != 10 {
		t.Errorf("10 writes were executed %d times", n.Load())
	}
}

func TestWriteThatADrainingRegionRefusesGoesElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
	}{
		{"small", "body", "us-east-1 body"},
		{"as large as is held", strings.Repeat("x", 64<<10), "us-east-1 " + strings.Repeat("x", 64<<10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			gs := threeRegions()
			counted(gs[0], &n)
			gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.Header().Set(HeaderNotServing, "draining")
				w.WriteHeader(503)
			}
			w := newWorld(t, gs)
			if got := w.do("POST", "/", tt.body); got.status != 200 || got.body != tt.want || n.Load() != 1 {
				t.Errorf("%d %.80s, executed %d times", got.status, got.body, n.Load())
			}
		})
	}
}

func TestBodyThatIsNotHeldIsNotReplayed(t *testing.T) {
	var n atomic.Int32
	gs := threeRegions()
	counted(gs[0], &n)
	gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set(HeaderNotServing, "draining")
		w.WriteHeader(503)
	}
	w := newWorld(t, gs)
	got := w.do("POST", "/", strings.Repeat("x", 64<<10+1))
	if got.status != 503 || got.header.Get("Retry-After") == "" || n.Load() != 0 {
		t.Errorf("%d %s, executed %d times; want a 503 with Retry-After", got.status, got.body, n.Load())
	}
}

// A region that stops gracefully says GOAWAY. Requests that it did not take are
// unsent, and the edge connects to it again when it is back.
func TestGracefulStopLosesNoWrite(t *testing.T) {
	var east, west atomic.Int32
	gs := threeRegions()[:2]
	counted(gs[0], &east)
	counted(gs[1], &west)
	w := newWorld(t, gs)
	var sent atomic.Int32
	stop, done := make(chan struct{}), make(chan error, 4)
	for range cap(done) {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				got, err := w.try(w.h2, "POST", "/", "x")
				if err != nil || got.status != 200 {
					done <- fmt.Errorf("%d %s %v", got.status, got.body, err)
					return
				}
				sent.Add(1)
			}
		}()
	}
	w.until("in flow", func() bool { return west.Load() > 50 })
	gs[1].drain()
	before := east.Load()
	w.until("moved", func() bool { return east.Load() > before+50 })
	gs[1].start(t)
	back := west.Load()
	w.until("back", func() bool { return west.Load() > back+50 })
	close(stop)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if all := east.Load() + west.Load(); all != sent.Load() {
		t.Errorf("%d writes were executed %d times", sent.Load(), all)
	}
}

func TestSafeRequestLeavesARegionThatTheMapCallsDown(t *testing.T) {
	gs := threeRegions()
	arrived := make(chan struct{}, 1)
	gs[1].serve = func(_ http.ResponseWriter, r *http.Request) { // silent, as behind a cut cable
		arrived <- struct{}{}
		<-r.Context().Done()
	}
	w := newWorld(t, gs)
	answer := make(chan got, 1)
	go func() { answer <- w.do("GET", "/", "") }()
	<-arrived
	snap := draw(gs)
	snap.Regions[1].Healthy = false
	w.deps.Map.Publish(snap)
	if got := <-answer; got.status != 200 || !strings.HasPrefix(got.body, "us-east-1") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestNothingButDeadRegionsIsAnHonest503(t *testing.T) {
	gs := threeRegions()
	w := newWorld(t, gs)
	for _, g := range gs {
		g.kill()
		w.lost(g)
	}
	got := w.do("POST", "/", "x")
	if got.status != 503 || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, `"message":"No region could be reached."`) || !strings.Contains(got.body, got.header.Get("X-Meridian-Request")) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	for _, g := range gs {
		g.start(t)
	}
	w.until("answered again", func() bool { g, err := w.try(w.h2, "GET", "/", ""); return err == nil && g.status == 200 })
}

func TestRegionsOwnErrorsPassUnchanged(t *testing.T) {
	for _, status := range []int{500, 502, 503, 504, 429, 404} {
		gs := threeRegions()
		gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Meridian-Primary-Away", "us-east-1 is silent")
			w.WriteHeader(status)
			io.WriteString(w, "mine")
		}
		w := newWorld(t, gs)
		got := w.do("GET", "/x", "")
		if got.status != status || got.body != "mine" || got.header.Get("Retry-After") != "7" || got.header.Get("Meridian-Primary-Away") != "us-east-1 is silent" {
			t.Errorf("%d: got %d %q %v", status, got.status, got.body, got.header)
		}
		w.stop()
	}
}

func TestResponseThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	for _, length := range []string{"", "100000"} {
		gs := threeRegions()
		gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			w.Write(bytes.Repeat([]byte("x"), 2*heldBack))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w := newWorld(t, gs)
		for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2} {
			if got, err := w.try(c, "GET", "/", ""); err == nil {
				t.Errorf("%s, length %q: %d bytes of status %d passed for the whole", name, length, len(got.body), got.status)
			}
		}
		w.stop()
	}
}

func TestDrainedRegionGetsNothing(t *testing.T) {
	gs := threeRegions()
	w := newWorld(t, gs)
	snap := draw(gs)
	snap.Regions[1].Drained = true
	w.deps.Map.Publish(snap)
	if got := w.do("GET", "/", ""); !strings.HasPrefix(got.body, "us-east-1") {
		t.Error(got.body)
	}
	w.deps.Map.Publish(&topology.Snapshot{})
	if got := w.do("GET", "/", ""); got.status != 503 {
		t.Errorf("an empty map: %d", got.status)
	}
}
