package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestIdleSessionsLendTheirConnections has more sessions than server connections, in
// both regions, each with a setting and prepared statements of its own. They come one
// after the other, and again: what each has is there, and nobody waits for good.
func TestIdleSessionsLendTheirConnections(t *testing.T) {
	const few, many = 4, 12
	w := newWorld(t, func(c *Config, _ *Deps) {
		c.MaxServer, c.QueueTimeout, c.LendAfter = few, 60*time.Second, time.Millisecond
	})
	w.exec(w.connect(dsn(w.iad)), "drop table if exists shared", "create table shared (id int primary key, v int)")
	for i, p := range []*Proxy{w.iad, w.dub} {
		var conns []*pgx.Conn
		for n := range many {
			conns = append(conns, w.connect(dsn(p)))
			if err := everything(t, conns[n], i*many+n); err != nil {
				t.Fatal(err)
			}
			w.exec(conns[n], "prepare kept as select current_setting('app.number')")
		}
		for n, c := range conns {
			if got, want := get[string](w, c, "execute kept"), fmt.Sprint(i*many+n); got != want {
				t.Errorf("session %s sees what is %s's", want, got)
			}
			if n := get[int](w, c, "select count(*) from shared"); n != (i+1)*many {
				t.Errorf("%d rows", n)
			}
		}
		if open := p.pool.Stats().Open; open > few {
			t.Errorf("%d server connections", open)
		}
	}
}

// TestABoundSessionLendsNothing fills a pool with sessions that have what only their
// server has: who comes then waits in vain, and they still have it. The control's
// sessions do not know that they are bound: theirs is lent, and gone.
func TestABoundSessionLendsNothing(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) {
		c.MaxServer, c.QueueTimeout, c.LendAfter = 3, 500*time.Millisecond, time.Millisecond
	})
	for _, p := range []*Proxy{w.iad, w.dub} {
		block, temp, lock := w.connect(dsn(p)), w.connect(dsn(p)), w.connect(dsn(p))
		w.exec(block, "begin", "create table if not exists unlent (v int)", "insert into unlent values (1)")
		w.exec(temp, "create temp table mine (v int)", "insert into mine values (7)")
		w.exec(lock, "select pg_advisory_lock(4711)")
		comes := func() error {
			c, err := pgx.Connect(t.Context(), dsn(w.iad))
			if err == nil {
				c.Close(t.Context())
			}
			return err
		}
		if err := comes(); state(err) != "53300" {
			t.Errorf("%s: one more session: %v; want 53300", p.cfg.Region, err)
		}
		if n := get[int](w, temp, "select v from mine"); n != 7 {
			t.Errorf("%s: the temporary table has %d", p.cfg.Region, n)
		}
		if !get[bool](w, lock, "select pg_advisory_unlock(4711)") {
			t.Errorf("%s: the lock is gone", p.cfg.Region)
		}
		forget(w.iad, w.dub)
		err := comes()
		for n := 0; n < 20 && state(err) == "53300"; n++ { // each waits for 500 ms
			err = comes()
		}
		if err != nil {
			t.Errorf("%s: the control: one more session: %v", p.cfg.Region, err)
		}
		if _, err := temp.Exec(t.Context(), "select v from mine"); state(err) != "42P01" {
			t.Errorf("%s: the control: the temporary table: %v; want 42P01", p.cfg.Region, err)
		}
		w.exec(block, "rollback")
		for _, c := range []*pgx.Conn{block, temp, lock} {
			c.Close(t.Context())
		}
	}
}

// forget has sessions of proxies not know what they are bound by.
func forget(proxies ...*Proxy) {
	for _, p := range proxies {
		for _, s := range p.leavers() {
			switch s := s.(type) {
			case *client:
				s.mu.Lock()
				s.state.Pinned = ""
				s.mu.Unlock()
			case *peer:
				s.mu.Lock()
				s.pinned = ""
				s.mu.Unlock()
			}
		}
	}
}

func TestWhoWasUsedIsNotIdle(t *testing.T) {
	var i idleness
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, step := range []struct {
		used      bool
		now, want int64
	}{{false, 10, 10}, {false, 15, 10}, {true, 20, 20}, {false, 30, 20}, {true, 31, 31}} {
		if step.used {
			i.use()
		}
		if got := i.since(at(step.now)); !got.Equal(at(step.want)) {
			t.Errorf("at %d: idle since %d, want %d", step.now, got.Unix(), step.want)
		}
	}
}
