package handover_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/sockdir"
	"meridian/postgres/instance"
	"meridian/server"
	"meridian/test/harness"
)

// word is the password of the database's role.
const word = "correct horse"

// regions is a world of three regions with PostgreSQL, and an edge apart from them.
func regions(t *testing.T) *site {
	t.Helper()
	s := emptySite(t)
	s.edge, s.nodes = s.place+".4", []string{"us-east-1", "eu-west-1", "ap-southeast-1", "us-east-1/edge"}
	here := filepath.Join(harness.Root(t), "test/handover")
	built := s.run("build", "--out", filepath.Join(s.dir, "bundles"), filepath.Join(here, "testdata/entries/world.yaml"))
	_, binary, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(built), "}"), "binary: ")
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(word), 0o644); err != nil {
		t.Fatal(err)
	}
	s.install(strings.NewReplacer("PLACE", s.place, "HERE", here, "BINARY", binary, "DOMAIN", domain).Replace(`domain: DOMAIN
regions: {us-east-1: {primary: true}, eu-west-1: {}, ap-southeast-1: {}}
edges: [us-east-1]
api: HERE/testdata/entries/openapi.yaml
functions: {entries: {binary: BINARY, concurrency: 32, timeout: 20s}}
limits: {timeout: 20s}
database: {name: entries, migrations: HERE/testdata/entries/migrations, password: ./password, idempotency: {reclaim: true}}
pki: ./pki
nodes:
  - {name: us-east-1, region: us-east-1, address: PLACE.1, roles: [region, control]}
  - {name: eu-west-1, region: eu-west-1, address: PLACE.2, roles: [region]}
  - {name: ap-southeast-1, region: ap-southeast-1, address: PLACE.3, roles: [region]}
  - {name: us-east-1/edge, region: us-east-1, address: PLACE.4, roles: [edge]}
`))
	return s
}

// there returns the numbers in the table, read at the primary.
func (s *site) there(node string) (ids []int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, s.dsn(node))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, "select id from entries")
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// postmaster returns pid and start of a region's PostgreSQL, as its own pid file
// has them.
func (s *site) postmaster(node string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.state(node), "postgres/pg/postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	if err != nil || len(lines) < 3 {
		s.t.Fatalf("the PostgreSQL of %s does not run: %q, %v", node, b, err)
	}
	return lines[0] + " since " + lines[2]
}

// ready waits until a node says that it is.
func (s *site) ready(node string) {
	s.t.Helper()
	harness.Eventually(s.t, 2*time.Minute, func() error {
		b, err := os.ReadFile(s.procs[node].log)
		if err == nil && !strings.Contains(string(b), `"node ready"`) {
			err = fmt.Errorf("%s is not ready", node)
		}
		return err
	})
}

// kill ends a node as kill -9 does: whatever process has its place.
func (s *site) kill(node string) {
	pid := server.Holder(s.state(node))
	syscall.Kill(pid, syscall.SIGKILL)
	syscall.Kill(-s.procs[node].cmd.Process.Pid, syscall.SIGKILL)
	<-s.procs[node].end
	harness.Eventually(s.t, patience, func() error {
		if syscall.Kill(pid, 0) == nil {
			return fmt.Errorf("process %d is left", pid)
		}
		return nil
	})
}

// TestRegionsWithPostgreSQLAreRestartedUnderWrites restarts the node of the
// primary's region as an upgrade does, then the two others', which have the other
// votes of the store: no request fails, no write is lost or done twice, and each is read back by who wrote it. Then the
// primary's node is killed, which is the control: without a hand-over clients are
// told of failures. Nothing is lost or done twice then either.
func TestRegionsWithPostgreSQLAreRestartedUnderWrites(t *testing.T) {
	s := regions(t)
	for _, n := range s.nodes {
		s.serve(n)
	}
	for _, n := range s.nodes {
		s.ready(n)
	}
	b := &book{s: s}
	b.begins()
	b.under(false, func(more func()) {
		more()
		for _, n := range s.nodes[:3] {
			before := s.postmaster(n)
			s.run("restart", "--state", s.state(n))
			more()
			if now := s.postmaster(n); now != before {
				t.Errorf("PostgreSQL of %s was %s before the restart, and is %s", n, before, now)
			}
		}
	})
	b.harsh.Store(true)
	b.under(true, func(more func()) {
		more()
		before, stuck := s.postmaster("us-east-1"), b.stuck.Load()
		s.kill("us-east-1")
		// While it is away, however soon it would be back. All of them may wait for
		// what they have written, which no other region has: they would for longer
		// than the lease.
		harness.Eventually(t, patience, func() error {
			if b.denied.Load()+b.again.Load()+b.stuck.Load() == stuck {
				return errors.New("nobody notices that the primary's node was killed: the restarts before show nothing")
			}
			return nil
		})
		s.serve("us-east-1")
		more()
		if now := s.postmaster("us-east-1"); now != before {
			t.Errorf("PostgreSQL was %s before the crash, and is %s", before, now)
		}
	})
	b.judge(s.there("us-east-1"))
	s.waitsForReplay("us-east-1", "eu-west-1")
}

// waitsForReplay restarts the primary's node while a standby's replay stands still:
// the node waits for it before it ends, and not for ever. So it does wait in the
// restarts before, where nobody sees it: until the next process is there the
// standby alone answers who has seen what was committed.
func (s *site) waitsForReplay(primary, standby string) {
	s.t.Helper()
	dir, err := sockdir.For(s.state(standby))
	if err != nil {
		s.t.Fatal(err)
	}
	s.sql(fmt.Sprintf("host=%s user=%s dbname=postgres", dir, instance.Superuser), "select pg_wal_replay_pause()")
	s.sql(s.dsn(primary), "insert into entries values (-1)")
	given := func() int {
		b, err := os.ReadFile(s.state(primary) + ".log")
		if err != nil {
			s.t.Fatal(err)
		}
		return strings.Count(string(b), "standbys did not get all before this process ended")
	}
	before := given()
	s.run("restart", "--state", s.state(primary))
	if given() == before {
		s.t.Error("the node ended, and a standby had not replayed what was committed")
	}
	s.sql(fmt.Sprintf("host=%s user=%s dbname=postgres", dir, instance.Superuser), "select pg_wal_replay_resume()")
}

// sql runs a statement.
func (s *site) sql(dsn, text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err == nil {
		_, err = c.Exec(ctx, text)
		err = errors.Join(err, c.Close(ctx))
	}
	if err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// dsn is how the database's role reaches it by way of a node.
func (s *site) dsn(node string) string {
	return fmt.Sprintf("postgres://entries:%s@%s.%d:6432/entries", url.PathEscape(word), s.place, slices.Index(s.nodes, node)+1)
}
