package world_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestARegionJoinsAndLeavesARunningWorld lets a fourth region join while clients
// of the other three write, with a quorum that must grow with it; the newcomer
// writes, is the primary for a while, and leaves. No client of the others sees an
// error, no acknowledged write is lost, and no node was started again. Started
// with the fourth in its file, the world has it as well.
func TestARegionJoinsAndLeavesARunningWorld(t *testing.T) {
	state := filepath.Join(harness.Folder(t), "world")
	w := harness.Up(t, "test/world/testdata/three.yaml", state)
	before := w.Status()
	primary := before.Regions[0].Postgres
	exec(t, primary, "CREATE TABLE ledger (id text PRIMARY KEY)")
	w.Do("durability", "quorum", "--yes")
	writers, stop := startWriters(t, before)
	four := filepath.Join(harness.Root(t), "test/world/testdata/four.yaml")
	t.Log(w.Do("region", "add", "ap-southeast-1", four))
	s := w.Status()
	if len(s.Regions) != 4 || !s.Regions[3].Healthy {
		t.Fatalf("regions: %+v", s.Regions)
	}
	fourth := s.Regions[3]
	newcomer, leave := startWriters(t, harness.Status{Regions: s.Regions[3:]})
	for _, to := range []string{fourth.Name, before.Regions[1].Name} {
		grow(t, 3, append(writers, newcomer...)...)
		t.Log(strings.TrimSpace(w.Do("switchover", to, "--yes")))
		if to == fourth.Name {
			refused(t, w, "is the primary", "region", "remove", fourth.Name, "--yes")
		}
	}
	grow(t, 3, append(writers, newcomer...)...)
	leave()
	refused(t, w, "is a region of this world already", "region", "add", fourth.Name, four)
	refused(t, w, "there is no region", "region", "remove", "mars-1", "--yes")
	t.Log(w.Do("region", "remove", fourth.Name, "--yes"))
	grow(t, 3, writers...)
	stop()
	total := 0
	for _, b := range append(writers, newcomer...) {
		if b.err != nil {
			t.Errorf("a client in %s, after %d writes: %v", b.region, b.written, b.err)
		}
		total += b.written
	}
	second := before.Regions[1].Postgres
	if got := count(t, second, "SELECT count(*) FROM ledger"); got < total {
		t.Errorf("%d writes were acknowledged, %d are there", total, got)
	}
	harness.Eventually(t, 20*time.Second, func() error {
		if n := count(t, second, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'ap_southeast_1'"); n > 0 {
			return fmt.Errorf("log is kept for a region that left")
		}
		return nil
	})
	after := w.Status()
	if fmt.Sprint(after.Nodes) != fmt.Sprint(before.Nodes) || len(after.Regions) != 3 {
		t.Errorf("nodes were %v and are %v", before.Nodes, after.Nodes)
	}
	w.Down()

	w = harness.Up(t, "test/world/testdata/four.yaml", state) // the file of a start is the newest word
	harness.Eventually(t, 30*time.Second, func() error {
		if said := strings.TrimSpace(w.Do("durability")); said != "quorum" {
			return fmt.Errorf("durability is %s", said)
		}
		return try(w.Status().Regions[3].Postgres, "INSERT INTO ledger VALUES ('again') ON CONFLICT DO NOTHING")
	})
	if got := count(t, w.Status().Regions[3].Postgres, "SELECT count(*) FROM ledger"); got < total+1 {
		t.Errorf("the fourth has %d rows, want %d", got, total+1)
	}
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
