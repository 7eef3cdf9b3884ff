package purge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/cache"
)

// A land is some edges at distances, and a log.
type land struct {
	far   map[string]time.Duration // half a round trip; < 0: it is silent
	order []string
	store error // of a write of the log

	mu     sync.Mutex // guards what follows
	told   map[string][]string
	at     map[string]time.Time
	log    Log
	writes int
}

func (l *land) deps() Deps {
	return Deps{Edges: func() []string { return l.order }, Tell: l.tell, Keep: l.keep}
}

func (l *land) distance(node string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.far[node]
}

func (l *land) tell(ctx context.Context, node string, ps []cache.Purge) ([]int, error) {
	d := l.distance(node)
	if d < 0 {
		<-ctx.Done()
		return nil, fmt.Errorf("%s does not answer", node)
	}
	time.Sleep(d)
	l.mu.Lock()
	out := make([]int, len(ps))
	for i, p := range ps {
		l.told[node] = append(l.told[node], p.ID)
		l.at[p.ID], out[i] = time.Now(), 1
	}
	l.mu.Unlock()
	time.Sleep(d)
	return out, nil
}

func (l *land) keep(ctx context.Context, ps []cache.Purge) error {
	time.Sleep(100 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	if l.store != nil {
		return l.store
	}
	l.log = l.log.With(ps, time.Now())
	return nil
}

// inLand runs a test with a sender and edges, in time that is simulated.
func inLand(t *testing.T, test func(t *testing.T, s *Sender, l *land)) {
	synctest.Test(t, func(t *testing.T) {
		l := &land{
			far:   map[string]time.Duration{"near": time.Millisecond, "far": 100 * time.Millisecond, "farthest": 110 * time.Millisecond},
			order: []string{"near", "far", "farthest"}, told: map[string][]string{}, at: map[string]time.Time{},
		}
		s, err := NewSender(Config{}, l.deps())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, func() {}) }()
		test(t, s, l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAPurgeIsEverywhereAfterOneRoundTrip(t *testing.T) {
	inLand(t, func(t *testing.T, s *Sender, l *land) {
		begin := time.Now()
		o := s.Purge(t.Context(), named("a"), 0)
		if took := time.Since(begin); !o.Done() || took != 220*time.Millisecond || o.Took != took {
			t.Errorf("%+v after %v, want everywhere after 220ms", o, took)
		}
		if at := l.at["a"].Sub(begin); at != 110*time.Millisecond {
			t.Errorf("the last edge has it after %v, want half a round trip", at)
		}
		if !o.Kept || ids(l.log.Purges) != "a" {
			t.Errorf("kept %v: %s", o.Kept, ids(l.log.Purges))
		}
	})
}

func TestASilentEdgeIsPendingAndTheLogHasIt(t *testing.T) {
	inLand(t, func(t *testing.T, s *Sender, l *land) {
		l.far["far"] = -1
		begin := time.Now()
		o := s.Purge(t.Context(), named("a"), 0)
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("the answer took %v, want the patience of 2s", took)
		}
		if o.Done() || !o.Kept || len(o.pending()) != 1 || o.Edges[1].Why != "far does not answer" || !o.Edges[2].Done {
			t.Errorf("%+v", o)
		}
	})
}

func TestWaitIsForAnEdgeThatComesBack(t *testing.T) {
	inLand(t, func(t *testing.T, s *Sender, l *land) {
		l.far["far"] = -1
		time.AfterFunc(5*time.Second, func() { l.mu.Lock(); l.far["far"] = 0; l.mu.Unlock() })
		begin := time.Now()
		o := s.Purge(t.Context(), named("a"), 20*time.Second)
		if took := time.Since(begin); !o.Done() || took > 8*time.Second {
			t.Errorf("%+v after %v", o, took)
		}
	})
}

func TestWithoutTheStoreItIsSaidThatNothingIsKept(t *testing.T) {
	inLand(t, func(t *testing.T, s *Sender, l *land) {
		l.store, l.far["far"] = errors.New("no majority"), -1
		if o := s.Purge(t.Context(), named("a"), 0); o.Kept || o.Done() {
			t.Errorf("%+v", o)
		}
		l.mu.Lock()
		l.store = nil
		l.mu.Unlock()
		time.Sleep(2 * time.Second) // and it is, as soon as the store is back
		synctest.Wait()
		if ids(l.log.Purges) != "a" {
			t.Errorf("the log has %q", ids(l.log.Purges))
		}
	})
}

// TestInvalidationsAreGatheredAndBounded: ten thousand at once are few messages,
// and no more a second than the rate. Control: those are sent one by one that
// come one by one.
func TestInvalidationsAreGatheredAndBounded(t *testing.T) {
	inLand(t, func(t *testing.T, s *Sender, l *land) {
		for i := range 10 {
			s.Invalidated(named(fmt.Sprint("slow-", i))[0])
			time.Sleep(500 * time.Millisecond)
		}
		synctest.Wait()
		if n := len(l.told["near"]); n != 10 || l.writes != 0 {
			t.Errorf("%d were told in %d writes of the log, want 10 in none: they reached every edge", n, l.writes)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range 10_000 {
			s.Invalidated(named(fmt.Sprint("fast-", i))[0])
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(l.told["near"]) - 10; n != 100 || l.writes != 0 {
			t.Errorf("of 10,000 at once %d were told in %d writes of the log, want 100 in none", n, l.writes)
		}
		for range 1000 { // of one path: they are one
			s.Invalidated(cache.Purge{ID: NewID(), Path: "/same", At: time.Now()})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(l.told["near"]) - 110; n > 2 {
			t.Errorf("1000 of one path were told as %d", n)
		}
		l.mu.Lock()
		l.far["far"] = -1
		l.mu.Unlock()
		for i := range 50 {
			s.Invalidated(named(fmt.Sprint("missed-", i))[0])
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := len(l.log.Purges); n != 50 || l.writes > 3 {
			t.Errorf("of 50 that an edge did not hear %d are in the log, in %d writes, want all in a few", n, l.writes)
		}
	})
}
