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
	m.mu.Unlock()
	if mood == breaking && rand.IntN(2) == 0 {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, "done")
}

// trouble changes a mood or a line each fifth of a second until stop, and
// then ends all of it.
func trouble(l *lab, ms []*moody, stop <-chan struct{}) {
	faults := []delay.Fault{{}, {}, {Cut: true}, {Deaf: true}, {Mute: true}, {Extra: 300 * time.Millisecond}}
	names := []string{"us-east-1", "eu-central-1", "ap-southeast-1"}
	for {
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
		i := rand.IntN(len(names))
		l.lines[farRegions()[i].name].Set(faults[rand.IntN(len(faults))])
		ms[rand.IntN(len(ms))].mood.Store(int32(rand.IntN(moods)))
	}
}

// ledger sends n writes through an edge whose regions are in all kinds of
// trouble, and returns how many were executed twice, answered, and not executed
// though they were answered.
func ledger(t *testing.T, n int, retry func(origin.Attempt) origin.Verdict) (twice, answered, lost int) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		book := map[string]int{}
		gs, ms := farRegions(), []*moody{}
		for _, g := range gs {
			m := &moody{mu: &mu, ledger: book}
			ms, g.serve = append(ms, m), m.serve
		}
		l := newLab(t, gs)
		if retry != nil {
			l.retry = retry
		}
		defer l.end()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { trouble(l, ms, stop) })
		var told sync.Map
		start := time.Now()
		for i := range n {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / 2000)))
			wg.Go(func() {
				if s := l.one("POST", fmt.Sprint("/items?n=", i), start); s.status == 200 {
					told.Store(strconv.Itoa(i), true)
				}
			})
		}
		close(stop)
		for _, g := range gs {
			l.lines[g.name].Set(delay.Fault{})
		}
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		for _, k := range book {
			if k > 1 {
				twice++
			}
		}
		told.Range(func(k, _ any) bool {
			if answered++; book[k.(string)] != 1 {
				lost++
			}
			return true
		})
	})
	return twice, answered, lost
}

// Writes through every trouble that a lab knows: none is executed twice, and
// each that was answered once. MERIDIAN_WRITES=1000000 sends as many. Without
// the guard some are executed twice.
func TestNoWriteIsExecutedTwiceInTrouble(t *testing.T) {
	n := 4_000
	if s := os.Getenv("MERIDIAN_WRITES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("MERIDIAN_WRITES: %v", err)
		}
	}
	twice, answered, lost := ledger(t, n, nil)
	t.Logf("%d of %d writes were answered with success", answered, n)
	if twice > 0 || lost > 0 {
		t.Errorf("%d of %d writes were executed twice, %d answered and not executed once", twice, n, lost)
	}
	if answered < n/2 {
		t.Errorf("%d of %d writes were answered: the trouble is too much to show anything", answered, n)
	}
	unguarded := func(a origin.Attempt) origin.Verdict {
		return origin.Verdict{Again: a.Tries < 3 && a.Left > 0 && !a.ClientGone, Why: "no guard"}
	}
	for range 20 { // the trouble is random: some of it harms nobody
		if twice, _, _ := ledger(t, 3000, unguarded); twice > 0 {
			return
		}
	}
	t.Error("without the guard no write was executed twice: the test shows nothing")
}
