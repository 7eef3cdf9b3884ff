package store

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"meridian"
)

// TestSyncShowsAllThatWasWrittenBefore: another member's write is seen once Sync
// returned. Control, in the same test: before it, none is, since the relay's
// answers are held back.
func TestSyncShowsAllThatWasWrittenBefore(t *testing.T) {
	v := newVoters(t)
	a, b := v.start("a"), v.start("b")
	v.start("c").up()
	open, _ := relayed(t, a.up())
	held := &valve{}
	f := follow(t, t.TempDir(), held.on(open)).up()
	b.up()
	for i := range 40 {
		want := fmt.Sprint(i)
		held.mu.Lock()
		b.put("k", want)
		e, _ := f.Now().Get("k")
		held.mu.Unlock()
		if string(e.Value) == want {
			t.Fatalf("%q was seen although nothing came from the relay", want)
		}
		if err := f.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, _ := f.Now().Get("k"); string(e.Value) != want {
			t.Fatalf("after Sync: %q, want %q", e.Value, want)
		}
	}
	if _, ok := f.Now().Get(syncKey); ok {
		t.Error("Sync has set a key")
	}
}

// A valve lets nothing through what it is on while its mutex is held.
type valve struct{ mu sync.Mutex }

func (v *valve) on(open func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		c, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return valved{c, v}, nil
	}
}

type valved struct {
	net.Conn
	*valve
}

func (c valved) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	return n, err
}

func TestSyncFailsWhereNobodyAnswers(t *testing.T) {
	nobody := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	f := follow(t, t.TempDir(), nobody)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := f.Sync(ctx); meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("sync with nobody there: %v", err)
	}
}
