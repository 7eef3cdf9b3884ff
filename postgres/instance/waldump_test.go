package instance

import (
	"os"
	"path/filepath"
	"testing"

	"meridian"
)

// TestAFileThatWasMadeAheadHidesNoLog puts files beside the log as PostgreSQL makes
// them ahead of time: full of zeros. Most file systems list one of them first.
func TestAFileThatWasMadeAheadHidesNoLog(t *testing.T) {
	w := idleWorld(t, "us-east-1")
	in := w.all[0]
	in.founded()
	c, err := in.control(t.Context(), in.data())
	w.check(err)
	end, err := in.checkpointEnd(in.data(), c) // of the log: it was shut down
	w.check(err)
	wal := filepath.Join(in.data(), "pg_wal")
	for n := range meridian.LSN(20) {
		name := filepath.Join(wal, segmentFile(1, end+(n+1)*meridian.LSN(c.Segment), c.Segment))
		w.check(os.WriteFile(name, nil, 0o644))
		w.check(os.Truncate(name, int64(c.Segment)))
	}
	if nothing, err := in.nothingAfter(t.Context(), Report{Timeline: 1, Replayed: c.Checkpoint}); nothing || err != nil {
		t.Errorf("a standby that has not replayed the last record: nothing is after it: %v, %v", nothing, err)
	}
	if nothing, err := in.nothingAfter(t.Context(), Report{Timeline: 1, Replayed: end}); !nothing || err != nil {
		t.Errorf("a standby that has replayed all: nothing is after it: %v, %v", nothing, err)
	}
	c.State = "in production" // as where it crashed: the log itself is read
	if at, err := in.end(t.Context(), c); at != end || err != nil {
		t.Errorf("the log ends at %s, %v; want %s", at, err, end)
	}
}
