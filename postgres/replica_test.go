package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
	"meridian/postgres/pgtest"
)

// TestChooseReplica runs the script of testdata/replica.
func TestChooseReplica(t *testing.T) {
	datadriven.RunTest(t, "testdata/replica", func(t *testing.T, d *datadriven.TestData) string {
		var all []replicaView
		now, floor := -1, meridian.Token{}
		token := func(s string) (tok meridian.Token) {
			var lsn uint64
			if _, err := fmt.Sscanf(s, "%d:%d:%d", &tok.System, &tok.Timeline, &lsn); err != nil {
				d.Fatalf(t, "token %q: %v", s, err)
			}
			tok.Database, tok.LSN = "conduit", meridian.LSN(lsn)
			return tok
		}
		var asked string
		if d.MaybeScanArgs(t, "floor", &asked); asked != "" {
			floor = token(asked)
		}
		for i, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
			f := strings.Fields(line)
			r := replicaView{Name: f[0], Up: true, Names: true, Here: token(f[1])}
			for _, word := range f[2:] {
				switch word {
				case "down":
					r.Up = false
				case "lost":
					r.Lost = true
				case "old-names":
					r.Names = false
				case "here":
					now = i
				default:
					if _, err := fmt.Sscanf(word, "load=%d", &r.Load); err != nil {
						d.Fatalf(t, "unknown word %q", word)
					}
				}
			}
			all = append(all, r)
		}
		c := chooseReplica(all, now, floor)
		return all[c.At].Name + ": " + c.Why + "\n"
	})
}

// A tap is the way to a PostgreSQL, which can be shut.
type tap struct {
	to     *pgtest.Server
	opaque bool

	mu    sync.Mutex // guards what follows
	shut  bool
	conns []net.Conn
}

func (d *tap) dial(ctx context.Context) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return nil, errors.New("it is down")
	}
	c, err := d.to.Dial(ctx)
	if err != nil {
		return nil, err
	}
	d.conns = append(d.conns, c)
	if d.opaque {
		return opaque{c}, nil
	}
	return tapped{c.(*net.UnixConn)}, nil
}

// A tapped connection is closed by who dialed it: it stays where it is.
type tapped struct{ *net.UnixConn }

// An opaque connection is like a stream of the backbone: nobody can ask the
// kernel whether it is dead.
type opaque struct{ net.Conn }

// close does what the death of a PostgreSQL does; open lets it be up again.
func (d *tap) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
}

func (d *tap) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = false
}

// A spread is a world whose second region has a further standby.
type spread struct {
	*world
	own, further *tap
	second       *pgtest.Server
}

func newSpread(t *testing.T, change ...func(*Config, *Deps)) *spread {
	t.Helper()
	second, err := pair.standby.Standby("second")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Stop() })
	s := &spread{own: &tap{to: pair.standby}, further: &tap{to: second, opaque: true}, second: second}
	s.world = newWorld(t, append(change, func(c *Config, d *Deps) {
		if c.Region == dub {
			d.Local, d.Standbys = s.own.dial, []Standby{{Name: "second", Dial: s.further.dial}}
		}
	})...)
	s.both()
	return s
}

// both waits until both replicas are of use.
func (s *spread) both() {
	s.t.Helper()
	s.eventually("both answer", func() bool {
		for _, v := range s.dub.replicaViews() {
			if !v.Up || !v.Names {
				return false
			}
		}
		return true
	})
}

// on returns on which replica a session stands.
func (s *spread) on(c *pgx.Conn) string {
	s.t.Helper()
	pid := c.PgConn().PID()
	s.dub.mu.Lock()
	defer s.dub.mu.Unlock()
	for k, x := range s.dub.sessions {
		if k.PID == pid {
			x.mu.Lock()
			defer x.mu.Unlock()
			if x.near != nil {
				return or(x.near.on.name, "own")
			}
		}
	}
	return "nowhere"
}

// standing returns a session that stands on a replica.
func (s *spread) standing(on string) *pgx.Conn {
	s.t.Helper()
	for range 10 {
		if c := s.connect(dsn(s.dub)); s.on(c) == on {
			return c
		}
	}
	s.t.Fatalf("no session stands on %s", on)
	return nil
}

// pause stops the replay of the further standby until resume is called, at the
// latest at the test's end.
func (s *spread) pause() (resume func()) {
	s.t.Helper()
	c := s.superuser(s.second)
	s.exec(c, "select pg_wal_replay_pause()")
	s.eventually("replay is paused", func() bool { return get[string](s.world, c, "select pg_get_wal_replay_pause_state()") == "paused" })
	return func() { s.exec(c, "select pg_wal_replay_resume()") }
}

func (s *spread) groups(on string) float64 {
	return testutil.ToFloat64(s.dub.metrics.replicas.WithLabelValues(on))
}

// TestReadsAreSpreadOverTheReplicas opens sessions, and more once one replica was away.
func TestReadsAreSpreadOverTheReplicas(t *testing.T) {
	w := newSpread(t)
	seen := map[string]int{}
	var all []*pgx.Conn
	for range 8 {
		c := w.connect(dsn(w.dub))
		all = append(all, c)
		get[int](w.world, c, "select count(*) from pg_class")
		seen[w.on(c)]++
	}
	if seen["own"] < 3 || seen["second"] < 3 {
		t.Errorf("sessions stand on %v", seen)
	}
	if own, second := w.groups("own"), w.groups("second"); own < 3 || second < 3 {
		t.Errorf("groups ran: %v on the region's own, %v on the further one", own, second)
	}
	w.further.close()
	for _, c := range all { // a read goes to the primary while names are read anew, and leaves its session where it stood
		w.eventually("a session leaves who is down", func() bool {
			get[int](w.world, c, "select count(*) from pg_class")
			return w.on(c) == "own"
		})
	}
	w.further.open()
	w.both()
	back := 0
	for _, c := range all {
		get[int](w.world, c, "select count(*) from pg_class")
		if w.on(c) == "second" {
			back++
		}
	}
	if back == 0 {
		t.Error("none came back to the one that was away")
	}
}

