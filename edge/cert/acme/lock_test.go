package acme

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/internal/keyring"
)

// A memory is a Keeper that several nodes of a test share.
type memory struct {
	mu      sync.Mutex // guards what follows
	values  map[string][]byte
	revs    map[string]int64
	rev     int64
	changed chan struct{}
	cut     bool // nobody can write
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, revs: map[string]int64{}, changed: make(chan struct{})}
}

func (m *memory) Get(key string) ([]byte, int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, m.revs[key], ok
}

func (m *memory) Keys(prefix string) (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.values {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func (m *memory) Watch() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *memory) CompareAndSwap(_ context.Context, key string, old int64, value []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut {
		return false, errors.New("there is no majority")
	}
	if m.revs[key] != old {
		return false, nil
	}
	m.rev++
	m.values[key], m.revs[key] = value, m.rev
	close(m.changed)
	m.changed = make(chan struct{})
	return true, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	delete(m.revs, key)
	return nil
}

func (m *memory) Sync(context.Context) error { return nil }

// TestWhoIsLostWithManyLocksIsWaitedForOnce has a node die with two locks, of which
// another wants one and then the other.
func TestWhoIsLostWithManyLocksIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a, b := node(m, "a"), node(m, "b")
		for _, name := range []string{"order", "account"} {
			if err := a.Lock(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		for _, h := range a.locks.held { // a dies
			h.stop()
			<-h.done
		}
		died := time.Now()
		for _, name := range []string{"order", "account"} {
			if err := b.Lock(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			defer b.Unlock(t.Context(), name)
		}
		if waited := time.Since(died); waited != lockExpiry {
			t.Errorf("both are had after %v, want %v", waited, lockExpiry)
		}
	})
}

func node(m *memory, name string) *Storage {
	r, err := keyring.Parse(strings.Repeat("a", 8) + " " + strings.Repeat("0", 64))
	if err != nil {
		panic(err)
	}
	return NewStorage(m, func() (keyring.Ring, error) { return r, nil }, name, slog.New(slog.DiscardHandler))
}

// TestALockIsTakenFromWhoIsLost has a holder go on, give back, and die.
func TestALockIsTakenFromWhoIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a, b, c := node(m, "a"), node(m, "b"), node(m, "c")
		if err := a.Lock(t.Context(), "name"); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 10*lockExpiry)
		defer cancel()
		if err := b.Lock(short, "name"); !errors.Is(err, context.DeadlineExceeded) { // the control: a lives
			t.Errorf("a lock that is held was taken: %v", err)
		}
		got := make(chan time.Time)
		go func() { // ends when a gives back
			if b.Lock(t.Context(), "name") == nil {
				got <- time.Now()
			}
		}()
		time.Sleep(time.Minute)
		back := time.Now()
		if err := a.Unlock(t.Context(), "name"); err != nil {
			t.Error(err)
		}
		if at := <-got; at.Sub(back) != 0 {
			t.Errorf("it was taken %v after it was given back", at.Sub(back))
		}
		// b dies: nothing renews its lock any more.
		b.locks.held["name"].stop()
		<-b.locks.held["name"].done
		died := time.Now()
		if err := c.Lock(t.Context(), "name"); err != nil {
			t.Error(err)
		}
		if took := time.Since(died); took < lockExpiry || took > lockExpiry+lockPause {
			t.Errorf("it was taken %v after its holder died, want %v", took, lockExpiry)
		}
		if err := b.Unlock(t.Context(), "name"); err != nil { // who lost it frees it for nobody
			t.Error(err)
		}
		if text, _, _ := m.Get(lockPrefix + "name"); free(text) {
			t.Error("a lock was freed by who had lost it")
		}
		c.Unlock(t.Context(), "name")
	})
}

func TestTheStorageIsATreeOfKeys(t *testing.T) {
	m := newMemory()
	s, ctx := node(m, "a"), t.Context()
	for _, k := range []string{"x/a/1", "x/a/2", "x/b/1", "xx"} {
		if err := s.Store(ctx, k, []byte("of "+k)); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := node(m, "b").Load(ctx, "x/a/2"); err != nil || string(text) != "of x/a/2" {
		t.Errorf("%q, %v", text, err)
	}
	for dir, want := range map[string]string{"x": "x/a x/b", "x/a": "x/a/1 x/a/2", "": "x xx"} {
		if got, err := s.List(ctx, dir, false); err != nil || strings.Join(got, " ") != want {
			t.Errorf("in %q: %q, %v", dir, got, err)
		}
	}
	if got, _ := s.List(ctx, "x", true); strings.Join(got, " ") != "x/a/1 x/a/2 x/b/1" {
		t.Errorf("all: %q", got)
	}
	for key, want := range map[string]bool{"x/a": false, "x/a/1": true} {
		if info, err := s.Stat(ctx, key); err != nil || info.IsTerminal != want {
			t.Errorf("%s: %+v, %v", key, info, err)
		}
	}
	if err := s.Delete(ctx, "x/a"); err != nil || s.Exists(ctx, "x/a") || !s.Exists(ctx, "x") || !s.Exists(ctx, "xx") {
		t.Errorf("after the end of a directory: %v, %v", m.Keys(""), err)
	}
	for _, err := range []error{second(s.Load(ctx, "x/a/1")), second(s.Stat(ctx, "y")), second(s.List(ctx, "y", false))} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, want that it does not exist", err)
		}
	}
	m.cut = true
	if err := s.Store(ctx, "z", nil); err == nil {
		t.Error("it stores without a majority")
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnErrorIsALine(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP 502:\n\t<html>\x1b[2J\xff\r\n":   "HTTP 502: <html>?[2J?",
		strings.Repeat("é", 1000) + "\n<html>": strings.Repeat("é", maxError/2) + "...",
		"a" + strings.Repeat("é", 1000):        "a" + strings.Repeat("é", maxError/2-1) + "...",
	} {
		if got := line(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestPausesGrow(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	r, last := Report{Order: "x"}, time.Duration(0)
	for range 12 {
		r = r.after(errors.New("no"), now, 0)
		if wait := r.Next.Sub(now); wait < last || wait > 6*time.Hour {
			t.Errorf("after %d tries: %v", r.Tries, wait)
		} else {
			last = wait
		}
	}
	if last != 6*time.Hour || r.Order != "x" {
		t.Errorf("%v, %+v", last, r)
	}
	if r = r.after(nil, now, 0); r != (Report{At: now, Order: "x"}) {
		t.Errorf("after a success: %+v", r)
	}
	if r = r.after(errors.New("no"), now, 5*time.Minute); r.Next.Sub(now) != 15*time.Second {
		t.Errorf("a certificate of 5 min waits %v", r.Next.Sub(now))
	}
}
