package world_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/test/harness"
)

// pledges cuts a standby's region off until it pledges a term, while its
// PostgreSQL stands still, so that it has nothing to report. The primary is there
// all the time and renews the term before. It must hear of the pledge and go above
// it, or the standby follows nobody for good.
func pledges(t *testing.T, w *harness.World, s harness.Status, primary, standby int) {
	t.Helper()
	holder, cut := s.Regions[primary], s.Regions[standby]
	pid := postmaster(t, w, cut.Name)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { syscall.Kill(pid, syscall.SIGCONT) }
	defer goOn()
	before := logged(t, w, holder.Name, `"do":"raise"`)
	for _, other := range s.Regions {
		if other.Name != cut.Name {
			w.Do("fault", "cut", cut.Name, other.Name)
		}
	}
	harness.Eventually(t, 30*time.Second, func() error {
		if logged(t, w, cut.Name, `"do":"recruit","term":`) == 0 {
			return errors.New("it has not pledged yet, or could report")
		}
		return nil
	})
	exec(t, holder.Postgres, "INSERT INTO ledger VALUES ('while one is cut off')")
	w.Do("fault", "heal")
	harness.Eventually(t, 30*time.Second, func() error {
		if logged(t, w, holder.Name, `"do":"raise"`) == before {
			return fmt.Errorf("%s does not go above what %s pledged", holder.Name, cut.Name)
		}
		return nil
	})
	goOn()
	harness.Eventually(t, 30*time.Second, func() error {
		return try(cut.Postgres, "SET meridian.consistency = 'eventual'; SELECT 1 / count(*) FROM ledger WHERE id = 'while one is cut off'")
	})
	if p := primaries(w.Status()); len(p) != 1 || p[0] != holder.Name {
		t.Errorf("primaries: %v, want %s", p, holder.Name)
	}
}

// logged returns how often a node's log says something.
func logged(t *testing.T, w *harness.World, node, what string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.State, "log", node+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), what)
}
