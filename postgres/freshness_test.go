package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
	"meridian/postgres/pgtest"
)

// TestDecideFresh runs the script of testdata/fresh.
func TestDecideFresh(t *testing.T) {
	datadriven.RunTest(t, "testdata/fresh", func(t *testing.T, d *datadriven.TestData) string {
		token := func(key string) (tok meridian.Token) {
			var s string
			if d.MaybeScanArgs(t, key, &s); s != "" {
				var lsn uint64
				if _, err := fmt.Sscanf(s, "%d:%d:%d", &tok.System, &tok.Timeline, &lsn); err != nil {
					t.Fatal(err)
				}
				tok.Database, tok.LSN = "conduit", meridian.LSN(lsn)
			}
			return tok
		}
		v := freshView{Floor: token("floor"), Here: token("here"), Waited: d.HasArg("waited"), Looked: d.HasArg("looked"), Silent: d.HasArg("silent"), Primary: d.HasArg("primary"), Lapsed: d.HasArg("lapsed"),
			Asked: d.HasArg("asked"), Mute: d.HasArg("mute"), Stale: d.HasArg("stale"), Age: -1}
		for key, into := range map[string]*time.Duration{"age": &v.Age, "trip": &v.Trip} {
			var s string
			if d.MaybeScanArgs(t, key, &s); s != "" {
				*into, _ = time.ParseDuration(s)
			}
		}
		var mode string
		if d.MaybeScanArgs(t, "mode", &mode); mode != "" {
			v.Mode, _ = meridian.ParseConsistency(strings.NewReplacer("[", "(", "]", ")").Replace(mode))
		}
		if d.HasArg("exposed") {
			v.Exposed = "a statement is not answered yet"
		}
		if d.HasArg("unknown") {
			v.Unknown = "nobody can say how new what was read before was"
		}
		if d.HasArg("away") {
			v.Away = "the primary cannot be reached"
		}
		got := decideFresh(v)
		return got.Do + ": " + got.Why + "\n"
	})
}

const readYourWrites = `\set id random(1, 200)
update bar set v = v + 1 where id = :id returning v as w \gset
select v as r from bar where id = :id \gset
\if :r < :w
select 1/0;
\endif
`

// TestReadYourWritesOnOneConnection updates through the secondary and reads
// back there, in all of pgbench's protocols.
func TestReadYourWritesOnOneConnection(t *testing.T) {
	w := newWorld(t)
	c := w.connect(dsn(w.dub))
	w.exec(c, "drop table if exists bar", "create table bar (id int primary key, v bigint not null)", "insert into bar select g, 0 from generate_series(1, 200) g")
	bench, err := pgtest.Binary("pgbench")
	if err != nil {
		t.Fatal(err)
	}
	script := t.TempDir() + "/ryw.sql"
	write(t, script, readYourWrites)
	for _, mode := range []string{"simple", "extended", "prepared"} {
		out, err := exec.Command(bench, "-n", "-M", mode, "-c", "4", "-j", "1", "-t", "100", "-f", script, dsn(w.dub)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "400/400") {
			t.Errorf("%s: %v\n%s", mode, err, out)
		}
	}
	if n := counter(w.dub.metrics.routes.WithLabelValues("standby")); n < 1000 {
		t.Errorf("%v groups ran on the standby: the reads did not", n)
	}
}

// TestReadNeverGoesBackWhileReplayIsStopped stops replay: the read after the
// write must come from the primary. Its negative control, with the wait off,
// reads the old value.
func TestReadNeverGoesBackWhileReplayIsStopped(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignore=%v", ignore), func(t *testing.T) {
			w := newWorld(t)
			w.dub.ignoreFloors = ignore
			c := w.connect(dsn(w.dub))
			w.exec(c, "drop table if exists frozen", "create table frozen (v int)", "insert into frozen values (1)")
			w.caughtUp(c)
			thaw := w.freeze()
			w.exec(c, "update frozen set v = 2")
			got := get[int](w, c, "select v from frozen")
			if want := map[bool]int{false: 2, true: 1}[ignore]; got != want {
				t.Errorf("read %d, want %d", got, want)
			}
			thaw()
		})
	}
}

