package postgres

import (
	"testing"
	"time"

	"meridian"
)

// TestWhatWasReadIsAtLeastAsNewAsItSays writes at the primary while replay on the
// standby stands still and goes on, and reads there: an invocation that says that it
// is at least as new as a write has read it. It says so without being asked, once
// replay has passed the write; of what was read at the primary nothing is said.
// Control, in the same test: one that says what it may have seen at most says so of a
// write that it did not read.
func TestWhatWasReadIsAtLeastAsNewAsItSays(t *testing.T) {
	w := newWorld(t)
	home, here := w.connect(dsn(w.iad)), w.superuser(pair.standby)
	w.exec(home, "drop table if exists since", "create table since (v int)", "insert into since values (0)")
	c := w.attach(w.dub, "since")
	w.caughtUp(c)
	eventual := meridian.Promise{Consistency: &meridian.Consistency{Level: meridian.Eventual}}
	read := func() (v int, o meridian.Observation) {
		end := w.dub.Begin(t.Context(), "since", meridian.Token{}, eventual)
		v = get[int](w, c, "select v from since")
		return v, end()
	}
	claims := func(o meridian.Observation, at meridian.Token) bool {
		return !o.Since.IsZero() && !at.Newer(o.Since)
	}
	lied, said := 0, 0
	for round := 1; round <= 5; round++ {
		w.exec(here, "select pg_wal_replay_pause()")
		w.exec(home, "update since set v = v + 1")
		at, err := w.iad.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // it is received meanwhile, and not replayed
		for range 3 {
			if v, o := read(); claims(o, at) && v < round {
				t.Errorf("round %d: read %d, and says that it is as new as %s: since %s", round, v, at, o.Since)
			} else if o.Since.Newer(o.Token) {
				t.Errorf("round %d: since %s, and seen %s", round, o.Since, o.Token)
			}
		}
		w.dub.sinceSeen = true
		if v, o := read(); claims(o, at) && v < round {
			lied++
		}
		w.dub.sinceSeen = false
		w.exec(here, "select pg_wal_replay_resume()")
		for range 200 {
			v, o := read()
			if claims(o, at) {
				if said++; v < round {
					t.Errorf("round %d: read %d, and says that it is as new as %s", round, v, at)
				}
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if said != 5 {
		t.Errorf("of 5 writes %d were said to be read once they were replayed", said)
	}
	if lied == 0 {
		t.Error("control: nobody said too much: the test shows nothing")
	}
	end := w.dub.Begin(t.Context(), "since", meridian.Token{}, meridian.Promise{})
	w.exec(c, "update since set v = v + 1")
	if o := end(); !o.Since.IsZero() {
		t.Errorf("of what ran at the primary it is said since %s", o.Since)
	}
}
