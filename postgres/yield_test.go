package postgres

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/topology"
)

// TestAPrimaryThatIsStartedAgainIsWaitedFor ends the primary's proxy under writes
// from another region, and starts the next one: none fails, and none is done
// twice. Control: of a proxy that says nothing before it ends, some do.
func TestAPrimaryThatIsStartedAgainIsWaitedFor(t *testing.T) {
	t.Run("it said so", func(t *testing.T) {
		if failed := restartUnderWrites(t, true); failed != nil {
			t.Error(failed)
		}
	})
	t.Run("control: it did not", func(t *testing.T) {
		if failed := restartUnderWrites(t, false); failed == nil {
			t.Error("no write failed: the test shows nothing")
		}
	})
}

// restartUnderWrites returns how a write failed, if one did.
func restartUnderWrites(t *testing.T, yields bool) (failed error) {
	w := &world{t: t, topo: &topology.Map{}}
	var way atomic.Pointer[link]
	way.Store(newLink())
	change := []func(*Config, *Deps){func(_ *Config, d *Deps) {
		if d.Peers == nil {
			d.Remote = func(ctx context.Context, r meridian.Region) (net.Conn, error) { return way.Load().dial(ctx, r) }
		}
	}}
	w.link = way.Load()
	w.point(iad)
	first, end := w.startUntil(iad, pair.primary, w.link, change)
	w.dub = w.start(dub, pair.standby, nil, change)
	w.exec(w.connect(dsn(w.dub)), "drop table if exists restarted", "create table restarted (v int)")

	var next, done atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var writers sync.WaitGroup
	for range 6 {
		c := w.connect(dsn(w.dub))
		writers.Go(func() {
			for ctx.Err() == nil {
				_, err := c.Exec(context.WithoutCancel(ctx), "insert into restarted values ($1)", next.Add(1))
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				done.Add(1)
			}
		})
	}
	goesOn := func(what string) {
		n := done.Load() + 20
		w.eventually(what, func() bool { return done.Load() >= n })
	}
	goesOn("writes go on before")
	if yields {
		if n, err := first.Yield(t.Context(), time.Second); err != nil || n.Killed > 0 {
			t.Errorf("%+v, %v", n, err)
		}
	}
	end()
	if yields {
		w.eventually("all writes wait", func() bool { return w.dub.gate.held.Load() == 6 })
	} else {
		w.eventually("a write fails", func() bool { mu.Lock(); defer mu.Unlock(); return failed != nil })
	}
	way.Store(newLink())
	w.start(iad, pair.primary, way.Load(), change)
	if yields {
		goesOn("writes go on after")
	}
	stop()
	writers.Wait()
	c := w.superuser(pair.primary)
	all, distinct := get[int64](w, c, "select count(*) from restarted"), get[int64](w, c, "select count(distinct v) from restarted")
	if yields && all != done.Load() || all < done.Load() || distinct != all {
		t.Errorf("%d writes answered; %d are there, %d of them different", done.Load(), all, distinct)
	}
	return failed
}

// TestAPrimaryIsWaitedForByTheMap: a node that said that it is being started again
// is waited for longer than one that moves, also where nobody takes the place of
// one that is lost.
func TestAPrimaryIsWaitedForByTheMap(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *Deps) { c.MoveBudget = time.Millisecond })
	c := w.connect(dsn(w.dub))
	w.exec(c, "drop table if exists waited", "create table waited (v int)")
	w.topo.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: iad, Primary: true, Returns: true}, {Name: dub, Healthy: true}}})
	w.link.sever()
	w.eventually("the loss is noticed", func() bool { return w.dub.away() != "" })
	written := make(chan error, 1)
	go func() { _, err := c.Exec(context.Background(), "insert into waited values (1)"); written <- err }()
	w.eventually("the write waits", func() bool { return w.dub.gate.held.Load() == 1 })
	w.link.mend()
	if err := <-written; err != nil {
		t.Error(err)
	}
	w.link.sever()
	w.eventually("the loss is noticed again", func() bool { return w.dub.away() != "" })
	w.point(iad) // it does not return
	var other *pgx.Conn = w.connect(dsn(w.dub))
	if _, err := other.Exec(t.Context(), "insert into waited values (2)"); state(err) != stateNotSent {
		t.Errorf("control: %v", err)
	}
}
