package world_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestPartsOfAWorldFailAlone takes parts of one world away.
func TestPartsOfAWorldFailAlone(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	exec(t, s.Regions[0].Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	for _, r := range s.Regions {
		harness.Eventually(t, 10*time.Second, func() error { return try(r.Postgres, "SELECT FROM ledger") })
	}
	t.Run("a killed PostgreSQL restarts in place", func(t *testing.T) { killPostgres(t, w, s) })
	t.Run("the data plane outlives the store", func(t *testing.T) { loseStore(t, w, s) })
}

// loseStore takes the store's majority away and nothing else: the three regions
// that vote do not reach each other, and all else goes on. Requests, names and
// reads are answered in every place, the primary's own too; writes, and reads
// that promise the newest data, stop when the lease ends. The control is one cut
// link: a majority is left, so that writes and switches go on.
func loseStore(t *testing.T, w *harness.World, s harness.Status) {
	us, eu, ap := s.Regions[0], s.Regions[1], s.Regions[2]
	jars := map[string]http.CookieJar{} // who reads at another edge has seen what that edge's region may not have
	for _, e := range s.Edges {
		jars[e.Name] = newJar(t)
	}
	served := func() {
		t.Helper()
		for _, e := range s.Edges {
			get(t, door(t, s, e.Name, jars[e.Name]), "GET", "/visits", nil, 200)
		}
		for _, r := range s.Regions {
			exec(t, r.Postgres, "/* meridian: consistency=eventual */ SELECT FROM ledger")
		}
		exec(t, us.Postgres, "SELECT FROM ledger")
		if err := resolve(s); err != nil {
			t.Error(err)
		}
	}
	served()
	w.Do("fault", "cut", eu.Name, ap.Name) // control: each of them still has the third
	for begin, n := time.Now(), 0; time.Since(begin) < 5*time.Second; n++ {
		exec(t, us.Postgres, fmt.Sprintf("INSERT INTO ledger VALUES ('one cut %d')", n))
	}
	w.Do("drain", "--yes", ap.Name)
	w.Do("undrain", ap.Name)

	w.Do("fault", "cut", us.Name, eu.Name)
	w.Do("fault", "cut", us.Name, ap.Name)
	harness.Eventually(t, 15*time.Second, func() error {
		if try(us.Postgres, "INSERT INTO ledger VALUES (gen_random_uuid()::text)") == nil {
			return errors.New("the primary still writes, and nobody renews its right")
		}
		return nil
	})
	for begin := time.Now(); time.Since(begin) < 6*time.Second; {
		served()
		for _, r := range s.Regions {
			for _, sql := range []string{"INSERT INTO ledger VALUES (gen_random_uuid()::text)", "/* meridian: consistency=global */ SELECT FROM ledger"} {
				if try(r.Postgres, sql) == nil {
					t.Fatalf("without the store %s answers %s", r.Name, sql)
				}
			}
		}
	}
	w.Do("fault", "heal")
	for _, r := range s.Regions {
		harness.Eventually(t, 30*time.Second, func() error {
			return try(r.Postgres, "INSERT INTO ledger VALUES (gen_random_uuid()::text)")
		})
	}
}

// resolve asks the world's own name server for its domain.
func resolve(s harness.Status) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.DNS[0])
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) // a probe: its end must not hang on the test's
	defer cancel()
	addrs, err := r.LookupHost(ctx, s.Domain)
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("%s has no address", s.Domain)
	}
	return err
}

// killPostgres kills the primary's postmaster alone: it is started again within
// the lease, and nobody else takes the writes. The control is the loss of the
// whole region, TestLostPrimaryIsReplaced: there somebody does.
func killPostgres(t *testing.T, w *harness.World, s harness.Status) {
	primary := s.Regions[0]
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
