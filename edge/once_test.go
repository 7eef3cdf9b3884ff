package edge

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/internal/delay"
	"meridian/internal/idempotency"
)

// A registry is what regions that deduplicate agree in: what was executed by a
// key, and how it was answered. Off, it forgets: the negative control.
type registry struct {
	off bool

	mu       sync.Mutex // guards what follows
	answers  map[string]string
	executed map[string]int // how often each request was
}

// serve executes a request once by its key, as gateways do.
func (g *registry) serve(name string, m *moody) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mood := m.mood.Load()
		if mood == refusing {
			w.Header().Set(HeaderNotServing, "draining")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		key := r.Header.Get(idempotency.Header)
		g.mu.Lock()
		answer, known := g.answers[key]
		if key == "" || !known || g.off {
			answer = "done in " + name
			g.answers[key] = answer
			g.executed[r.URL.Query().Get("n")]++
		}
		breaks := mood == breaking && m.dice.IntN(2) == 0
		g.mu.Unlock()
		if breaks {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, answer)
	}
}

// keyedLab starts an edge and regions that deduplicate.
func keyedLab(t *testing.T, off bool, seed uint64, opts ...func(*Config, *Deps)) (*lab, *registry, []*moody) {
	g := &registry{off: off, answers: map[string]string{}, executed: map[string]int{}}
	gs, ms := farRegions(), []*moody{}
	for i, r := range gs {
		m := &moody{dice: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		ms, r.serve = append(ms, m), g.serve(string(r.name), m)
	}
	opts = append([]func(*Config, *Deps){func(c *Config, _ *Deps) { c.Deduplicated = true }}, opts...)
	return newLab(t, gs, opts...), g, ms
}

// A write with a key whose region executes it and then falls silent is answered
// by another region, as the first one would have. Without deduplication it is
// executed twice; and an edge that does not count on it leaves it in doubt.
func TestAKeyedWriteIsAnsweredByAnotherRegionAndExecutedOnce(t *testing.T) {
	for _, tt := range []struct {
		name        string
		off, counts bool
		status      int
		executed    int
	}{
		{"deduplicated", false, true, http.StatusOK, 1},
		{"control: regions forget", true, true, http.StatusOK, 2},
		{"the edge does not count on it", false, false, http.StatusBadGateway, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, g, _ := keyedLab(t, tt.off, 0, func(c *Config, _ *Deps) { c.Deduplicated = tt.counts })
				defer l.end()
				l.lines["eu-central-1"].Set(delay.Fault{Deaf: true}) // requests arrive, answers do not
				s := l.one("POST", "/items?n=w", time.Now(), idempotency.Header, `"k-1"`)
				if s.status != tt.status || g.executed["w"] != tt.executed {
					t.Errorf("answered %d %q after %v, executed %d times; want %d, %d times", s.status, s.from, s.took, g.executed["w"], tt.status, tt.executed)
				}
				if tt.status == http.StatusOK && !tt.off && (s.from != "done in eu-central-1" || s.took > time.Second) {
					t.Errorf("answered %q after %v, want what the first region answered, within a second", s.from, s.took)
				}
			})
		})
	}
}

// Who is asked the second time and cannot tell whether the first executed it
// leaves it in doubt: the client hears that, and not that nothing was sent.
func TestWhatNobodyCanTellStaysInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := farRegions()
		for _, g := range gs {
			if g.name == "eu-central-1" {
				continue
			}
			g.serve = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(idempotency.HeaderOnce) == "" {
					t.Error("a region that deduplicates was not asked to")
				}
				w.Header().Set(idempotency.HeaderUnclaimed, "no primary")
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		l := newLab(t, gs, func(c *Config, _ *Deps) { c.Deduplicated = true })
		defer l.end()
		l.lines["eu-central-1"].Set(delay.Fault{Deaf: true})
		if s := l.one("POST", "/items?n=w", time.Now(), idempotency.Header, "k-1"); s.status != http.StatusBadGateway {
			t.Errorf("answered %d %q, want 502", s.status, s.from)
		}
	})
}

// keyedLedger sends n writes with keys through an edge whose regions are in all
// kinds of trouble, which a seed makes.
func keyedLedger(t *testing.T, n int, seed uint64, off bool) (out tally) {
	synctest.Test(t, func(t *testing.T) {
		l, g, ms := keyedLab(t, off, seed)
		defer l.end()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { trouble(l, ms, rand.New(rand.NewPCG(seed, 0)), stop) })
		told := make([]bool, n)
		start := time.Now()
		for i := range n {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / 2000)))
			wg.Go(func() {
				told[i] = l.one("POST", fmt.Sprint("/items?n=", i), start, idempotency.Header, fmt.Sprint("k-", i)).status == 200
			})
		}
		close(stop)
		for _, r := range farRegions() {
			l.lines[r.name].Set(delay.Fault{})
		}
		wg.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		out.sent = n
		for _, k := range g.executed {
			if k > 1 {
				out.twice++
			}
		}
		for i, ok := range told {
			if !ok {
				continue
			}
			if out.answered++; g.executed[strconv.Itoa(i)] == 0 {
				out.lost++
			}
		}
	})
	return out
}

// The same trouble as of TestNoWriteIsExecutedTwiceInTrouble, with keys: more are
// answered, and still none is executed twice. Without deduplication some are.
func TestNoKeyedWriteIsExecutedTwiceInTrouble(t *testing.T) {
	all := inParts(t, 3_000, func(t *testing.T, n int, seed uint64) tally { return keyedLedger(t, n, seed, false) })
	if all.twice > 0 || all.lost > 0 {
		t.Errorf("of %d writes %d were executed twice, %d answered and not executed", all.sent, all.twice, all.lost)
	}
	for seed := range uint64(20) { // some trouble harms nobody
		if keyedLedger(t, 3000, seed, true).twice > 0 {
			return
		}
	}
	t.Error("without deduplication no write was executed twice: the test shows nothing")
}

// A black hole costs writes with keys no more than it costs reads.
func TestKeyedWritesLeaveABlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, _ := keyedLab(t, false, 0)
		defer l.end()
		defer time.AfterFunc(time.Second, func() { l.lines["eu-central-1"].Set(delay.Fault{Cut: true}) }).Stop()
		var wg sync.WaitGroup
		all := make([]sample, 4000)
		start := time.Now()
		for i := range all {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / 2000)))
			wg.Go(func() {
				all[i] = l.one("POST", fmt.Sprint("/items?n=", i), start, idempotency.Header, fmt.Sprint("k-", i))
			})
		}
		wg.Wait()
		slow, failed := 0, 0
		for _, s := range all {
			if s.took > time.Second {
				slow++
			}
			if s.status != 200 {
				failed++
			}
		}
		t.Logf("%d slow, %d failed", slow, failed)
		if slow > 10 || failed > 0 || len(g.executed) != len(all) {
			t.Errorf("of %d writes %d were slow and %d failed; %d were executed", len(all), slow, failed, len(g.executed))
		}
	})
}
