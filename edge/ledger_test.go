package edge

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/origin"
	"meridian/internal/delay"
)

// A moody region executes what it is asked, and writes that down; or breaks off
// after that; or says, before, that it is not serving.
type moody struct {
	mood atomic.Int32

	mu     *sync.Mutex // guards what follows
	ledger map[string]int
	dice   *rand.Rand
}

// The moods.
const (
	serving = iota
	breaking
	refusing
	moods
)

func (m *moody) serve(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	mood := m.mood.Load()
	if mood == refusing {
		w.Header().Set(HeaderNotServing, "draining")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	m.mu.Lock()
	m.ledger[r.URL.Query().Get("n")]++
	breaks := mood == breaking && m.dice.IntN(2) == 0
	m.mu.Unlock()
	if breaks {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, "done")
}

// trouble changes a mood or a line each fifth of a second until stop, and
// then ends all of it.
func trouble(l *lab, ms []*moody, dice *rand.Rand, stop <-chan struct{}) {
	faults := []delay.Fault{{}, {}, {Cut: true}, {Deaf: true}, {Mute: true}, {Extra: 300 * time.Millisecond}}
	regions := farRegions()
	for {
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
		l.lines[regions[dice.IntN(len(regions))].name].Set(faults[dice.IntN(len(faults))])
		ms[dice.IntN(len(ms))].mood.Store(int32(dice.IntN(moods)))
	}
}

// A tally is what a ledger says of writes.
type tally struct {
	sent, twice int
	answered    int // with success
	lost        int // of those that were answered, not executed once
}

func (a *tally) add(b tally) {
	a.sent, a.twice, a.answered, a.lost = a.sent+b.sent, a.twice+b.twice, a.answered+b.answered, a.lost+b.lost
}

// ledger sends n writes through an edge whose regions are in all kinds of
// trouble, which a seed makes, and returns what became of them.
func ledger(t *testing.T, n int, seed uint64, retry func(origin.Attempt) origin.Verdict) (out tally) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		book := map[string]int{}
		gs, ms := farRegions(), []*moody{}
		for i, g := range gs {
			m := &moody{mu: &mu, ledger: book, dice: rand.New(rand.NewPCG(seed, uint64(i+1)))}
			ms, g.serve = append(ms, m), m.serve
		}
		l := newLab(t, gs)
		if retry != nil {
			l.retry = retry
		}
		defer l.end()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { trouble(l, ms, rand.New(rand.NewPCG(seed, 0)), stop) })
		told := make([]bool, n)
		start := time.Now()
		for i := range n {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / 2000)))
			wg.Go(func() { told[i] = l.one("POST", fmt.Sprint("/items?n=", i), start).status == 200 })
		}
		close(stop)
		for _, g := range gs {
			l.lines[g.name].Set(delay.Fault{})
		}
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		out.sent = n
		for _, k := range book {
			if k > 1 {
				out.twice++
			}
		}
		for i, ok := range told {
			if !ok {
				continue
			}
			if out.answered++; book[strconv.Itoa(i)] != 1 {
				out.lost++
			}
		}
	})
	return out
}

// part is how many writes one lab gets at most. Labs run beside each other, and
// what a lab remembers of its requests stays small.
const part = 20_000

// inParts sends n writes in labs of part each, of seeds that follow one another,
// and returns the sum.
func inParts(t *testing.T, n int, run func(t *testing.T, n int, seed uint64) tally) (all tally) {
	seed := rand.Uint64() >> 32
	for name, to := range map[string]func(uint64){"MERIDIAN_WRITES": func(v uint64) { n = int(v) }, "MERIDIAN_SEED": func(v uint64) { seed = v }} {
		if s := os.Getenv(name); s != "" {
			v, err := strconv.ParseUint(s, 10, 63)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			to(v)
		}
	}
	t.Logf("%d writes from seed %d", n, seed)
	var mu sync.Mutex // guards all
	t.Run("parts", func(t *testing.T) {
		for i := 0; i*part < n; i++ {
			t.Run(fmt.Sprint("seed=", seed+uint64(i)), func(t *testing.T) {
				t.Parallel()
				got := run(t, min(part, n-i*part), seed+uint64(i))
				if got.twice > 0 || got.lost > 0 {
					t.Errorf("%+v", got)
				}
				mu.Lock()
				defer mu.Unlock()
				all.add(got)
			})
		}
	})
	t.Logf("of %d writes %d were answered with success", all.sent, all.answered)
	return all
}

// Writes through every trouble that a lab knows: none is executed twice, and
// each that was answered once. MERIDIAN_WRITES=1000000 sends as many, and
// MERIDIAN_SEED makes the same trouble again (make ledger). Without the guard
// some are executed twice.
func TestNoWriteIsExecutedTwiceInTrouble(t *testing.T) {
	all := inParts(t, 4_000, func(t *testing.T, n int, seed uint64) tally { return ledger(t, n, seed, nil) })
	if all.twice > 0 || all.lost > 0 {
		t.Errorf("of %d writes %d were executed twice, %d answered and not executed once", all.sent, all.twice, all.lost)
	}
	if all.answered < all.sent/50 { // some seconds are trouble in all three regions
		t.Errorf("%d of %d writes were answered: the trouble is too much to show anything", all.answered, all.sent)
	}
	unguarded := func(a origin.Attempt) origin.Verdict {
		return origin.Verdict{Again: a.Tries < 3 && a.Left > 0 && !a.ClientGone, Why: "no guard"}
	}
	for seed := range uint64(20) { // some trouble harms nobody
		if ledger(t, 3000, seed, unguarded).twice > 0 {
			return
		}
	}
	t.Error("without the guard no write was executed twice: the test shows nothing")
}
