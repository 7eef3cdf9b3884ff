package server

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"meridian"
	"meridian/config"
	"meridian/postgres/failover"
)

// TestARefusedMoveUsesNoTerm refuses moves, each of which is then not tried
// again, and the record stays in its term: promotions make a file for each that
// they pass over. Control: a move that is not answered is still asked for.
func TestARefusedMoveUsesNoTerm(t *testing.T) {
	tn, d := newTestTenure(t)
	tn.write(t, failover.Record{Region: "dub", Term: 1})
	s := &steward{self: config.Node{Region: "dub"}, db: "x", tenure: tn, store: d, log: slog.New(slog.DiscardHandler)}
	for i := range 20 {
		m := failover.Move{ID: fmt.Sprint(i), To: "iad", Term: 1}
		if err := d.Put(t.Context(), movePrefix+"x", mustJSON(m)); err != nil {
			t.Fatal(err)
		}
		if got, ok := s.pending(); !ok || got.ID != m.ID {
			t.Fatalf("control: %+v is not asked for", got)
		}
		why := errors.New("no")
		if err := s.refuse(t.Context(), &m, why); !errors.Is(err, why) {
			t.Fatal(err)
		}
		if got, ok := s.pending(); ok {
			t.Fatalf("%+v is asked for again", got)
		}
		other := &steward{self: config.Node{Region: "sin"}, db: "x", tenure: tn, store: d, log: s.log}
		if got := other.asked(d.Now()); got.ID != "" {
			t.Fatalf("another region sees %+v", got)
		}
	}
	tn.see(d.Now())
	if r, _, _ := tn.now(); r.Term != 1 || r.Region != "dub" {
		t.Errorf("the record is %+v", r)
	}
}

func TestAMoveThatCannotBeOrderedSaysWhoMustComeBack(t *testing.T) {
	lost := meridian.WithKind(meridian.Unavailable, errors.New("no connection"))
	for _, c := range []struct {
		voters []config.Node
		err    error
		want   string
	}{
		{[]config.Node{{Name: "us"}}, lost, "move the primary to eu: the order must be written to the store, whose voters are us: bring back as many as make a majority (1), with the data they had: no connection"},
		{[]config.Node{{Name: "us"}, {Name: "eu"}, {Name: "w"}}, lost, "move the primary to eu: the order must be written to the store, whose voters are us, eu, w: bring back as many as make a majority (2), with the data they had: no connection"},
		{nil, errors.New("no"), "move the primary to eu: no"},
	} {
		if got := notOrdered("eu", c.voters, c.err); got.Error() != c.want || meridian.KindOf(got) != meridian.KindOf(c.err) {
			t.Errorf("%v", got)
		}
	}
}

func TestAMoveWaitsAsLongAsItMay(t *testing.T) {
	now := time.Now()
	w := waiting{"one", now.Add(-time.Second)}
	for _, c := range []struct {
		m    failover.Move
		over bool
	}{
		{failover.Move{ID: "one"}, true}, {failover.Move{ID: "one", Wait: 2 * time.Second}, false},
		{failover.Move{ID: "one", Wait: time.Second}, true}, {failover.Move{ID: "two", Wait: time.Second}, false},
	} {
		if got := w.over(&c.m, now); got != c.over {
			t.Errorf("%+v: over %v", c.m, got)
		}
	}
}

// TestAMoveWaitsForATargetThatMayHaveComeBack: a moment, and each move anew.
func TestAMoveWaitsForATargetThatMayHaveComeBack(t *testing.T) {
	s := &steward{}
	if !s.mayComeBack("one") {
		t.Error("refused before any other node's word could come")
	}
	if s.deafAt -= backGrace; s.mayComeBack("one") {
		t.Error("waits for ever")
	}
	if !s.mayComeBack("two") {
		t.Error("another move has no moment of its own")
	}
}
