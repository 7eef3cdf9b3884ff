package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"meridian"
	"meridian/config"
	"meridian/postgres"
	"meridian/store"
)

// logOf is what a primary on a timeline finds in its log: handle a of before the
// fork of timeline 1, b of before that of timeline 2, and many more.
func logOf(timeline uint32) postgres.Outcomes {
	o := postgres.Outcomes{Timeline: timeline, Forks: map[uint32]meridian.LSN{1: 0x1000, 2: 0x80000}, Fork: 0x80000, Since: 0x800,
		Handles: map[string]meridian.LSN{"a": 0xF00, "b": 0x1F00}}
	for i := range 3000 {
		o.Handles[fmt.Sprintf("%032x", i)] = meridian.LSN(0x2000 + 16*i)
	}
	return o
}

// TestASuccessorSaysWhatItsLogHolds: of each fork that is part of its history,
// also where the successor before it was lost before it could; of a timeline that
// is not, that nobody can tell; of one that is newer than its own, nothing.
func TestASuccessorSaysWhatItsLogHolds(t *testing.T) {
	tn, kept := newTestTenure(t)
	s := &steward{db: "x", store: kept, log: slog.New(slog.DiscardHandler)}
	s.search = func(context.Context, meridian.LSN) (postgres.Outcomes, error) { return logOf(4), nil }
	tell := func(f postgres.Fork) {
		if err := tn.store.Put(t.Context(), forkKey("x", f.Timeline), mustJSON(f)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []postgres.Fork{{Timeline: 1, LSN: 0x1000}, {Timeline: 2, LSN: 0x90000}, {Timeline: 3, LSN: 0xA0000, Planned: true}, {Timeline: 7, LSN: 0xB0000}} {
		tell(f)
	}
	n := &node{store: kept, log: s.log}
	n.file = worldFile()
	said := map[uint32]bool{}
	if err := s.say(t.Context(), s.unsaid(said), said); err != nil {
		t.Fatal(err)
	}
	first, second := n.horizon(1), n.horizon(2)
	if first == nil || first.Since != 0x800 || fmt.Sprint(first.Handles) != "[a]" {
		t.Errorf("of timeline 1: %+v", first)
	}
	if second == nil || second.Since != nothing || len(second.Handles) != 0 {
		t.Errorf("of a timeline that ended elsewhere: %+v", second)
	}
	if n.horizon(3) != nil || n.horizon(7) != nil || !said[1] || !said[2] || said[7] {
		t.Errorf("said: %v, of a planned move %+v, of a newer timeline %+v", said, n.horizon(3), n.horizon(7))
	}
	// A full one fits into the store, and what is there stays.
	tell(postgres.Fork{Timeline: 2, LSN: 0x80000})
	if err := kept.Delete(t.Context(), horizonKey("x", 2)); err != nil {
		t.Fatal(err)
	}
	said = map[uint32]bool{}
	if err := s.say(t.Context(), s.unsaid(said), said); err != nil {
		t.Fatal(err)
	}
	if h := n.horizon(2); h == nil || len(h.Handles) < 1000 || len(mustJSON(h)) > store.MaxValue || h.Since <= 0x2000 {
		t.Errorf("a full horizon: %d handles since %s", len(h.Handles), h.Since)
	}
	if got := n.horizon(1); len(got.Handles) != 1 {
		t.Errorf("the other one became %+v", got)
	}
	s.search = func(context.Context, meridian.LSN) (postgres.Outcomes, error) {
		return postgres.Outcomes{}, errors.New("no log")
	}
	if err := s.say(t.Context(), []postgres.Fork{{Timeline: 3, LSN: 0xA0000}}, said); err == nil || said[3] {
		t.Errorf("a log that cannot be read: %v, said %v", err, said)
	}
}

// TestForksThatNobodyToldAreToldLater: a promotion that could not write to the
// store.
func TestForksThatNobodyToldAreToldLater(t *testing.T) {
	_, kept := newTestTenure(t)
	s := &steward{db: "x", store: kept, log: slog.New(slog.DiscardHandler)}
	s.search = func(context.Context, meridian.LSN) (postgres.Outcomes, error) { return logOf(4), nil }
	if err := kept.Put(t.Context(), forkKey("x", 1), mustJSON(postgres.Fork{Timeline: 1, LSN: 0x1000, Planned: true})); err != nil {
		t.Fatal(err)
	}
	if err := s.untold(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := &node{store: kept, log: s.log, file: worldFile()}
	if got := fmt.Sprint(n.forks()); got != "[{1 0/1000 0 true} {2 0/80000 4 false}]" {
		t.Error(got)
	}
}

// TestOldHorizonsLoseTheirHandles: and say that nobody can tell.
func TestOldHorizonsLoseTheirHandles(t *testing.T) {
	_, kept := newTestTenure(t)
	s := &steward{db: "x", store: kept, log: slog.New(slog.DiscardHandler)}
	for i := range horizonsKept + 2 {
		h := postgres.Horizon{Timeline: uint32(i), Since: 1, Handles: []string{strings.Repeat("a", 32)}}
		if err := kept.Put(t.Context(), horizonKey("x", uint32(i)), mustJSON(h)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := &node{store: kept, log: s.log, file: worldFile()}
	for i := range horizonsKept + 2 {
		h := n.horizon(uint32(i))
		if old := i < 2; old != (len(h.Handles) == 0) || old != (h.Since == nothing) {
			t.Errorf("horizon %d: %+v", i, h)
		}
	}
}

func worldFile() *config.File { return &config.File{Database: &config.Database{Name: "x"}} }
