package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
)

// A teller counts how often it is told that something may be written, and may
// refuse.
type teller struct {
	at     meridian.Token
	refuse error
	told   atomic.Int32
}

func (t *teller) Touch(context.Context) (meridian.Token, error) {
	t.told.Add(1)
	return t.at, t.refuse
}

// TestNobodyWritesBeforeItIsTold: what may write is sent only after the ledger was
// told, in the primary's region and from another; reads tell nobody. Whose claim was
// taken writes nothing. Control, in the same test: a proxy that tells nobody writes.
func TestNobodyWritesBeforeItIsTold(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	su := w.superuser(w.servers[iad])
	w.exec(su, "create table touches (v int)", "grant all on touches to conduit")
	w.standbys("the table is there", "select to_regclass('touches') is not null")
	n := 0
	// invoke runs statements as a function does for a request with a claim.
	invoke := func(r meridian.Region, to *teller, sql ...string) error {
		n++
		name := fmt.Sprintf("touches-%d-x", n)
		c := w.attach(w.proxies[r], name)
		end := w.proxies[r].Begin(t.Context(), name, meridian.Token{}, meridian.Promise{Claim: to.at, Touch: to})
		defer end()
		for _, s := range sql {
			if _, err := c.Exec(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	}
	count := func() int { return get[int](w.world, su, "select count(*) from touches") }
	c := w.attach(w.proxies[iad], "touches-0-x")
	end := w.proxies[iad].Begin(t.Context(), "touches-0-x", meridian.Token{}, meridian.Promise{})
	if _, err := c.Exec(t.Context(), "select 1"); err != nil {
		t.Fatal(err)
	}
	claim := end().Token
	here := func() *teller { return &teller{at: claim} }
	rows := 0
	for _, r := range []meridian.Region{iad, sin} {
		for _, tt := range []struct {
			what string
			sql  []string
			told int32
			rows int
		}{
			{"a read", []string{"select 1", "select count(*) from touches"}, 0, 0},
			{"a READ ONLY block", []string{"begin read only", "select count(*) from touches", "commit"}, 0, 0},
			{"a write", []string{"insert into touches values (1)"}, 1, 1},
			{"writes in a block", []string{"begin", "insert into touches values (1)", "insert into touches values (2)", "commit"}, 1, 2},
			{"a script", []string{"insert into touches values (1); select 1"}, 1, 1},
			{"a block of code", []string{"do $$ begin insert into touches values (1); end $$"}, 1, 1},
		} {
			to := here()
			if err := invoke(r, to, tt.sql...); err != nil {
				t.Errorf("%s, %s: %v", r, tt.what, err)
			}
			if rows += tt.rows; to.told.Load() != tt.told || count() != rows {
				t.Errorf("%s, %s: the ledger was told %d times, want %d; %d rows, want %d", r, tt.what, to.told.Load(), tt.told, count(), rows)
			}
			taken := here()
			taken.refuse = meridian.WithKind(meridian.Forbidden, errors.New("another has the claim"))
			if err := invoke(r, taken, tt.sql...); tt.told > 0 && state(err) != stateUnclaimed || tt.told == 0 && err != nil {
				t.Errorf("%s, %s, whose claim was taken: %v", r, tt.what, err)
			}
			if count() != rows {
				t.Errorf("%s, %s, whose claim was taken: %d rows, want %d", r, tt.what, count(), rows)
			}
		}
		w.proxies[r].untouching = true
		taken := here()
		taken.refuse = meridian.WithKind(meridian.Forbidden, errors.New("another has the claim"))
		if err := invoke(r, taken, "insert into touches values (1)"); err != nil {
			t.Errorf("%s, control: %v", r, err)
		}
		if rows++; count() != rows {
			t.Errorf("%s, control: %d rows, want %d: the test shows nothing", r, count(), rows)
		}
	}
}

// A strict teller is a ledger: it refuses who tells it of what it has heard before,
// as that may be answered and settled by now.
type strict struct{ teller }

func (t *strict) Touch(context.Context) (meridian.Token, error) {
	if t.told.Add(1) > 1 {
		return t.at, meridian.WithKind(meridian.Forbidden, errors.New("another has the claim"))
	}
	time.Sleep(time.Second)
	return t.at, nil
}

// TestAnInvocationIsToldOfOnce: where invocations share an environment, two of its
// connections may be about to write at once. The ledger is told of each invocation
// once: whoever comes late neither tells it again nor writes before it knows.
func TestAnInvocationIsToldOfOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &strict{}
		w := &work{reads: meridian.Promise{Touch: ledger}, telling: make(chan struct{}, 1)}
		e := &env{inFlight: []*work{w}}
		for range 3 {
			go func() {
				if err := e.touch(t.Context()); err != nil || !w.touched {
					t.Errorf("a connection that is about to write: %v, told: %v", err, w.touched)
				}
			}()
		}
		time.Sleep(500 * time.Millisecond)
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := e.touch(impatient); err == nil {
			t.Error("one wrote before the ledger had heard")
		}
		time.Sleep(time.Minute)
		if n := ledger.told.Load(); n != 1 {
			t.Errorf("the ledger was told %d times", n)
		}
	})
}

// TestNobodyTellsOfWhatIsOver: of an invocation that ended while a connection waited
// to tell of it, nobody is told: its claim may be settled.
func TestNobodyTellsOfWhatIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &strict{}
		w := &work{reads: meridian.Promise{Touch: ledger}, telling: make(chan struct{}, 1)}
		e := &env{inFlight: []*work{w}}
		w.telling <- struct{}{} // somebody else is telling, who fails
		go func() {
			if err := e.touch(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		e.mu.Lock()
		e.inFlight = nil
		e.mu.Unlock()
		<-w.telling
		synctest.Wait()
		if n := ledger.told.Load(); n != 0 {
			t.Errorf("the ledger was told %d times", n)
		}
	})
}
