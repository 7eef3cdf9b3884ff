package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
	"meridian/postgres/instance"
	"meridian/postgres/pgtest"
)

// limit bounds each wait of these tests; none waits that long unless it fails.
const limit = 60 * time.Second

// TestABaseBackupKeepsTheLogThatItNeeds sends the log while one is made: the
// slot stays. The control sends it afterwards: the slot moves on.
func TestABaseBackupKeepsTheLogThatItNeeds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, pgtest.Folder(t), dir(filepath.Join(t.TempDir(), "copies")))
	c.archive()
	for _, taking := range []bool{true, false} {
		before := mustEnd(t, c.Instance).Kept
		c.value("SELECT pg_switch_wal()")
		c.value("CREATE TABLE t" + map[bool]string{true: "1", false: "2"}[taking] + " ()")
		c.keeper.taking.Store(taking)
		c.archive()
		if moved := mustEnd(t, c.Instance).Kept > before; moved == taking {
			t.Errorf("a base backup is made: %v; the slot moved: %v", taking, moved)
		}
	}
}

// A cluster is a PostgreSQL whose log is kept.
type cluster struct {
	*instance.Instance
	t      *testing.T
	keeper *Keeper
}

func newInstance(t *testing.T, dir string, region meridian.Region, upstream func(context.Context, uint64) (net.Conn, error)) *instance.Instance {
	t.Helper()
	in, err := instance.New(instance.Config{
		Region: region, Dir: filepath.Join(dir, string(region)), SocketDir: filepath.Join(dir, "s", string(region)),
		Database: "conduit", SharedBuffers: "8MB", MaxConnections: 20,
	}, instance.Deps{Upstream: upstream, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// operate runs an instance until the test ends.
func operate(t *testing.T, in *instance.Instance, role instance.Role) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var err error
	go func() {
		err = in.Run(ctx, role, func() { close(ready) })
		close(done)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	select {
	case <-ready:
	case <-done:
		t.Fatalf("PostgreSQL ended: %v", err)
	case <-time.After(limit):
		t.Fatal("PostgreSQL is not ready")
	}
	return stop
}

func newCluster(t *testing.T, dir string, place Place) *cluster {
	t.Helper()
	in := newInstance(t, dir, "us-east-1", nil)
	operate(t, in, instance.Primary)
	return &cluster{in, t, keeper(t, in, place, nil)}
}

func keeper(t *testing.T, in *instance.Instance, place Place, reg prometheus.Registerer) *Keeper {
	return New(Config{To: "here", Keep: 2}, in, Deps{
		Place: place, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: reg, Region: "us-east-1", Database: "conduit", Major: in.Binaries().Major(),
		Primary: func() bool { return in.Role() == instance.Primary },
	})
}

// value returns the first column of the first row.
func value(t *testing.T, in *instance.Instance, sql string) (out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cfg, err := pgx.ParseConfig("host=/postgres user=meridian database=conduit sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return in.Dial(ctx) }
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	r := c.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if r.Err != nil {
		t.Fatalf("%s: %v", sql, r.Err)
	}
	if len(r.Rows) > 0 {
		out = string(r.Rows[0][0])
	}
	return out
}

func (c *cluster) value(sql string) string { c.t.Helper(); return value(c.t, c.Instance, sql) }

// archive sends all that there is.
func (c *cluster) archive() {
	c.t.Helper()
	c.keeper.copied = time.Time{} // the unfinished file too, however lately it was sent
	if err := c.keeper.send(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// a real S3 server, on the loopback
func bucketPlace(t *testing.T) Place {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("copies"); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(srv.Close)
	who := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(who, []byte("[default]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Open(Config{To: "s3://copies/meridian", Endpoint: srv.URL, Credentials: who})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRestoreToAMoment writes, waits for the clock, and writes again. A restore
// to the time between finds exactly what was written first, one to a position
// between too; the control, a restore to the end, finds both.
func TestRestoreToAMoment(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(*testing.T) Place{
		"folder": func(t *testing.T) Place { return dir(filepath.Join(t.TempDir(), "copies")) },
		"bucket": bucketPlace,
	} {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			at := pgtest.Folder(t)
			c := newCluster(t, at, p)
			c.value("CREATE TABLE t (n int)")
			if _, err := c.keeper.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.value("INSERT INTO t VALUES (1)")
			lsn := c.value("SELECT pg_current_wal_lsn()")
			between := c.value("SELECT clock_timestamp()::text")
			c.value("SELECT pg_switch_wal()") // so that a full file is archived, too
			c.value("INSERT INTO t VALUES (2)")
			c.archive()
			if err := c.keeper.takeIfDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			when, err := time.Parse("2006-01-02 15:04:05.999999-07", between)
			if err != nil {
				t.Fatal(err)
			}
			pos, err := meridian.ParseLSN(lsn)
			if err != nil {
				t.Fatal(err)
			}
			late := newInstance(t, filepath.Join(at, "late"), "eu-west-1", nil)
			if _, err := Restore(t.Context(), p, 0, instance.Target{Time: time.Now().Add(time.Hour)}, late); meridian.KindOf(err) != meridian.NotFound || !strings.Contains(err.Error(), "no commit after") {
				t.Errorf("to a time that is not yet in the archive: %v", err)
			}
			targets := []instance.Target{{Time: when}, {LSN: pos}, {}}
			if name == "bucket" {
				targets = targets[:1] // what differs is how the bytes come
			}
			for i, to := range targets {
				sub := filepath.Join(at, string(rune('a'+i)))
				in := newInstance(t, sub, "eu-west-1", nil)
				got, err := Restore(t.Context(), p, 0, to, in)
				if err != nil {
					t.Fatalf("restore to %+v: %v", to, err)
				}
				t.Logf("to %+v: %s", to, got.Why)
				last, err := time.Parse("2006-01-02 15:04:05.999999-07", got.Last)
				if err != nil || last.After(when) != (to == (instance.Target{})) {
					t.Errorf("restored to %+v: the last transaction is of %s, %v", to, got.Last, err)
				}
				stop := operate(t, in, instance.Primary)
				want := "{1}"
				if to == (instance.Target{}) {
					want = "{1,2}"
				}
				if got := value(t, in, "SELECT array_agg(n ORDER BY n) FROM t"); got != want {
					t.Errorf("restored to %+v: the table has %s, want %s", to, got, want)
				}
				stop()
				if _, err := Restore(t.Context(), p, 0, to, in); meridian.KindOf(err) != meridian.Invalid || !strings.Contains(err.Error(), "never replaces") {
					t.Errorf("a second restore into the same folder: %v", err)
				}
			}
		})
	}
}

// TestTheArchiveOutlivesAFailover loses the primary before it has sent its last
// full file. The standby had received it and sends it; the new primary's log
// follows on the next timeline, and a restore goes through. What the lost one
// goes on to archive is in no restore but one along its own timeline. The
// control leaves the standby's part out: the archive has a gap.
func TestTheArchiveOutlivesAFailover(t *testing.T) {
	t.Parallel()
	p := dir(filepath.Join(t.TempDir(), "copies"))
	at := pgtest.Folder(t)
	c := newCluster(t, at, p)
	standby := newInstance(t, at, "eu-west-1", func(ctx context.Context, _ uint64) (net.Conn, error) { return c.Dial(ctx) })
	c.value("CREATE TABLE t (n int)")
	if _, err := c.keeper.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	operate(t, standby, instance.Standby)
	if err := standby.Follow(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.archive()
	heir := keeper(t, standby, p, nil)
	if err := heir.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.value("INSERT INTO t VALUES (1)")
	one, err := meridian.ParseLSN(c.value("SELECT pg_current_wal_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	c.value("SELECT pg_switch_wal()") // full, and not sent by c
	c.value("INSERT INTO t VALUES (2)")
	flushed := c.value("SELECT pg_current_wal_flush_lsn()")
	await(t, standby, "SELECT pg_last_wal_replay_lsn() >= '"+flushed+"'")

	system := mustEnd(t, c.Instance).System
	if err := standby.Pledge(2); err != nil {
		t.Fatal(err)
	}
	fork, err := meridian.ParseLSN(flushed)
	if err != nil {
		t.Fatal(err)
	}
	promote(t, standby, fork)
	value(t, standby, "INSERT INTO t VALUES (3)")
	value(t, standby, "SELECT pg_switch_wal()")
	if err := heir.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The lost primary lives on for a while, and archives what nobody else has.
	c.value("INSERT INTO t VALUES (-1)")
	c.value("SELECT pg_switch_wal()")
	c.value("INSERT INTO t VALUES (-2)")
	c.archive()
	for to, want := range map[instance.Target]string{{}: "{1,2,3}", {Timeline: 1}: "{-2,-1,1,2}", {LSN: one}: "{1}"} {
		in := newInstance(t, filepath.Join(at, fmt.Sprint("r", to.LSN, to.Timeline)), "us-east-1", nil)
		got, err := Restore(t.Context(), p, 0, to, in)
		if err != nil || got.Timeline != cmp.Or(to.Timeline, 2) {
			t.Fatalf("to %+v: %+v, %v", to, got, err)
		}
		stop := operate(t, in, instance.Primary)
		if got := value(t, in, "SELECT array_agg(n ORDER BY n) FROM t"); got != want {
			t.Errorf("restored to %+v: %s, want %s", to, got, want)
		}
		// What was restored is itself archived, and copied: its history is read.
		if err := keeper(t, in, dir(filepath.Join(t.TempDir(), "anew")), nil).send(t.Context()); err != nil {
			t.Errorf("archive what was restored to %+v: %v", to, err)
		}
		stop()
	}

	// The control: without what the standby alone had of timeline 1.
	files, turns, err := logOf(t.Context(), p, system)
	if err != nil {
		t.Fatal(err)
	}
	var left []logKey
	for _, f := range files {
		if _, start, err := instance.SegmentOf(f.File, mib16); err != nil || !strings.HasPrefix(f.File, "00000001") || start < mib16*2 || f.Partial {
			left = append(left, f)
		}
	}
	backups, err := Backups(t.Context(), p, system)
	if err != nil || len(left) == len(files) {
		t.Fatalf("%d of %d files, %v", len(left), len(files), err)
	}
	if whole, cut := lay(backups[0], files, turns, 0), lay(backups[0], left, turns, 0); cut.Until >= whole.Until {
		t.Errorf("without the standby's part the archive goes to %s, with it to %s", cut.Until, whole.Until)
	}
}

func mustEnd(t *testing.T, in *instance.Instance) instance.LogEnd {
	t.Helper()
	end, _, err := in.KeepLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func promote(t *testing.T, in *instance.Instance, gate meridian.LSN) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := in.Promote(ctx, gate, nil); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, in *instance.Instance, sql string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for value(t, in, sql) != "t" {
		if time.Now().After(deadline) {
			t.Fatalf("not true within %v: %s", limit, sql)
		}
	}
}

// TestTwoWorldsDoNotMixTheirLog sends the same file with another content. The
// control is the same content, which is no conflict.
func TestTwoWorldsDoNotMixTheirLog(t *testing.T) {
	t.Parallel()
	p := dir(t.TempDir())
	k := New(Config{To: "here"}, nil, Deps{Place: p, Log: slog.New(slog.DiscardHandler)})
	f := instance.LogFile{Name: "000000010000000000000001", Path: filepath.Join(t.TempDir(), "x")}
	send := func(content string) error {
		if err := os.WriteFile(f.Path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		k.sent = map[string]bool{}
		return k.sendFile(t.Context(), 7, f)
	}
	if err := errors.Join(send("one"), send("one")); err != nil {
		t.Fatal(err)
	}
	if err := send("two"); err == nil || !strings.Contains(err.Error(), "second world") {
		t.Fatalf("another content: %v", err)
	}
	files, _, err := logOf(t.Context(), p, 7)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if got, err := fetchLog(t.Context(), p, 7, files[0]); string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestADamagedFileIsNotRestored changes what is stored under a name.
func TestADamagedFileIsNotRestored(t *testing.T) {
	t.Parallel()
	p := dir(t.TempDir())
	k := New(Config{To: "here"}, nil, Deps{Place: p, Log: slog.New(slog.DiscardHandler)})
	key := logKey{File: "000000010000000000000001", Hash: hashOf([]byte("one"))}
	for content, good := range map[string]bool{"one": true, "two": false} {
		if err := k.put(t.Context(), logPrefix(7)+key.String(), []byte(content)); err != nil {
			t.Fatal(err)
		}
		if _, err := fetchLog(t.Context(), p, 7, key); (err == nil) != good {
			t.Errorf("%q under the name of %q: %v", content, "one", err)
		}
	}
}

// broken is a place that takes nothing while it is broken.
type broken struct {
	Place
	is bool
}

func (b *broken) Put(ctx context.Context, key string, content io.Reader) error {
	if b.is {
		return errors.New("no space left on the place")
	}
	return b.Place.Put(ctx, key, content)
}

// TestAFailureIsSeenAndFillsNoDisk breaks the place: state and metrics say so,
// writes go on, the log that waits is bounded by the slot, and once the place
// is back a lost slot is a gap that the next base backup closes.
func TestAFailureIsSeenAndFillsNoDisk(t *testing.T) {
	t.Parallel()
	p := &broken{Place: dir(filepath.Join(t.TempDir(), "copies"))}
	in := newInstance(t, pgtest.Folder(t), "us-east-1", nil)
	operate(t, in, instance.Primary)
	reg := prometheus.NewRegistry()
	k := keeper(t, in, p, reg)
	if _, err := k.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	value(t, in, "CREATE TABLE t (n int)")
	p.is = true
	if k.note("archive the log", k.send(t.Context())) == "" {
		t.Fatal("a place that takes nothing is no failure")
	}
	if s := k.State(); !strings.Contains(s.Error, "no space left on the place") {
		t.Errorf("state: %+v", s)
	}
	const failing = "# HELP meridian_backup_failing 1 while the last try to archive the log or to make a base backup failed.\n# TYPE meridian_backup_failing gauge\nmeridian_backup_failing{database=\"conduit\",region=\"us-east-1\"} "
	if err := testutil.GatherAndCompare(reg, bytes.NewReader([]byte(failing+"1\n")), "meridian_backup_failing"); err != nil {
		t.Error(err)
	}
	value(t, in, "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")
	value(t, in, "ALTER SYSTEM SET wal_keep_size = '0'")
	value(t, in, "ALTER SYSTEM SET max_wal_size = '32MB'")
	value(t, in, "SELECT pg_reload_conf()")
	for range 12 {
		value(t, in, "INSERT INTO t VALUES (1)")
		value(t, in, "SELECT pg_switch_wal()")
		value(t, in, "CHECKPOINT")
	}
	await(t, in, "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '"+instance.ArchiveSlot+"'")
	if n := value(t, in, "SELECT count(*) < 8 FROM pg_ls_waldir()"); n != "t" {
		t.Errorf("the log that waits is not bounded")
	}
	p.is = false
	if why := k.note("archive the log", k.send(t.Context())); why != "" || k.State().Error != "" || !k.gap {
		t.Errorf("after the place came back: %q, %+v, gap %v", why, k.State(), k.gap)
	}
	if err := testutil.GatherAndCompare(reg, bytes.NewReader([]byte(failing+"0\n")), "meridian_backup_failing"); err != nil {
		t.Error(err)
	}
	if now, why := due(&Backup{Ended: time.Now().Add(-gapPatience)}, k.gap, 24*time.Hour, time.Now()); !now {
		t.Errorf("no base backup after a gap: %s", why)
	}
	value(t, in, "ALTER SYSTEM RESET ALL") // a base backup needs the log since its beginning
	value(t, in, "SELECT pg_reload_conf()")
	if _, err := k.Take(t.Context()); err != nil || k.gap {
		t.Errorf("base backup: %v, gap %v", err, k.gap)
	}
}
