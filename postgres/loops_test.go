package postgres

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/loop"
	"meridian/postgres/wire"
)

// loopsEach runs a test with sessions on one loop, and as goroutines.
func loopsEach(t *testing.T, test func(t *testing.T, w *world, fibers bool), change ...func(*Config, *Deps)) {
	for _, n := range []int{1, -1} {
		t.Run(fmt.Sprintf("loops=%d", n), func(t *testing.T) {
			w := newWorld(t, append(change, func(c *Config, _ *Deps) { c.Loops = n })...)
			test(t, w, n > 0 && runtime.GOOS == "linux")
		})
	}
}

// TestSessionsStandOnLoops: a proxy's sockets are taken from Go's poller, TLS's
// and the backends' too, and only where that is asked for.
func TestSessionsStandOnLoops(t *testing.T) {
	loopsEach(t, func(t *testing.T, w *world, fibers bool) {
		for _, p := range []*Proxy{w.iad, w.dub} {
			c := w.connect(dsn(p))
			get[int](w, c, "select count(*) from pg_class")
			p.mu.Lock()
			for _, s := range p.sessions {
				s.mu.Lock()
				if s.near != nil && loop.Has(s.near.backend.Conn) != fibers || s.main != nil && s.main.backend != nil && loop.Has(s.main.conn) != fibers || loop.Has(s.conn) != fibers {
					t.Errorf("%s: not what was asked for", p.cfg.Region)
				}
				s.mu.Unlock()
			}
			p.mu.Unlock()
		}
	})
}

// TestAWaitingSessionHoldsNobodyUp: of two sessions of one loop the first has the
// only server connection, and the second waits for it.
func TestAWaitingSessionHoldsNobodyUp(t *testing.T) {
	one := func(c *Config, _ *Deps) {
		c.TransactionPooling, c.MaxServer, c.QueueTimeout = true, 1, 20*time.Second
	}
	loopsEach(t, func(t *testing.T, w *world, _ bool) {
		a, b := w.connect(dsn(w.iad)), w.connect(dsn(w.iad))
		for range 5 {
			w.exec(a, "begin", "select 1")
			got := make(chan error, 1)
			go func() { _, err := b.Exec(t.Context(), "select 2"); got <- err }()
			w.eventually("the other waits", func() bool { return w.iad.pool.Stats().Queued == 1 })
			for range 100 {
				w.exec(a, "select 3")
			}
			w.exec(a, "commit")
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		}
	}, one)
}

// TestASlowClientHoldsNobodyUp: one does not take its rows, another one goes on.
func TestASlowClientHoldsNobodyUp(t *testing.T) {
	loopsEach(t, func(t *testing.T, w *world, _ bool) {
		a := w.connect(dsn(w.iad))
		rows, err := a.Query(t.Context(), "select repeat('x', 1000) from generate_series(1, 50000)")
		if err != nil {
			t.Fatal(err)
		}
		b := w.connect(dsn(w.iad))
		for range 200 {
			w.exec(b, "select 1")
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil || n != 50000 {
			t.Errorf("%d rows: %v", n, err)
		}
	})
}

// TestManySessionsComeAndGo: of each the last statement's answer is its own.
func TestManySessionsComeAndGo(t *testing.T) {
	loopsEach(t, func(t *testing.T, w *world, _ bool) {
		w.exec(w.connect(dsn(w.iad)), "drop table if exists come", "create table come (n int)")
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for j := range 5 {
					c, err := pgx.Connect(t.Context(), dsn([]*Proxy{w.iad, w.dub}[j%2]))
					if err != nil {
						t.Error(err)
						return
					}
					for k := range 10 {
						var got int
						if err := c.QueryRow(t.Context(), "select $1::int", i*1000+k).Scan(&got); err != nil || got != i*1000+k {
							t.Errorf("got %d: %v", got, err)
						}
						if _, err := c.Exec(t.Context(), "insert into come values ($1)", k); err != nil {
							t.Error(err)
						}
					}
					if j%2 == 0 {
						c.PgConn().Conn().Close() // without a word
					} else {
						c.Close(t.Context())
					}
				}
			})
		}
		all.Wait()
		if n := get[int](w, w.connect(dsn(w.iad)), "select count(*) from come"); n != 16*5*10 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestAGroupIsAnsweredThoughTheNextHasBegun sends with a whole group the first
// bytes of the next, which comes only once that is answered.
func TestAGroupIsAnsweredThoughTheNextHasBegun(t *testing.T) {
	loopsEach(t, func(t *testing.T, w *world, _ bool) {
		r := dialRaw(t, w.iad, 0)
		one := wire.Builder(nil).Query("select 1")
		r.send(one)
		r.until('Z')
		r.send(one[:3])
		for range 20 {
			r.send(append(bytes.Clone(one[3:]), one[:3]...))
			if got, _ := r.until('Z'); got != "TDCZ" {
				t.Fatalf("answered with %s", got)
			}
		}
	})
}

// TestMuchBothWays copies in and out at once more than sockets take.
func TestMuchBothWays(t *testing.T) {
	loopsEach(t, func(t *testing.T, w *world, _ bool) {
		c := w.connect(dsn(w.iad))
		w.exec(c, "drop table if exists much", "create table much (t text)", "select 1")
		line := strings.Repeat("x", 999) + "\n"
		if n, err := c.PgConn().CopyFrom(t.Context(), strings.NewReader(strings.Repeat(line, 20000)), "copy much from stdin"); err != nil || n.RowsAffected() != 20000 {
			t.Fatalf("%v: %v", n, err)
		}
		var out bytes.Buffer
		if _, err := c.PgConn().CopyTo(t.Context(), &out, "copy much to stdout"); err != nil || out.Len() != 20000*len(line) {
			t.Errorf("%d bytes: %v", out.Len(), err)
		}
	})
}
