package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/postgres/classify"
	"meridian/postgres/pgtest"
)

var (
	handleLine = regexp.MustCompile(`tx: +(\d+),.* desc: MESSAGE transactional, prefix "meridian"; payload \(\d+ bytes\): ([0-9A-F ]+)`)
	commitLine = regexp.MustCompile(`rmgr: Transaction .* tx: +(\d+),.* desc: COMMIT (?:.*subxacts:((?: \d+)+))?`)
)

// committedHandles reads the handles of the transactions that committed in the
// log of a server between two positions.
func (w *world) committedHandles(s *pgtest.Server, su *pgx.Conn, from, to string) (handles []string) {
	w.t.Helper()
	waldump, err := pgtest.Binary("pg_waldump")
	if err != nil {
		w.t.Fatal(err)
	}
	file := func(at string) string { return get[string](w, su, "select pg_walfile_name($1::text::pg_lsn)", at) } // not any: one that was made ahead says nothing
	out, err := exec.Command(waldump, "--path", filepath.Join(s.Dir, "pg_wal"), "--start", from, "--end", to, file(from), file(to)).Output()
	if err != nil {
		w.t.Fatalf("pg_waldump from %s to %s: %v", from, to, err)
	}
	by := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if f := handleLine.FindStringSubmatch(line); f != nil {
			b, err := hex.DecodeString(strings.ReplaceAll(f[2], " ", ""))
			if err != nil {
				w.t.Fatal(line)
			}
			by[f[1]] = append(by[f[1]], string(b))
		}
		if f := commitLine.FindStringSubmatch(line); f != nil {
			handles = append(handles, by[f[1]]...)
			for _, sub := range strings.Fields(f[2]) {
				handles = append(handles, by[sub]...)
			}
		}
	}
	return handles
}

// An exchange is statements of one client, and what is said of them.
type said struct {
	name  string
	do    func(ctx context.Context, c *pgx.Conn) error
	marks int
	code  string // SQLSTATE of its error, or ""
}

// texts sends each text as a Query.
func texts(sql ...string) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, c *pgx.Conn) (first error) {
		for _, s := range sql {
			if _, err := c.PgConn().Exec(ctx, s).ReadAll(); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
}

// bound sends each text with the extended protocol.
func bound(sql ...string) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, c *pgx.Conn) (first error) {
		for _, s := range sql {
			if _, err := c.PgConn().ExecParams(ctx, s, nil, nil, nil, nil).Close(); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
}

// batch sends all texts with one Sync.
func batch(sql ...string) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, c *pgx.Conn) error {
		b := &pgconn.Batch{}
		for _, s := range sql {
			b.ExecParams(s, nil, nil, nil, nil)
		}
		return c.PgConn().ExecBatch(ctx, b).Close()
	}
}

var exchanges = []said{
	{"a write", texts("insert into marked values (1)"), 1, ""},
	{"a write, bound", bound("insert into marked values (1)"), 1, ""},
	{"a write that returns", bound("insert into marked values (1) returning v"), 1, ""},
	{"a read", bound("select 1", "select count(*) from marked"), 0, ""},
	{"a function that writes", bound("select marks()"), 1, ""},
	{"a definition", texts("create table marked2 (v int)", "drop table marked2"), 2, ""},
	{"writes in one flight", batch("insert into marked values (1)", "insert into marked values (2)"), 1, ""},
	{"a block", texts("begin", "insert into marked values (1)", "insert into marked values (2)", "commit"), 1, ""},
	{"a block, bound", bound("begin", "insert into marked values (1)", "commit"), 1, ""},
	{"a block in one flight", batch("begin", "insert into marked values (1)", "commit"), 1, ""},
	{"a block that reads", texts("begin", "select 1", "commit"), 0, ""},
	{"a block that is undone", texts("begin", "insert into marked values (1)", "rollback"), 0, ""},
	{"a block with a level", bound("begin", "set transaction isolation level serializable", "insert into marked values (1)", "commit"), 1, ""},
	{"a chain", texts("begin", "insert into marked values (1)", "commit and chain", "set transaction isolation level repeatable read", "insert into marked values (2)", "commit"), 2, ""},
	{"a savepoint", texts("begin", "savepoint a", "insert into marked values (1)", "commit"), 1, ""},
	{"a failed block", texts("begin", "insert into marked values ('x')", "commit"), 0, "22P02"},
	{"a failed write", texts("insert into marked values ('x')"), 0, "22P02"},
	{"a failed write, bound", bound("insert into marked values ('x')", "insert into marked values (3)"), 1, "22P02"},
	{"a failed flight", batch("insert into marked values (1)", "insert into marked values ('x')", "commit"), 0, "22P02"},
	{"two-phase commit", texts("begin", "insert into marked values (1)", "prepare transaction 'marked'", "commit prepared 'marked'"), 0, ""},
	{"maintenance", texts("vacuum marked", "analyze marked", "reindex table marked"), 0, ""},
	{"maintenance, bound", bound("vacuum marked"), 0, ""},
	{"an index beside writers", texts("create index concurrently marked_v on marked (v)", "drop index concurrently marked_v"), 0, ""},
	{"a procedure that commits", texts("call marked_commits()"), 0, ""},
	{"a procedure that commits, bound", bound("call marked_commits()"), 0, ""},
	{"a script", texts("insert into marked values (1); select count(*) from marked; insert into marked values (2)"), 1, ""},
	{"a script that fails", texts("insert into marked values (1); insert into marked values ('x')"), 0, "22P02"},
	{"a script with a block", texts("begin; insert into marked values (1); commit; insert into marked values (2)"), 0, ""},
	{"a script with a level", texts("set transaction isolation level serializable; insert into marked values (1)"), 0, ""},
	{"a write of rows", func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().CopyFrom(ctx, strings.NewReader("1\n2\n"), "copy marked from stdin")
		return err
	}, 0, ""},
	{"a write that was prepared", func(ctx context.Context, c *pgx.Conn) error {
		for range 3 {
			if _, err := c.Exec(ctx, "insert into marked values ($1)", 5); err != nil {
				return err
			}
		}
		return nil
	}, 3, ""},
	{"a write described before", func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "insert into marked values ($1)", pgx.QueryExecModeDescribeExec, 5)
		return err
	}, 1, ""},
	{"EXECUTE", texts("prepare mk as insert into marked values (7)", "execute mk", "deallocate mk"), 1, ""},
}

