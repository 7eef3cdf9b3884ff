package world_test

import (
	"path/filepath"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestTwoRegionsAndAWitnessFailOver loses the primary of two regions: with a
// witness the other takes the writes by itself, and the lost one comes back as a
// standby. The world then lives without its witness.
func TestTwoRegionsAndAWitnessFailOver(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, "test/world/testdata/witness.yaml", filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	lost, left := s.Regions[0], s.Regions[1]
	exec(t, left.Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	harness.Eventually(t, 10*time.Second, func() error { return try(left.Postgres, "SELECT FROM ledger") })
	w.Do("fault", "down", lost.Name)
	begin := time.Now()
	harness.Eventually(t, 40*time.Second, func() error { return try(left.Postgres, "INSERT INTO ledger VALUES ('after') ON CONFLICT DO NOTHING") })
	t.Logf("writes were back after %v", time.Since(begin).Round(100*time.Millisecond))
	w.Do("fault", "heal", lost.Name)
	harness.Eventually(t, 40*time.Second, func() error { return try(lost.Postgres, "SELECT FROM ledger") })
	w.Do("fault", "down", "witness")
	exec(t, left.Postgres, "INSERT INTO ledger VALUES ('without the witness')")
	// If the witness led the store, the lease may end before another does: the
	// primary then goes on in a new term, and the move must be asked for again.
	harness.Eventually(t, 40*time.Second, func() error {
		_, err := w.Try(70*time.Second, "switchover", lost.Name, "--yes")
		return err
	})
	if p := primaries(w.Status()); len(p) != 1 || p[0] != lost.Name {
		t.Errorf("primaries: %v", p)
	}
}

// TestTwoRegionsAloneWait is the control: the same loss without a witness. The
// other region has seen the lease expire, and takes nothing for longer than the
// witness's world needs.
func TestTwoRegionsAloneWait(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, "test/world/testdata/two.yaml", filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	lost, left := s.Regions[0], s.Regions[1]
	exec(t, left.Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	harness.Eventually(t, 10*time.Second, func() error { return try(left.Postgres, "SELECT FROM ledger") })
	w.Do("fault", "down", lost.Name)
	for begin := time.Now(); time.Since(begin) < 12*time.Second; {
		if err := try(left.Postgres, "INSERT INTO ledger VALUES ('after') ON CONFLICT DO NOTHING"); err == nil {
			t.Fatalf("%s takes writes, %v after %s was lost: it may only have been out of reach", left.Name, time.Since(begin), lost.Name)
		}
		exec(t, left.Postgres, "SELECT FROM ledger") // reads go on
	}
}
