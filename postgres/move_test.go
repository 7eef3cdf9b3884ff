package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// A load is clients that write to a ledger, each entry once, and read what
// they wrote.
type load struct {
	w       *trio
	done    sync.WaitGroup
	stop    atomic.Bool
	entries atomic.Int64
	errors  atomic.Int64
	longest atomic.Int64 // of all statements, in ns

	mu    sync.Mutex // guards what follows
	first error
	acked map[[2]int]bool
}

// startLoad runs clients at the given regions' proxies until end is called.
func (w *trio) startLoad(regions ...meridian.Region) *load {
	w.t.Helper()
	l := &load{w: w, acked: map[[2]int]bool{}}
	c := w.connect(dsn(w.proxies[w.primary]))
	w.exec(c, "create table if not exists ledger (client int, n int)")
	for i, r := range regions {
		c := w.connect(dsn(w.proxies[r]))
		w.exec(c, fmt.Sprintf("set application_name = 'client %d'", i))
		l.done.Go(func() { l.client(c, i) })
	}
	return l
}

func (l *load) client(c *pgx.Conn, id int) {
	for n := 0; !l.stop.Load(); n++ {
		began := time.Now()
		err := l.entry(c, id, n)
		if took := int64(time.Since(began)); took > l.longest.Load() {
			l.longest.Store(took)
		}
		l.mu.Lock()
		if err == nil {
			l.acked[[2]int{id, n}] = true
		} else if l.first == nil {
			l.first = fmt.Errorf("client %d, entry %d: %w", id, n, err)
		}
		l.mu.Unlock()
		l.entries.Add(1)
		if err != nil {
			l.errors.Add(1)
			if c.IsClosed() {
				return
			}
		}
	}
}

// entry writes one entry and reads it back, in one of several ways.
func (l *load) entry(c *pgx.Conn, id, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	insert := func(x interface {
		Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	}) error {
		_, err := x.Exec(ctx, "insert into ledger values ($1, $2)", id, n)
		return err
	}
	var err error
	switch n % 3 {
	case 0:
		err = insert(c)
	case 1:
		err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return insert(tx) })
	case 2:
		var b pgx.Batch
		b.Queue("insert into ledger values ($1, $2)", id, n)
		b.Queue("select count(*) from ledger where client = $1", id)
		err = c.SendBatch(ctx, &b).Close()
	}
	if err != nil {
		return err
	}
	var there int
	var name string
	if err := c.QueryRow(ctx, "select count(*), current_setting('application_name') from ledger where client = $1 and n = $2", id, n).Scan(&there, &name); err != nil {
		return err
	}
	if want := fmt.Sprintf("client %d", id); there != 1 || name != want {
		return fmt.Errorf("reads its entry %d times as %q, want once as %q", there, name, want)
	}
	return nil
}

// more waits until the clients have made so many more entries.
func (l *load) more(n int64) {
	from := l.entries.Load()
	l.w.eventually("the load goes on", func() bool { return l.entries.Load() >= from+n })
}

// end stops the clients and compares what was acknowledged with the ledger.
func (l *load) end() (lost, twice int) {
	l.w.t.Helper()
	l.stop.Store(true)
	l.done.Wait()
	rows, err := l.w.superuser(l.w.servers[l.w.primary]).Query(context.Background(), "select client, n, count(*) from ledger group by 1, 2")
	if err != nil {
		l.w.t.Fatal(err)
	}
	var id, n, count int
	_, err = pgx.ForEachRow(rows, []any{&id, &n, &count}, func() error {
		delete(l.acked, [2]int{id, n})
		if count > 1 {
			twice++
		}
		return nil
	})
	if err != nil {
		l.w.t.Fatal(err)
	}
	return len(l.acked), twice
}

// TestThePrimaryMovesUnderLoad moves it round all regions, while clients of
// all of them write.
func TestThePrimaryMovesUnderLoad(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	l := w.startLoad(iad, iad, iad, iad, dub, dub, sin, sin, sin, sin)
	for _, to := range []meridian.Region{dub, sin, iad, sin} {
		l.more(100)
		l.longest.Store(0)
		if p := w.move(to, time.Second); p.Killed > 0 {
			t.Errorf("to %s: %+v", to, p)
		}
		l.more(100)
		t.Logf("to %s: the longest entry took %v", to, time.Duration(l.longest.Load()))
	}
	lost, twice := l.end()
	if l.errors.Load() > 0 || lost > 0 || twice > 0 {
		t.Errorf("%d errors, %d lost, %d twice, of %d; first: %v", l.errors.Load(), lost, twice, l.entries.Load(), l.first)
	}
	t.Logf("%d entries", l.entries.Load())
}

// TestAMoveWithoutAPauseShows is the control of the test above.
func TestAMoveWithoutAPauseShows(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	for _, p := range w.proxies {
		p.gate.neverShut = true
	}
	l := w.startLoad(iad, iad, iad, iad, sin, sin, sin, sin)
	l.more(100)
	if err := w.swap(dub); err != nil {
		t.Fatal(err)
	}
	w.eventually("a client sees an error", func() bool { return l.errors.Load() > 0 })
	l.end()
}

// TestASecondaryMayKnowOfThePrimaryFirst tells a secondary of a new primary
// that does not know it yet itself.
func TestASecondaryMayKnowOfThePrimaryFirst(t *testing.T) {
	t.Parallel()
	w := newTrio(t)
	c := w.connect(dsn(w.proxies[sin]))
	w.exec(c, "create table early (v int)")
	w.streams(dub)
	old := w.proxies[iad]
	if _, err := old.Pause(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	defer old.Resume()
	if err := errors.Join(w.servers[iad].Shutdown(), w.servers[dub].Promote()); err != nil {
		t.Fatal(err)
	}
	w.primary, w.term = dub, w.term+1
	w.tell(sin)
	done := background(c, "insert into early values (1)")
	w.eventually("the new primary holds it", func() bool { return w.proxies[dub].gate.held.Load() > 0 })
	w.tell(dub)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestALeaseThatFlapsCostsTimeOnly takes the lease away and gives it back
// while clients write.
func TestALeaseThatFlapsCostsTimeOnly(t *testing.T) {
	t.Parallel()
	right := &lease{}
	right.renew()
	w := newTrio(t, func(c *Config, d *Deps) {
		if c.Region == iad {
			d.Lease = right.now
		}
	})
	l := w.startLoad(iad, iad, iad, sin, sin, sin)
	for range 20 {
		l.more(20)
		right.expire()
		w.eventually("all are held", func() bool { return w.proxies[iad].gate.held.Load() >= 6 })
		right.renew()
	}
	if lost, twice := l.end(); l.errors.Load() > 0 || lost > 0 || twice > 0 {
		t.Errorf("%d errors, %d lost, %d twice; first: %v", l.errors.Load(), lost, twice, l.first)
	}
}
