package postgres

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
)

// TestWhatWasClaimedInALostHistoryWritesNothing loses the primary with a claim that
// nobody else has. What an invocation then sends for it to the successor, from
// another region and in its own, is refused; for a claim that the successor has it
// runs. Before it is known where the history ended it waits. Control, in the same
// test: a successor that does not look executes it.
func TestWhatWasClaimedInALostHistoryWritesNothing(t *testing.T) {
	t.Parallel()
	var forks atomic.Pointer[[]Fork]
	forks.Store(&[]Fork{})
	w := newTrio(t, func(c *Config, d *Deps) {
		c.PrimaryTimeout, c.MoveBudget = 300*time.Millisecond, 400*time.Millisecond
		d.Forks = func() []Fork { return *forks.Load() }
	})
	su := w.superuser(w.servers[iad])
	w.exec(su, "create table claims (v int)", "grant all on claims to conduit")
	w.standbys("the table is there", "select to_regclass('claims') is not null")
	n := 0
	// invoke writes as a function does for a request with a claim.
	invoke := func(r meridian.Region, claim meridian.Token) (meridian.Token, error) {
		n++
		name := fmt.Sprintf("claims-%d-x", n)
		c := w.attach(w.proxies[r], name)
		end := w.proxies[r].Begin(t.Context(), name, meridian.Token{}, meridian.Promise{Claim: claim})
		_, err := c.Exec(t.Context(), "insert into claims values ($1)", n)
		return end().Token, err
	}
	must := func(what string, r meridian.Region, claim meridian.Token) meridian.Token {
		t.Helper()
		tok, err := invoke(r, claim)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return tok
	}
	kept := must("a claim", sin, meridian.Token{})
	must("a write under it, forwarded", sin, kept)
	must("a write under it, in the primary's region", iad, kept)
	w.standbys("they are replicated", "select count(*) = 3 from claims")
	w.deafen()
	lost := must("a claim that nobody else has", sin, meridian.Token{})
	w.lose(iad)
	w.check(w.servers[dub].Promote())
	o, err := readsLog(w.servers[dub])(t.Context(), 0)
	w.check(err)
	w.point(dub)
	w.check(w.servers[sin].Follow(w.servers[dub]))
	count := func() int { return get[int](w.world, w.superuser(w.servers[dub]), "select count(*) from claims") }
	for _, r := range []meridian.Region{sin, dub} {
		if _, err := invoke(r, lost); err == nil || state(err) == stateUnclaimed {
			t.Errorf("%s, before the fork is told: %v, want to wait for it in vain", r, err)
		}
	}
	forks.Store(&[]Fork{{Timeline: 1, LSN: o.Fork, Next: o.Timeline}})
	for _, r := range []meridian.Region{sin, dub} {
		if _, err := invoke(r, lost); state(err) != stateUnclaimed {
			t.Errorf("%s, under a claim that is lost: %v, want %s", r, err, stateUnclaimed)
		}
	}
	if got := count(); got != 3 {
		t.Errorf("%d rows, want the 3 of before", got)
	}
	for _, r := range []meridian.Region{sin, dub} {
		must(string(r)+", under a claim that the successor has", r, kept)
		must(string(r)+", without a claim", r, meridian.Token{})
	}
	w.proxies[dub].anyHistory = true
	for _, r := range []meridian.Region{sin, dub} {
		must(string(r)+", control", r, lost)
	}
	if got := count(); got != 9 {
		t.Errorf("control: %d rows, want 9: the test shows nothing", got)
	}
}
