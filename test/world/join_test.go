package world_test

import (
	"path/filepath"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestARegionJoinsAndLeavesBetweenTwoStarts brings a world up again with a
// fourth region in its file: it has what was written before it came, and writes.
// Without it again, the others go on with what was written through it.
func TestARegionJoinsAndLeavesBetweenTwoStarts(t *testing.T) {
	state := filepath.Join(harness.Folder(t), "world")
	w := harness.Up(t, "test/world/testdata/three.yaml", state)
	exec(t, w.Status().Regions[2].Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	w.Down()

	w = harness.Up(t, "test/world/testdata/four.yaml", state)
	s := w.Status()
	if len(s.Regions) != 4 {
		t.Fatalf("%d regions", len(s.Regions))
	}
	joined := s.Regions[3]
	harness.Eventually(t, 30*time.Second, func() error { return try(joined.Postgres, "SELECT FROM ledger") })
	exec(t, joined.Postgres, "INSERT INTO ledger VALUES ('from the fourth')")
	w.Do("switchover", joined.Name, "--yes") // a region like the others
	w.Do("switchover", s.Regions[0].Name, "--yes")
	w.Down()

	w = harness.Up(t, "test/world/testdata/three.yaml", state)
	for _, r := range w.Status().Regions {
		if got := count(t, r.Postgres, "SELECT count(*) FROM ledger"); got != 1 {
			t.Errorf("%s has %d rows, want 1", r.Name, got)
		}
	}
}