// TestAReplicaThatIsBehindIsSkipped writes and reads in sessions that stand on a
// replica whose replay is paused. The negative control waits for nothing: what
// was written is not there. The primary is said to be so far away that a read
// which waits for who is behind takes longer than any on a busy machine.
func TestAReplicaThatIsBehindIsSkipped(t *testing.T) {
	for _, control := range []bool{false, true} {
		t.Run(fmt.Sprintf("control=%v", control), func(t *testing.T) {
			w := newSpread(t)
			w.dub.ignoreFloors = control
			const trip = 8 * time.Second
			w.away(trip)
			c := w.standing("second")
			w.exec(c, "drop table if exists skipped", "create table skipped (n int)", "insert into skipped values (0)")
			w.eventually("it is replayed", func() bool { return get[int](w.world, c, "select count(*) from skipped") == 1 })
			w.eventually("it reads from the further one", func() bool {
				get[int](w.world, c, "select count(*) from skipped")
				return w.on(c) == "second" || !control
			})
			defer w.pause()()
			stale, forwarded := 0, testutil.ToFloat64(w.dub.metrics.routes.WithLabelValues("behind"))
			for n := range 20 {
				w.exec(c, "insert into skipped values (1)")
				began := time.Now()
				if got := get[int](w.world, c, "select count(*) from skipped"); got != n+2 {
					stale++
				}
				if took := time.Since(began); took > trip/2 && !control {
					t.Errorf("read %d took %v: it waited for who is behind", n, took)
				}
			}
			if (stale > 0) != control {
				t.Errorf("%d of 20 reads were stale", stale)
			}
			if n := testutil.ToFloat64(w.dub.metrics.routes.WithLabelValues("behind")) - forwarded; n > 0 {
				t.Errorf("%v reads went to the primary, and the region's own had it all", n)
			}
		})
	}
}

// TestReadsGoOnWhileTheRegionsOwnIsDown cuts the primary off, too. The negative
// control has no further standby.
func TestReadsGoOnWhileTheRegionsOwnIsDown(t *testing.T) {
	w := newSpread(t)
	w.own.close()
	for range 3 {
		get[int](w.world, w.connect(dsn(w.dub)), "select count(*) from pg_class")
	}
	w.link.sever()
	c := w.connect(dsn(w.dub))
	get[int](w.world, c, "select count(*) from pg_class")
	if on := w.on(c); on != "second" {
		t.Errorf("it stands on %s", on)
	}
	w.further.close()
	if c, err := pgx.Connect(t.Context(), dsn(w.dub)); err == nil {
		if err = c.QueryRow(t.Context(), "select count(*) from pg_class").Scan(new(int)); err == nil {
			t.Error("it reads from nowhere: the control controls nothing")
		}
		c.Close(t.Context())
	}
	w.further.open()
	w.own.open()
	w.link.mend()
}

// TestNoReadIsLostOnAConnectionThatDiedWhileItWasWarm leaves connections to the
// further standby behind, and cuts them; there is nobody else to read from then.
func TestNoReadIsLostOnAConnectionThatDiedWhileItWasWarm(t *testing.T) {
	w := newSpread(t)
	var all []*pgx.Conn
	for range 8 {
		all = append(all, w.connect(dsn(w.dub)))
	}
	for _, c := range all {
		c.Close(t.Context())
	}
	warm := func() int { return w.dub.replicas[1].pool.Stats().Idle }
	w.eventually("connections are warm", func() bool { return warm() >= 3 })
	w.own.close()
	w.link.sever()
	w.further.close()
	w.further.open()
	for n := range 5 {
		c, err := pgx.Connect(t.Context(), dsn(w.dub))
		if err != nil {
			t.Fatalf("session %d: %v", n, err)
		}
		get[int](w.world, c, "select count(*) from pg_class")
		c.Close(t.Context())
	}
	w.own.open()
	w.link.mend()
}

// TestASessionThatMovesToAnotherReplicaSeesNothingOlder reads on the region's
// own, which is lost, while the other is behind: the primary says how new that
// may have been. The negative control forgets what was shown.
func TestASessionThatMovesToAnotherReplicaSeesNothingOlder(t *testing.T) {
	for _, control := range []bool{false, true} {
		t.Run(fmt.Sprintf("control=%v", control), func(t *testing.T) {
			w := newSpread(t)
			w.dub.forgetsShown = control
			primary := w.connect(dsn(w.iad))
			w.exec(primary, "drop table if exists shown", "create table shown (n int)")
			c := w.standing("own")
			w.eventually("it is replayed", func() bool {
				var n int
				return c.QueryRow(t.Context(), "select count(*) from shown").Scan(&n) == nil && w.dub.catalogue.asOf().LSN > 0 && !w.dub.catalogue.behind()
			})
			w.both()
			defer w.pause()()
			w.exec(primary, "insert into shown values (1)") // by somebody else: the session has no token of it
			w.eventually("it is shown", func() bool { return get[int](w.world, c, "select count(*) from shown") == 1 })
			w.own.close()
			got := get[int](w.world, c, "select count(*) from shown")
			if (got == 0) != control {
				t.Errorf("a session that was shown 1 row is shown %d on %s", got, w.on(c))
			}
			w.own.open()
		})
	}
}
