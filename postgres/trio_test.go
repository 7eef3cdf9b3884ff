package postgres

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"meridian"
	"meridian/postgres/pgtest"
	"meridian/topology"
)

const sin meridian.Region = "ap-southeast-1"

// A trio is three regions whose primary moves: it has PostgreSQLs of its own.
type trio struct {
	*world
	servers map[meridian.Region]*pgtest.Server
	proxies map[meridian.Region]*Proxy
	links   map[meridian.Region]*link
	maps    map[meridian.Region]*topology.Map
	primary meridian.Region
	term    uint64
}

var trioRegions = []meridian.Region{iad, dub, sin}

func newTrio(t *testing.T, change ...func(*Config, *Deps)) *trio {
	t.Helper()
	w := &trio{world: &world{t: t}, servers: map[meridian.Region]*pgtest.Server{}, proxies: map[meridian.Region]*Proxy{},
		links: map[meridian.Region]*link{}, maps: map[meridian.Region]*topology.Map{}}
	first, err := pair.template.Primary()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range trioRegions {
		s := first
		if r != iad {
			if s, err = pair.template.Standby(string(r), first); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { s.Stop() })
		w.servers[r], w.links[r], w.maps[r] = s, newLink(), &topology.Map{}
		w.links[r].to = r
	}
	w.point(iad)
	for _, r := range trioRegions {
		own := func(c *Config, d *Deps) {
			c.NoFailover, d.Map, d.Remote, d.Outcomes = false, w.maps[r], w.dial, readsLog(w.servers[r])
		}
		w.proxies[r] = w.start(r, w.servers[r], w.links[r], append([]func(*Config, *Deps){own}, change...))
	}
	for _, r := range trioRegions {
		w.catalogued(w.proxies[r])
		if r != iad {
			w.streams(r)
		}
	}
	return w
}

// check ends the test if a step failed.
func (w *trio) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// standbys waits until the two that began as standbys answer true.
func (w *trio) standbys(what, sql string) {
	w.t.Helper()
	for _, r := range []meridian.Region{dub, sin} {
		s := w.superuser(w.servers[r])
		w.eventually(what, func() bool { return get[bool](w.world, s, sql) })
	}
}

// deafen keeps the log from them from now on.
func (w *trio) deafen() {
	w.t.Helper()
	for _, r := range []meridian.Region{dub, sin} {
		w.check(w.servers[r].Deafen())
	}
}

// lose kills a region's PostgreSQL, and cuts the region off.
func (w *trio) lose(r meridian.Region) {
	w.t.Helper()
	w.check(w.servers[r].Crash())
	w.links[r].sever()
}

func (w *trio) dial(ctx context.Context, region meridian.Region) (net.Conn, error) {
	return w.links[region].dial(ctx, region)
}

// point tells all regions who the primary is, in an order that is not always
// kind.
func (w *trio) point(primary meridian.Region) {
	w.term++
	w.primary = primary
	for i := range trioRegions {
		w.tell(trioRegions[(i+int(w.term))%len(trioRegions)])
	}
}

func (w *trio) tell(r meridian.Region) {
	s := &topology.Snapshot{Links: []topology.Link{{From: iad, To: dub, RTT: 20 * time.Millisecond}, {From: iad, To: sin, RTT: 20 * time.Millisecond}, {From: dub, To: sin, RTT: 20 * time.Millisecond}}}
	for _, name := range trioRegions {
		region := topology.Region{Name: name, Healthy: true}
		if name == w.primary {
			region.Primary, region.Term = true, w.term
		}
		s.Regions = append(s.Regions, region)
	}
	w.maps[r].Publish(s)
}

// move moves the primary as planned, and returns what became of sessions.
func (w *trio) move(to meridian.Region, budget time.Duration) Paused {
	w.t.Helper()
	from := w.primary
	w.streams(to)
	old := w.proxies[from]
	p, err := old.Pause(context.Background(), budget)
	if err == nil {
		err = w.swap(to)
	}
	old.Resume()
	if err != nil {
		w.t.Error(err)
	}
	return p
}

// streams waits until a standby streams from the primary.
func (w *trio) streams(r meridian.Region) {
	w.t.Helper()
	c := w.superuser(w.servers[r])
	w.eventually(string(r)+" streams", func() bool {
		return get[int](w.world, c, "select count(*) from pg_stat_wal_receiver where status = 'streaming' and received_tli >= $1", w.term) > 0
	})
}

// swap stops the primary, promotes another server and lets all follow it.
func (w *trio) swap(to meridian.Region) error {
	from := w.primary
	if err := w.servers[from].Shutdown(); err != nil {
		return err
	}
	if err := w.servers[to].Promote(); err != nil {
		return err
	}
	w.point(to)
	var errs []error
	for _, r := range trioRegions {
		switch r {
		case to:
		case from:
			errs = append(errs, w.servers[r].Again(w.servers[to]))
		default:
			errs = append(errs, w.servers[r].Follow(w.servers[to]))
		}
	}
	return errors.Join(errs...)
}
