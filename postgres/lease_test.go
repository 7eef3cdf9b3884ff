package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/wire"
)

// A lease is the right of the primary's region, as a test gives and takes it.
type lease struct {
	until atomic.Int64
	term  atomic.Uint64
}

func (l *lease) now() (time.Duration, uint64) {
	return time.Duration(l.until.Load()), l.term.Load()
}
func (l *lease) renew()  { l.until.Store(1 << 62) }
func (l *lease) expire() { l.until.Store(0) }

// leased is a pair of regions of which the first acts by a lease.
func leased(t *testing.T, table string, change ...func(*Config, *Deps)) (*world, *lease) {
	t.Helper()
	l := &lease{}
	l.term.Store(1)
	l.renew()
	own := func(c *Config, d *Deps) {
		if c.Region == iad {
			d.Lease = l.now
		}
	}
	w := newWorld(t, append([]func(*Config, *Deps){own}, change...)...)
	c := w.connect(dsn(w.iad))
	w.exec(c, "drop table if exists "+table, "create table "+table+" (id int primary key, v int)", "insert into "+table+" values (1, 0)")
	return w, l
}

// background runs a statement and returns where its error will be.
func background(c *pgx.Conn, sql string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), sql)
		done <- err
	}()
	return done
}

// locked has a statement of a client wait for a lock, lets the lease end, and
// then lets PostgreSQL carry the statement out.
func (w *world) locked(l *lease, table string, c *pgx.Conn) <-chan error {
	w.t.Helper()
	root := w.superuser(pair.primary)
	w.exec(root, "begin", "update "+table+" set v = v where id = 1")
	done := background(c, "update "+table+" set v = 7 where id = 1")
	other := w.superuser(pair.primary)
	w.eventually("the statement waits", func() bool {
		return get[int](w, other, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'update "+table+"%'") > 0
	})
	l.expire()
	w.exec(root, "rollback")
	w.eventually("it is committed", func() bool { return get[int](w, other, "select v from "+table+" where id = 1") == 7 })
	return done
}

func TestASuccessIsRelayedOnlyWhileTheLeaseIsValid(t *testing.T) {
	for name, at := range map[string]func(*world) *Proxy{"here": func(w *world) *Proxy { return w.iad }, "from a secondary": func(w *world) *Proxy { return w.dub }} {
		t.Run(name, func(t *testing.T) {
			w, l := leased(t, "late")
			c := w.connect(dsn(at(w)))
			done := w.locked(l, "late", c)
			w.eventually("it waits", func() bool { return counter(w.iad.metrics.late) > 0 })
			select {
			case err := <-done:
				t.Fatalf("relayed without a lease: %v", err)
			default:
			}
			l.renew()
			if err := <-done; err != nil {
				t.Errorf("the lease is back: %v", err)
			}
		})
	}
}

// TestALateSuccessShowsWithoutTheGate is the control of the test above.
func TestALateSuccessShowsWithoutTheGate(t *testing.T) {
	w, l := leased(t, "control")
	w.iad.gate.relayLate = true
	if err := <-w.locked(l, "control", w.connect(dsn(w.iad))); err != nil {
		t.Errorf("without the gate: %v", err)
	}
}

// TestAGlobalReadIsAnsweredOnlyUnderALease ends the lease and reads through the
// other region. Control: where the primary tells its position without a right,
// the read is answered, by a primary that may be none any more.
func TestAGlobalReadIsAnsweredOnlyUnderALease(t *testing.T) {
	for _, fence := range []bool{true, false} {
		w, l := leased(t, "fenced", func(c *Config, _ *Deps) { c.MoveBudget = 200 * time.Millisecond })
		w.iad.gate.relayLate = !fence
		c := w.connect(dsn(w.dub))
		w.exec(c, "set meridian.consistency = 'global'", "select v from fenced")
		l.expire()
		var v int
		err := c.QueryRow(t.Context(), "select v from fenced where id = 1").Scan(&v)
		if fence && err == nil {
			t.Error("a global read was answered without a lease")
		}
		if !fence && err != nil {
			t.Errorf("without the fence: %v", err)
		}
	}
}

func TestALateSuccessIsUnknownOnceAnotherRegionTookOver(t *testing.T) {
	for name, at := range map[string]func(*world) *Proxy{"here": func(w *world) *Proxy { return w.iad }, "from a secondary": func(w *world) *Proxy { return w.dub }} {
		t.Run(name, func(t *testing.T) {
			w, l := leased(t, "doubtful", func(c *Config, _ *Deps) { c.MoveBudget = 2 * time.Second })
			other := w.connect(dsn(w.iad))
			done := w.locked(l, "doubtful", w.connect(dsn(at(w))))
			unsent := background(other, "update doubtful set v = 8 where id = 1")
			w.eventually("both wait", func() bool { return counter(w.iad.metrics.late) > 0 && w.iad.gate.held.Load() >= 2 })
			w.point(dub)
			if err := <-done; state(err) != "08007" {
				t.Errorf("the late success: %v, want 08007", err)
			}
			if err := <-unsent; state(err) == "08007" || err == nil {
				t.Errorf("what was never sent: %v", err)
			}
			if v := get[int](w, w.superuser(pair.primary), "select v from doubtful where id = 1"); v != 7 {
				t.Errorf("what was never sent was run: %d", v)
			}
		})
	}
}

func TestWhatTheLeaseHoldsBackGoesOn(t *testing.T) {
	w, l := leased(t, "queued")
	here, there := w.connect(dsn(w.iad)), w.connect(dsn(w.dub))
	w.exec(there, "update queued set v = 1 where id = 1")
	l.expire()
	a, b := background(here, "update queued set v = v + 1 where id = 1"), background(there, "update queued set v = v + 1 where id = 1")
	w.eventually("both wait", func() bool { return w.iad.gate.held.Load() >= 2 })
	if v := get[int](w, w.superuser(pair.primary), "select v from queued where id = 1"); v != 1 {
		t.Errorf("sent without a lease: %d", v)
	}
	l.renew()
	for _, done := range []<-chan error{a, b} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if v := get[int](w, here, "select v from queued where id = 1"); v != 3 {
		t.Errorf("%d, want each once", v)
	}
}

func TestWaitingForALeaseHasAnEnd(t *testing.T) {
	w, l := leased(t, "budget", func(c *Config, _ *Deps) { c.MoveBudget = 100 * time.Millisecond })
	c := w.attach(w.iad, "budget")
	end := w.iad.Begin(t.Context(), "budget", meridian.Token{}, meridian.Promise{})
	l.expire()
	if _, err := c.Exec(t.Context(), "update budget set v = 1"); state(err) != "57P03" {
		t.Errorf("got %v, want 57P03", err)
	}
	if o := end(); o.PrimaryAway == "" {
		t.Errorf("the invocation does not know: %+v", o)
	}
	l.renew()
	w.exec(c, "update budget set v = 2")
}

func TestAHeldStatementCanBeCanceled(t *testing.T) {
	w, l := leased(t, "heldback")
	c := w.connect(dsn(w.iad))
	l.expire()
	done := background(c, "update heldback set v = 1")
	w.eventually("it waits", func() bool { return w.iad.gate.held.Load() > 0 })
	w.eventually("it is canceled", func() bool {
		if err := c.PgConn().CancelRequest(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case err := <-done:
			if state(err) != "57014" {
				t.Errorf("got %v, want 57014", err)
			}
			return true
		default:
			return false
		}
	})
}

// TestHold runs the script of testdata/hold.
func TestHold(t *testing.T) {
	datadriven.RunTest(t, "testdata/hold", func(t *testing.T, d *datadriven.TestData) string {
		v := holdView{Block: d.HasArg("block"), Hopeless: d.HasArg("hopeless"), Budget: 8 * time.Second}
		var ms int
		d.MaybeScanArgs(t, "held", &ms)
		v.Held = time.Duration(ms) * time.Millisecond
		v.Why = holdErrors(d.Cmd)
		waits, why := decideHold(v)
		return fmt.Sprintf("waits=%v: %s\n", waits, why)
	})
}

// holdErrors names the errors that the script speaks of.
func holdErrors(name string) error {
	switch name {
	case "shut":
		return errShut("the gate is shut")
	case "away":
		return meridian.WithKind(meridian.PrimaryUnavailable, errors.New("no answer"))
	case "full":
		return meridian.WithKind(meridian.Throttled, errors.New("all connections are in use"))
	case "eof":
		return fmt.Errorf("bring the session's state: %w", io.EOF)
	case "final":
		return &finalError{&wire.Error{Code: stateTooOld, Message: "too old"}}
	}
	return &wire.Error{Severity: "FATAL", Code: name, Message: "PostgreSQL's own"}
}

func TestPositionsPastAForkAreReducedToIt(t *testing.T) {
	forks := []Fork{{Timeline: 1, LSN: 100}, {Timeline: 2, LSN: 200, Next: 5}}
	for _, c := range []struct {
		timeline  uint32
		lsn, want meridian.LSN
		whole     bool
		on        uint32 // if that is another one
	}{{1, 99, 99, true, 0}, {1, 100, 100, true, 0}, {1, 101, 100, false, 0}, {2, 150, 150, true, 0}, {2, 300, 200, false, 0},
		{3, 300, 200, false, 5}, {4, 150, 200, false, 5}, {5, 300, 300, true, 0}} { // the history passed 3 and 4 over
		got, whole := settle(forks, meridian.Token{System: 1, Timeline: c.timeline, LSN: c.lsn})
		if got.LSN != c.want || got.Timeline != cmp.Or(c.on, c.timeline) || whole != c.whole {
			t.Errorf("%d on timeline %d: %v, %v", c.lsn, c.timeline, got, whole)
		}
	}
}
