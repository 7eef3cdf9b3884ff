package world_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/sockdir"
	"meridian/test/harness"
	"meridian/world"
)

// which names the PostgreSQL that answers.
const which = "SELECT pg_postmaster_start_time()::text"

// TestARegionReadsFromAFurtherStandby has a region with two PostgreSQLs: it reads
// from both, nothing older than what a session wrote though one of them stands
// still, and from the one while the other is lost; and this follows the primary
// through a switchover and a failover.
func TestARegionReadsFromAFurtherStandby(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, "test/world/testdata/standby.yaml", filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	dub := s.Regions[1]
	if len(dub.Standbys) != 1 || dub.Standbys[0].Node != "eu-west-1/standby-1" {
		t.Fatalf("further standbys of %s: %+v", dub.Name, dub.Standbys)
	}
	exec(t, dub.Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	further := inside(t, w, dub.Standbys[0].Node)
	follows(t, w, further, dub.Postgres, "first")

	on := ask[string](t, further, which)
	there, end := spread(t, dub.Postgres, on)
	staleReads(t, there, further)
	end()
	there, end = spread(t, dub.Postgres, on)
	frozen(t, w, there, dub.Standbys[0].Node)
	end()
	follows(t, w, further, dub.Postgres, "after it was frozen")
	loseOwn(t, w, dub.Name, dub.Postgres, further)

	t.Log(w.Do("switchover", dub.Name, "--yes"))
	follows(t, w, further, dub.Postgres, "after a move to "+dub.Name)
	w.Do("fault", "pause", dub.Standbys[0].Node) // which would hold up its region's PostgreSQL
	t.Log(w.Do("switchover", s.Regions[0].Name, "--yes"))
	w.Do("fault", "heal", dub.Standbys[0].Node)
	follows(t, w, further, dub.Postgres, "after a move away from "+dub.Name)
	w.Do("fault", "down", s.Regions[0].Name)
	follows(t, w, further, dub.Postgres, "after a failover")
	w.Do("fault", "down", dub.Standbys[0].Node)
	exec(t, dub.Postgres, "INSERT INTO ledger VALUES ('without it')")
	t.Log(w.Do("fault", "heal", dub.Standbys[0].Node))
	follows(t, w, further, dub.Postgres, "after its own loss")
}

// spread opens sessions, which stand on both PostgreSQLs of their region, and
// returns those that stand on one.
func spread(t *testing.T, dsn, on string) (there []*pgx.Conn, end func()) {
	t.Helper()
	var all []*pgx.Conn
	end = func() {
		for _, c := range all {
			c.Close(context.Background())
		}
		all = nil
	}
	t.Cleanup(func() { end() })
	stand := map[string]int{}
	for range 12 {
		c, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		at := value(t, c, which)
		if stand[at]++; at == on {
			there = append(there, c)
		}
	}
	t.Logf("12 sessions stand on %v", stand)
	if len(stand) != 2 || len(there) < 4 || len(there) > 8 {
		t.Fatalf("12 sessions stand on %v; %d of them on the further standby", stand, len(there))
	}
	return there, end
}

// inside returns the way to the PostgreSQL of a node past every proxy.
func inside(t *testing.T, w *harness.World, node string) (dsn string) {
	t.Helper()
	dir, err := sockdir.For(filepath.Join(w.State, "nodes", world.FolderOf(node)))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("host=%s user=meridian dbname=standbys", dir)
}

func value(t *testing.T, c *pgx.Conn, sql string) (v string) {
	t.Helper()
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// follows waits until a row that is written now is on the further standby, which
// the status then shows as healthy and not behind.
func follows(t *testing.T, w *harness.World, further, dsn, row string) {
	t.Helper()
	begin := time.Now()
	harness.Eventually(t, 30*time.Second, func() error {
		return try(dsn, fmt.Sprintf("INSERT INTO ledger VALUES ('%s') ON CONFLICT DO NOTHING", row))
	})
	written := time.Now()
	harness.Eventually(t, 30*time.Second, func() error {
		return try(further, fmt.Sprintf("SELECT 1 / count(*) FROM ledger WHERE id = '%s'", row))
	})
	harness.Eventually(t, 10*time.Second, func() error {
		if x := w.Status().Regions[1].Standbys[0]; !x.Healthy || x.ReplayLag < 0 || x.ReplayLag > 1000 {
			return fmt.Errorf("the status says %+v", x)
		}
		return nil
	})
	t.Logf("%s: written after %v, on the further standby %v later", row, written.Sub(begin).Round(time.Millisecond), time.Since(written).Round(time.Millisecond))
}

// staleReads writes and reads in sessions that stand on the further standby,
// whose replay is paused. The control asks for no more than what is there: the
// sessions' own writes are missing.
func staleReads(t *testing.T, there []*pgx.Conn, further string) {
	t.Helper()
	for _, level := range []string{"eventual", "session"} {
		for _, c := range there {
			if _, err := c.Exec(t.Context(), "SET meridian.consistency = "+level); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, further, "SELECT pg_wal_replay_pause()")
		stale := 0
		for n := range 48 {
			c := there[n%len(there)]
			id := fmt.Sprintf("%s %d", level, n)
			if _, err := c.Exec(t.Context(), "INSERT INTO ledger VALUES ($1)", id); err != nil {
				t.Fatal(err)
			}
			var seen int
			if err := c.QueryRow(t.Context(), "SELECT count(*) FROM ledger WHERE id = $1", id).Scan(&seen); err != nil {
				t.Fatal(err)
			}
			stale += 1 - seen
		}
		t.Logf("%s: %d of 48 writes were not read", level, stale)
		if (stale > 0) != (level == "eventual") {
			t.Errorf("%s: %d of 48 writes were not read", level, stale)
		}
		exec(t, further, "SELECT pg_wal_replay_resume()")
	}
}

// frozen stops the further standby's processes under the sessions that stand
// there: they read on from the region's own.
func frozen(t *testing.T, w *harness.World, there []*pgx.Conn, node string) {
	t.Helper()
	w.Do("fault", "pause", node)
	begin := time.Now()
	var reading sync.WaitGroup
	for _, c := range there {
		reading.Go(func() {
			var n int
			if err := c.QueryRow(t.Context(), "SELECT count(*) FROM ledger").Scan(&n); err != nil || n == 0 {
				t.Errorf("a session whose replica is frozen reads %d rows, %v", n, err)
			}
		})
	}
	reading.Wait()
	took := time.Since(begin)
	t.Logf("%d sessions of a frozen replica read elsewhere within %v", len(there), took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("sessions of a frozen replica were held up for %v", took)
	}
	w.Do("fault", "heal", node)
}

// loseOwn takes the region's own PostgreSQL and its data away, and the primary
// with it: reads go on. Once that is back, the data is copied anew from the
// further standby, which follows it without a stop.
func loseOwn(t *testing.T, w *harness.World, region, dsn, further string) {
	t.Helper()
	began := ask[string](t, further, which)
	rows := ask[string](t, further, "SELECT count(*)::text FROM ledger")
	w.Do("fault", "cut", region, "us-east-1")
	pid := postmaster(t, w, region)
	data := filepath.Join(w.State, "nodes", region, "postgres", "pg")
	if err := os.Rename(data, data+".lost"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for n := range 10 {
		if got := ask[string](t, dsn, "SELECT count(*)::text FROM ledger"); got != rows {
			t.Errorf("read %d: %s rows, want %s", n, got, rows)
		}
	}
	if got, want := ask[string](t, dsn, which), began; got != want {
		t.Errorf("%s answers, want the further standby, %s", got, want)
	}
	t.Logf("11 reads in new sessions took %v while the region had lost its own PostgreSQL, and the primary", time.Since(begin).Round(time.Millisecond))
	w.Do("fault", "heal", region, "us-east-1")
	harness.Eventually(t, 30*time.Second, func() error {
		_, err := os.Stat(filepath.Join(data, "PG_VERSION"))
		return err
	})
	follows(t, w, further, dsn, "after the loss of its own")
	if now := ask[string](t, further, which); now != began {
		t.Errorf("the further standby was started again, at %s", now)
	}
}
