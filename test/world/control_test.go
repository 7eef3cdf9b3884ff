package world_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestKilledPostgresRestartsInPlace kills the primary's postmaster alone: it is
// started again within the lease, and nobody else takes the writes. The control
// is the loss of the whole region, TestLostPrimaryIsReplaced: there somebody
// does.
func TestKilledPostgresRestartsInPlace(t *testing.T) {
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	primary := s.Regions[0]
	exec(t, primary.Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	before := postmaster(t, w, primary.Name)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for i, r := range s.Regions {
		harness.Eventually(t, 30*time.Second, func() error {
			return try(r.Postgres, fmt.Sprintf("INSERT INTO ledger VALUES ('after %d') ON CONFLICT DO NOTHING", i))
		})
	}
	t.Logf("writes were back everywhere after %v", time.Since(begin).Round(10*time.Millisecond))
	if p := primaries(w.Status()); len(p) != 1 || p[0] != primary.Name {
		t.Errorf("primaries: %v", p)
	}
	if after := postmaster(t, w, primary.Name); after == before {
		t.Error("it was not killed")
	}
	if got := count(t, primary.Postgres, "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"); got != 1 {
		t.Errorf("timeline %d: it was promoted, not restarted", got)
	}
}

// postmaster returns the process of a region's PostgreSQL.
func postmaster(t *testing.T, w *harness.World, region string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.State, "nodes", region, "postgres", "pg", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Split(string(b), "\n")[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
