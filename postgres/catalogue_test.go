package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian/postgres/classify"
)

// frozen is a judge that takes every verdict for good for ever.
type frozen struct{ *classify.Cache }

func (frozen) Current(*classify.Verdict) bool { return true }

// TestAStatementIsJudgedByTheNamesOfToday prepares a read of a view that is
// harmless, and makes the view take a lock afterwards.
func TestAStatementIsJudgedByTheNamesOfToday(t *testing.T) {
	w, c := fixture(t, "judged")
	home := w.connect(dsn(w.iad))
	if onStandby := w.judged(c, home); onStandby {
		t.Error("a lock was taken on the standby by a statement that was prepared when its view took none")
	}
	// Control: a verdict that was made at the Parse stays.
	w.dub.judge = frozen{w.dub.verdicts}
	if onStandby := w.judged(w.connect(dsn(w.dub)), home); !onStandby {
		t.Error("the control ran on the primary")
	}
}

// judged reports whether the prepared read of the changed view ran on the standby.
func (w *world) judged(c, home *pgx.Conn) (onStandby bool) {
	w.t.Helper()
	w.exec(home, "create or replace function judge() returns bool language sql as 'select pg_try_advisory_xact_lock(44)'",
		"create or replace view judged_view as select false as locked, pg_is_in_recovery() as here")
	w.caughtUp(home)
	const sql = "select here from judged_view"
	if _, err := c.Prepare(w.t.Context(), "judged", sql); err != nil {
		w.t.Fatal(err)
	}
	if !get[bool](w, c, "judged") {
		w.t.Fatal("a harmless view was read on the primary")
	}
	w.exec(home, "create or replace view judged_view as select judge() as locked, pg_is_in_recovery() as here")
	w.caughtUp(home)
	return get[bool](w, c, "judged")
}

// TestDefinitionsAreToldToOtherRegions: the standby's replay is stopped, so that
// it cannot learn of a definition by itself.
func TestDefinitionsAreToldToOtherRegions(t *testing.T) {
	w, _ := fixture(t, "told")
	home := w.connect(dsn(w.iad))
	defer w.freeze()()
	if w.dub.catalogue.behind() {
		t.Fatal("behind, and nothing was defined")
	}
	// Control: nobody is told.
	tells := w.iad.catalogue.tells
	w.iad.catalogue.mu.Lock()
	w.iad.catalogue.tells = map[chan struct{}]bool{}
	w.iad.catalogue.mu.Unlock()
	w.exec(home, "create or replace view told_view as select 1 as one")
	if _, err := w.dub.probe.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.dub.catalogue.behind() {
		t.Error("the control learnt of a view that was not told of")
	}
	w.iad.catalogue.mu.Lock()
	w.iad.catalogue.tells = tells
	w.iad.catalogue.mu.Unlock()
	w.exec(home, "create or replace view told_view as select 2 as one")
	w.eventually("the other region knows that names changed", w.dub.catalogue.behind)
}
