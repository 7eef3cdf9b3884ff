package store

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"meridian"
)

// TestSyncShowsAllThatWasWrittenBefore: another member's write is seen at once
// after Sync. Control, in the same test: before it, some are not.
func TestSyncShowsAllThatWasWrittenBefore(t *testing.T) {
	v := newVoters(t)
	a, b := v.start("a"), v.start("b")
	v.start("c").up()
	open, _ := relayed(t, a.up())
	f := follow(t, t.TempDir(), open).up()
	b.up()
	late := 0
	for i := range 40 {
		want := fmt.Sprint(i)
		b.put("k", want)
		if e, _ := f.Now().Get("k"); string(e.Value) != want {
			late++
		}
		if err := f.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, _ := f.Now().Get("k"); string(e.Value) != want {
			t.Fatalf("after Sync: %q, want %q", e.Value, want)
		}
	}
	if late == 0 {
		t.Error("every write was seen without Sync: this shows nothing")
	}
	if _, ok := f.Now().Get(syncKey); ok {
		t.Error("Sync has set a key")
	}
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