// caughtUp waits until the standby has replayed what the primary has.
func (w *world) caughtUp(*pgx.Conn) {
	w.t.Helper()
	at, err := w.iad.Position(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.dub.watch.wait(w.t.Context(), at, 10*time.Second) {
		w.t.Fatal("the standby does not catch up")
	}
	w.eventually("the catalogues are read again", func() bool { return !w.dub.catalogue.behind() })
}

// TestTokenHoldsAcrossRegions writes for one invocation in the primary's
// region and reads for the next in the other, with the first's token.
func TestTokenHoldsAcrossRegions(t *testing.T) {
	w := newWorld(t)
	home, away := w.attach(w.iad, "home"), w.attach(w.dub, "away")
	ctx := t.Context()
	end := w.iad.Begin(ctx, "home", meridian.Token{}, meridian.Promise{})
	w.exec(home, "drop table if exists tokens", "create table tokens (v int)", "insert into tokens values (0)")
	end()
	w.dub.catalogue.changed(meridian.Token{})
	for i := range 50 {
		end := w.iad.Begin(ctx, "home", meridian.Token{}, meridian.Promise{})
		w.exec(home, fmt.Sprintf("update tokens set v = %d", i))
		o := end()
		if o.Token.IsZero() || o.Local != 1 {
			t.Fatalf("observed %+v", o)
		}
		end = w.dub.Begin(ctx, "away", o.Token, meridian.Promise{})
		got := get[int](w, away, "select v from tokens")
		o2 := end()
		if got != i {
			t.Fatalf("read %d with the token of %d", got, i)
		}
		if o.Token.Newer(o2.Token) {
			t.Fatalf("the reader's token %s is older than the writer's %s", o2.Token, o.Token)
		}
	}
	if o := w.dub.Begin(ctx, "away", meridian.Token{}, meridian.Promise{})(); !o.Token.IsZero() {
		t.Errorf("an invocation without statements observed %v", o.Token)
	}
}

// TestOldReadIsRefusedWhenNobodyCanAnswer asks for a token that the frozen
// replica does not hold while the primary is cut off.
func TestOldReadIsRefusedWhenNobodyCanAnswer(t *testing.T) {
	w := newWorld(t)
	c := w.attach(w.dub, "alone")
	w.exec(w.connect(dsn(w.iad)), "drop table if exists alone", "create table alone (v int)", "insert into alone values (1)")
	w.caughtUp(c)
	thaw := w.freeze()
	w.exec(w.connect(dsn(w.iad)), "update alone set v = 2")
	at, err := w.iad.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.link.sever()
	w.eventually("the loss is noticed", func() bool { return w.dub.away() != "" })

	end := w.dub.Begin(t.Context(), "alone", at, meridian.Promise{})
	var v int
	err = c.QueryRow(t.Context(), "select v from alone").Scan(&v)
	if o := end(); state(err) != "57P03" || o.PrimaryAway == "" {
		t.Errorf("read %d, %v; observed %+v", v, err, o)
	}
	end = w.dub.Begin(t.Context(), "alone", meridian.Token{}, meridian.Promise{})
	if v := get[int](w, c, "select v from alone"); v != 1 {
		t.Errorf("without a token: %d", v)
	}
	if o := end(); o.PrimaryAway != "" {
		t.Errorf("a read that was served marks the primary away: %+v", o)
	}
	thaw()
	w.dub.Begin(t.Context(), "alone", at, meridian.Promise{})
	if v := get[int](w, c, "select v from alone"); v != 2 {
		t.Errorf("with the token, once replayed: %d", v)
	}
}

// TestAPrimaryThatIsAskedLateIsNotBehind has a read come with what was written
// elsewhere just now, while the connection on which the primary says how far it
// is stands still for longer than a read waits. Nobody says that the primary
// lacks it before it was asked.
func TestAPrimaryThatIsAskedLateIsNotBehind(t *testing.T) {
	w := newWorld(t)
	c, writer := w.attach(w.iad, "late"), w.superuser(pair.primary) // of whom the proxy hears nothing
	old, err := w.iad.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.iad.watch.mu.Lock()
	pid := int(w.iad.watch.conn.Key.PID)
	w.iad.watch.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { syscall.Kill(pid, syscall.SIGCONT) }
	defer goOn()
	w.exec(writer, "drop table if exists late", "create table late (v int)")
	floor := old
	floor.LSN++
	w.iad.Begin(t.Context(), "late", floor, meridian.Promise{})
	failed := background(c, "select 1")
	w.eventually("it is asked", func() bool {
		w.iad.watch.mu.Lock()
		defer w.iad.watch.mu.Unlock()
		return len(w.iad.watch.asking) > 0
	})
	goOn()
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// TestTokenOfAnotherSystemIsIgnored presents a token of a database that no
// longer exists, and one of a timeline that nobody has reached.
func TestTokenOfAnotherSystemIsIgnored(t *testing.T) {
	w := newWorld(t)
	c := w.attach(w.dub, "other")
	at, err := w.dub.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := at
	other.System++
	other.LSN += 1 << 40
	end := w.dub.Begin(t.Context(), "other", other, meridian.Promise{})
	if !get[bool](w, c, "select pg_is_in_recovery()") {
		t.Error("a foreign token moved the read")
	}
	end()
	at.Timeline++
	w.dub.Begin(t.Context(), "other", at, meridian.Promise{})
	if get[bool](w, c, "select pg_is_in_recovery()") {
		t.Error("the replica served a timeline that it has not reached")
	}
}

// attach connects as an execution environment.
func (w *world) attach(p *Proxy, env string) *pgx.Conn {
	w.t.Helper()
	dsn, detach, err := p.Attach(env)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(detach)
	return w.connect(dsn)
}

// state returns the SQLSTATE of an error.
func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
