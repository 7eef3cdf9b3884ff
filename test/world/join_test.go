package world_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestARegionJoinsAndLeavesARunningWorld lets a fourth region join while clients
// of the other three write, with a quorum that must grow with it; the newcomer
// writes, and is the primary for a while. Then one of the first three leaves, and
// the newcomer has its vote on the store. No client of those that stay sees an
// error, no acknowledged write is lost, and no node was started again. Started
// with all four in its file, the world has the one that left as well.
func TestARegionJoinsAndLeavesARunningWorld(t *testing.T) {
	t.Parallel()
	state := filepath.Join(harness.Folder(t), "world")
	w := harness.Up(t, "test/world/testdata/three.yaml", state)
	before := w.Status()
	primary := before.Regions[0].Postgres
	exec(t, primary, "CREATE TABLE ledger (id text PRIMARY KEY)")
	w.Do("durability", "quorum", "--yes")
	writers, stop := startWriters(t, harness.Status{Regions: before.Regions[:2]})
	third, stopThird := startWriters(t, harness.Status{Regions: before.Regions[2:]})
	four := filepath.Join(harness.Root(t), "test/world/testdata/four.yaml")
	t.Log(w.Do("region", "add", "ap-southeast-1", four))
	s := w.Status()
	if len(s.Regions) != 4 || !s.Regions[3].Healthy {
		t.Fatalf("regions: %+v", s.Regions)
	}
	fourth := s.Regions[3]
	newcomer, stopNewcomer := startWriters(t, harness.Status{Regions: s.Regions[3:]})
	all := slices.Concat(writers, third, newcomer)
	for _, to := range []string{fourth.Name, before.Regions[1].Name} {
		grow(t, 3, all...)
		t.Log(strings.TrimSpace(w.Do("switchover", to, "--yes")))
		if to == fourth.Name {
			refused(t, w, "is the primary", "region", "remove", fourth.Name, "--yes")
		}
	}
	grow(t, 3, all...)
	stopThird()
	left := before.Regions[2].Name
	refused(t, w, "is a region of this world already", "region", "add", fourth.Name, four)
	refused(t, w, "there is no region", "region", "remove", "mars-1", "--yes")
	t.Log(w.Do("region", "remove", left, "--yes"))
	grow(t, 3, slices.Concat(writers, newcomer)...)
	stop()
	stopNewcomer()
	total := 0
	for _, b := range all {
		if b.err != nil {
			t.Errorf("a client in %s, after %d writes: %v", b.region, b.written, b.err)
		}
		total += b.written
	}
	second := before.Regions[1].Postgres
	holds(t, second, total) // each acknowledged write
	harness.Eventually(t, 20*time.Second, func() error {
		if n := count(t, second, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'eu_central_1'"); n > 0 {
			return fmt.Errorf("log is kept for a region that left")
		}
		return nil
	})
	after := w.Status()
	for _, n := range after.Nodes {
		if i := slices.Index(s.Nodes, n); i < 0 {
			t.Errorf("%s was started again: process %d; nodes were %v", n.Name, n.PID, s.Nodes)
		}
	}
	if len(after.Nodes) != len(s.Nodes)-1 || len(after.Regions) != 3 {
		t.Errorf("nodes were %v and are %v", s.Nodes, after.Nodes)
	}
	w.Down()

	w = harness.Up(t, "test/world/testdata/four.yaml", state) // the file of a start is the newest word
	harness.Eventually(t, 30*time.Second, func() error {
		if said := strings.TrimSpace(w.Do("durability")); said != "quorum" {
			return fmt.Errorf("durability is %s", said)
		}
		return try(w.Status().Regions[2].Postgres, "INSERT INTO ledger VALUES ('again') ON CONFLICT DO NOTHING")
	})
	holds(t, w.Status().Regions[2].Postgres, total+1) // each acknowledged write
}

// startWriters has a client of each region write until stop is called.
func startWriters(t *testing.T, s harness.Status) (books []*book, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for _, r := range s.Regions {
		b := &book{region: r.Name}
		books = append(books, b)
		writers.Go(func() { b.write(ctx, r.Postgres) })
	}
	stop = func() { cancel(); writers.Wait() }
	t.Cleanup(stop)
	return books, stop
}

func grow(t *testing.T, n int, books ...*book) {
	t.Helper()
	for _, b := range books {
		b.grow(t, n)
	}
}

// refused runs a command that must say why it does nothing.
func refused(t *testing.T, w *harness.World, why string, args ...string) {
	t.Helper()
	if out, err := w.Try(30*time.Second, args...); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: %s, %v; want it refused for %q", strings.Join(args, " "), out, err, why)
	}
}