// TestEachWriteLeavesItsHandle runs exchanges at both proxies: each transaction
// that writes and may be named is named once, the answers are PostgreSQL's own,
// and nothing is left in the session. Who is no function and is in the primary's
// region leaves none. Control: with handles off there are none at all.
func TestEachWriteLeavesItsHandle(t *testing.T) {
	for _, off := range []bool{false, true} {
		w := newWorld(t)
		w.iad.noHandles, w.dub.noHandles = off, off
		su := w.superuser(pair.primary)
		direct := w.direct(pair.primary)
		w.exec(direct, "drop table if exists marked", "create table marked (v int)",
			"create or replace function marks() returns int language sql volatile as 'insert into marked values (9) returning v'",
			"create or replace procedure marked_commits() language plpgsql as 'begin insert into marked values (4); commit; insert into marked values (5); end'")
		for _, p := range []*Proxy{w.iad, w.dub} {
			c := w.attach(p, "marking")
			w.caughtUp(c)
			for _, x := range exchanges {
				want := x.do(t.Context(), direct)
				from := get[string](w, su, "select pg_current_wal_insert_lsn()::text")
				got := x.do(t.Context(), c)
				w.exec(su, "select pg_logical_emit_message(true, 'nobody', '')") // its commit has all before it flushed
				to := get[string](w, su, "select pg_current_wal_flush_lsn()::text")
				if state(got) != x.code || state(want) != x.code || errorPosition(got) != errorPosition(want) {
					t.Errorf("%s at %s: %v, directly %v", x.name, p.cfg.Region, got, want)
				}
				marks := x.marks
				if off {
					marks = 0
				}
				if handles := w.committedHandles(pair.primary, su, from, to); len(handles) != marks {
					t.Errorf("%s at %s: handles %q, want %d", x.name, p.cfg.Region, handles, marks)
				}
			}
			if p == w.iad {
				from := get[string](w, su, "select pg_current_wal_insert_lsn()::text")
				w.exec(w.connect(dsn(p)), "insert into marked values (1)")
				to := get[string](w, su, "select pg_current_wal_flush_lsn()::text")
				if handles := w.committedHandles(pair.primary, su, from, to); len(handles) != 0 {
					t.Errorf("handles %q of a client that is lost with the primary", handles)
				}
			}
			if left := get[string](w, c, "select coalesce(string_agg(name || ': ' || statement, '; '), '') from pg_prepared_statements where name !~ '^stmtcache'"); left != "" {
				t.Errorf("in a session at %s are left: %s", p.cfg.Region, left)
			}
		}
	}
}

// direct connects to a server as the proxies do.
func (w *world) direct(s *pgtest.Server) *pgx.Conn {
	w.t.Helper()
	cfg := w.superuser(s).Config()
	cfg.User = "conduit"
	c, err := pgx.ConnectConfig(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func errorPosition(err error) int32 {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Position
	}
	return 0
}

// TestDecideMark runs the script of testdata/mark: each line is a statement, and
// the view carries over from one group to the next.
func TestDecideMark(t *testing.T) {
	var open, wrote bool
	datadriven.RunTest(t, "testdata/mark", func(t *testing.T, d *datadriven.TestData) string {
		if d.HasArg("fresh") {
			open, wrote = false, false
		}
		v := markView{Open: open || d.HasArg("folded"), Known: !d.HasArg("pipelined"), Failed: d.HasArg("failed"), Wrote: wrote,
			Simple: d.HasArg("simple"), Whole: !d.HasArg("partly")}
		for line := range strings.Lines(d.Input) {
			v.Statements = append(v.Statements, classify.Classify([]byte(line), nil))
		}
		got := decideMark(v)
		open, wrote = got.Open, got.Wrote
		return fmt.Sprintf("%s: %s\n", []string{"none", "first", "before the end", "alone"}[got.Where], got.Why)
	})
}
