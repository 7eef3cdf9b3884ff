package edge

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
)

// hiccups returns regions of which the nearest lets one read of a hundred wait
// for two seconds, or until it is canceled.
func hiccups(canceled *atomic.Int32) []*region {
	var n atomic.Int32
	gs := farRegions()
	gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if i := n.Add(1); r.Method == "GET" && i > 200 && i%100 == 55 {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
				canceled.Add(1)
			}
		}
		io.WriteString(w, "eu-central-1")
	}
	return gs
}

// A hedged load is how a load went: its reads' times, sorted, and how many
// requests were executed beyond those that were sent.
type hedgedLoad struct {
	took            []time.Duration
	sent, twice     int
	canceled, slows int
}

func hedged(t *testing.T, share float64) (h hedgedLoad) {
	synctest.Test(t, func(t *testing.T) {
		var canceled atomic.Int32
		l := newLab(t, hiccups(&canceled), func(c *Config, _ *Deps) { c.Upstream.Hedges = share })
		defer l.end()
		all := l.load(200, 3000)
		for _, s := range all {
			if s.status != 200 {
				t.Errorf("%s was answered %d", s.method, s.status)
			}
			if s.method == "GET" {
				h.took = append(h.took, s.took)
			}
			if s.took > time.Second {
				h.slows++
			}
		}
		h.sent, h.canceled = len(all), int(canceled.Load())
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, n := range l.ledger {
			h.twice += n - 1
		}
	})
	slices.Sort(h.took)
	return h
}

// One read of a hundred that its region forgets costs a second attempt, and not
// two seconds. The budget holds; without it the share does not, and without
// hedges the reads are slow.
func TestLateReadIsAskedOfASecondRegion(t *testing.T) {
	h := hedged(t, 0)
	t.Logf("hedged: p99 %v, longest %v, %d slow, %d of %d sent twice, %d canceled", h.took[len(h.took)*99/100], h.took[len(h.took)-1], h.slows, h.twice, h.sent, h.canceled)
	if h.slows > 0 || h.canceled == 0 {
		t.Errorf("%d reads took longer than a second, %d attempts were canceled; want none, and some", h.slows, h.canceled)
	}
	if h.twice == 0 || h.twice*100 > 2*h.sent {
		t.Errorf("%d of %d requests were sent twice, want some, and at most 2 %%", h.twice, h.sent)
	}
	if h = hedged(t, -1); h.slows == 0 || h.twice != 0 {
		t.Errorf("without hedges %d reads were slow, %d sent twice: the test shows nothing", h.slows, h.twice)
	}
}

// When every answer is late the budget bounds what is sent twice.
func TestHedgesKeepWithinTheirBudget(t *testing.T) {
	twice := func(share float64, slower time.Duration) (n int) {
		synctest.Test(t, func(t *testing.T) {
			var slow atomic.Bool
			gs := farRegions()
			gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
				if slow.Load() {
					time.Sleep(slower)
				}
				io.WriteString(w, "eu-central-1")
			}
			l := newLab(t, gs, func(c *Config, _ *Deps) { c.Upstream.Hedges, c.Upstream.Blind = share, true })
			defer l.end()
			l.load(100, 200)
			clear(l.ledger)
			slow.Store(true)
			for _, s := range l.load(1000, 1000) {
				if s.status != 200 || s.from == "" {
					t.Errorf("%s was answered %d %q", s.method, s.status, s.from)
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, k := range l.ledger {
				n += k - 1
			}
		})
		return n
	}
	if n := twice(0.02, 200*time.Millisecond); n == 0 || n > 24 { // 2 % of 1,200
		t.Errorf("%d requests were sent twice, want some, and at most 24", n)
	}
	// Both answer at the very same time: one answer comes through, and whole.
	if n := twice(1, 116*time.Millisecond); n < 50 {
		t.Errorf("without a budget %d were sent twice: the test shows nothing", n)
	}
}

// A first attempt that breaks while the second is under way is covered by it.
func TestHedgeCoversAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ill atomic.Bool
		gs := farRegions()
		gs[1].serve = func(w http.ResponseWriter, r *http.Request) {
			if ill.Load() {
				time.Sleep(100 * time.Millisecond)
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "eu-central-1")
		}
		l := newLab(t, gs)
		defer l.end()
		l.load(100, 900)
		ill.Store(true)
		s := l.one("GET", "/items?n=x", time.Now())
		if s.from != "us-east-1" || s.took != 136*time.Millisecond || l.ledger["x"] != 2 {
			t.Errorf("answered %d by %q after %v, executed %d times; want us-east-1 after 136 ms, twice in all", s.status, s.from, s.took, l.ledger["x"])
		}
	})
}

// Only a safe request without a body is asked twice, and what it must not be
// older than goes with both attempts.
func TestHedgeCarriesTheTokenAndWritesAreNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		tokens := make(chan string, 10)
		gs := farRegions()
		for _, g := range gs {
			g.serve = func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if late.Load() {
					tokens <- string(g.name) + " " + r.Method + " " + r.Header.Get("Meridian-Consistency")
					if g.name == "eu-central-1" {
						time.Sleep(time.Second)
					}
				}
				io.WriteString(w, string(g.name))
			}
		}
		l := newLab(t, gs)
		defer l.end()
		l.load(100, 900)
		late.Store(true)
		token := meridian.Tokens{{Database: "conduit", Timeline: 1, LSN: 77}}.String()
		if s := l.one("GET", "/items?n=x", time.Now(), "Meridian-Consistency", token); s.from != "us-east-1" {
			t.Errorf("a late read was answered %d by %q, want us-east-1", s.status, s.from)
		}
		if s := l.one("POST", "/items?n=y", time.Now()); s.from != "eu-central-1" || s.took < time.Second {
			t.Errorf("a late write was answered by %q after %v, want eu-central-1 after a second", s.from, s.took)
		}
		close(tokens)
		var got []string
		for s := range tokens {
			got = append(got, s)
		}
		if want := "eu-central-1 GET " + token + "; us-east-1 GET " + token + "; eu-central-1 POST "; strings.Join(got, "; ") != want {
			t.Errorf("regions were asked %q, want %q", strings.Join(got, "; "), want)
		}
	})
}

func TestHedgesAreOffWhereOneRegionIsReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var canceled atomic.Int32
		l := newLab(t, hiccups(&canceled)[1:2])
		defer l.end()
		l.load(100, 600)
		for n, k := range l.ledger {
			if k > 1 {
				t.Errorf("request %s was executed %d times", n, k)
			}
		}
	})
}
