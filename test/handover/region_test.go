package handover_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
// has them, or why they cannot be read.
func (s *site) postmaster(node string) string {
	b, err := os.ReadFile(filepath.Join(s.state(node), "postgres/pg/postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	if err != nil || len(lines) < 3 {
		return fmt.Sprintf("not running: %q, %v", b, err)
	}
	return lines[0] + " since " + lines[2]
}

var holdsSaid = regexp.MustCompile(`"msg":"primary".*"why":"(\S+) holds term (\d+)`)

// primary returns the region that holds the newest term of which a node's log tells.
func (s *site) primary() (region string, term int) {
	for _, n := range s.nodes {
		log, _ := os.ReadFile(s.state(n) + ".log")
		for _, said := range holdsSaid.FindAllStringSubmatch(string(log), -1) {
			if t, _ := strconv.Atoi(said[2]); t > term {
				region, term = said[1], t
			}
		}
	}
	return region, term
}

// outlives does what ends a node, and complains if its PostgreSQL did not outlive
// it. Where the primary's lease has run out meanwhile nothing was to be kept: a
// machine with other work may take longer than that to start a node. It reports
// whether that was so.
func (s *site) outlives(node string, do func()) (ranOut bool) {
	s.t.Helper()
	before := s.postmaster(node)
	_, term := s.primary()
	do()
	now := s.postmaster(node)
	_, then := s.primary()
	switch {
	case then != term:
		s.t.Logf("this machine was too busy to tell whether PostgreSQL of %s outlives its node: term %d ran out, now it is %d", node, term, then)
		return true
	case now != before:
		s.t.Errorf("PostgreSQL of %s was %s before its node ended, and is %s, in term %d still", node, before, now, term)
	}
	return false
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
			s.outlives(n, func() {
				s.run("restart", "--state", s.state(n))
				more()
			})
		}
	})
	b.harsh.Store(true)
	killed, _ := s.primary()
	b.under(true, func(more func()) {
		more()
		b.lossy = s.outlives(killed, func() {
			stuck := b.stuck.Load()
			s.kill(killed)
			// While it is away, however soon it would be back. All of them may wait for
			// what they have written, which no other region has: they would for longer
			// than the lease.
			harness.Eventually(t, patience, func() error {
				if b.denied.Load()+b.again.Load()+b.stuck.Load() == stuck {
					return errors.New("nobody notices that the primary's node was killed: the restarts before show nothing")
				}
				return nil
			})
			s.serve(killed)
			more()
		})
	})
	primary, _ := s.primary()
	standby := s.nodes[0]
	if standby == primary {
		standby = s.nodes[1]
	}
	b.judge(s.there(primary))
	s.waitsForReplay(primary, standby)
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
	own := fmt.Sprintf("host=%s user=%s dbname=postgres", dir, instance.Superuser)
	harness.Eventually(s.t, patience, func() error { return s.exec(own, "select pg_wal_replay_pause()") }) // it may be winding back still
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
	s.sql(own, "select pg_wal_replay_resume()")
}

// sql runs a statement that must succeed.
func (s *site) sql(dsn, text string) {
	s.t.Helper()
	if err := s.exec(dsn, text); err != nil {
		s.t.Fatal(err)
	}
}

// exec runs a statement.
func (s *site) exec(dsn, text string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err == nil {
		_, err = c.Exec(ctx, text)
		err = errors.Join(err, c.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// dsn is how the database's role reaches it by way of a node.
func (s *site) dsn(node string) string {
	return fmt.Sprintf("postgres://entries:%s@%s.%d:6432/entries", url.PathEscape(word), s.place, slices.Index(s.nodes, node)+1)
}
