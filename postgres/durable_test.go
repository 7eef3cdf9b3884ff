package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
	"meridian/postgres/failover"
)

// durable makes a proxy demand of commits what a durability wants while its
// region is the primary.
func durable(d meridian.Durability) func(*Config, *Deps) {
	return func(c *Config, deps *Deps) {
		demand := Demand{RPO: d.RPO}
		if q := failover.QuorumOf(d, c.Region, trioRegions); q.Need > 0 {
			demand.Quorums = []failover.Quorum{q}
		}
		deps.Durability = func() Demand { return demand }
	}
}

// patient makes a proxy wait as long for others as any test does: how long one
// that is busy takes to confirm is not what is tested.
func patient(c *Config, _ *Deps) { c.PrimaryTimeout = time.Minute }

// waitsFor makes a PostgreSQL wait for standbys itself, and hide until then
// what it commits.
func (w *trio) waitsFor(r meridian.Region, need int, of ...meridian.Region) {
	w.t.Helper()
	var names []string
	for _, o := range of {
		names = append(names, `"`+string(o)+`"`)
	}
	root := w.superuser(w.servers[r])
	w.exec(root, fmt.Sprintf(`alter system set synchronous_standby_names = 'ANY %d (%s)'`, need, strings.Join(names, ", ")), "select pg_reload_conf()")
	w.eventually("the standbys are synchronous", func() bool {
		return get[int](w.world, root, "select count(*) from pg_stat_replication where sync_state = 'quorum'") == len(of)
	})
}

// stop cuts standbys off from the primary, and returns what lets them stream
// again.
func (w *trio) stop(regions ...meridian.Region) (thaw func()) {
	w.t.Helper()
	for _, r := range regions {
		root := w.superuser(w.servers[r])
		w.exec(root, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
		w.eventually(string(r)+" receives nothing", func() bool { return get[int](w.world, root, "select count(*) from pg_stat_wal_receiver") == 0 })
	}
	return func() {
		w.t.Helper()
		for _, r := range regions {
			if err := w.servers[r].Follow(w.servers[w.primary]); err != nil {
				w.t.Error(err)
			}
		}
	}
}

// inSyncWait waits until n statements of the primary wait for its standbys, and
// returns the backends of those that do.
func (w *trio) inSyncWait(n int) (pids []int) {
	w.t.Helper()
	root := w.superuser(w.servers[w.primary])
	w.eventually(fmt.Sprintf("%d statements wait for the standbys", n), func() bool {
		rows, err := root.Query(w.t.Context(), "select pid from pg_stat_activity where wait_event = 'SyncRep'")
		if err != nil {
			w.t.Fatal(err)
		}
		if pids, err = pgx.CollectRows(rows, pgx.RowTo[int]); err != nil {
			w.t.Fatal(err)
		}
		return len(pids) == n
	})
	return pids
}

// leaks are the ways in which PostgreSQL tells of a commit that no standby has:
// what a client runs before the standbys go, and then, and whether its wait is
// canceled.
var leaks = map[string]struct {
	before  []string
	commits string
	cancel  bool
}{
	"a canceled wait": {nil, "insert into leak values (7)", true},
	"a canceled wait of COMMIT, with the warning off": {[]string{"set client_min_messages = error", "begin", "insert into leak values (7)"}, "commit", true},
	"statement_timeout within CALL":                   {[]string{"set statement_timeout = '300ms'"}, "call add_to_leak(7)", false},
	"synchronous_commit":                              {[]string{"set synchronous_commit = local"}, "insert into leak values (7)", false},
}

// leaky makes a world in which commits wait for one of two standbys.
func leaky(t *testing.T, change ...func(*Config, *Deps)) *trio {
	t.Helper()
	w := newTrio(t, append([]func(*Config, *Deps){durable(meridian.Durability{Quorum: true})}, change...)...)
	c := w.connect(dsn(w.proxies[iad]))
	w.exec(c, "create table leak (v int)", "create procedure add_to_leak (x int) language plpgsql as $$ begin insert into leak values (x); commit; end $$")
	w.waitsFor(iad, 1, dub, sin)
	return w
}

// leak has a client commit what no standby has. It returns where the client's
// answer will be.
func (w *trio) leak(how string, at meridian.Region) (done <-chan error, thaw func()) {
	w.t.Helper()
	root := w.superuser(w.servers[iad])
	w.exec(root, "truncate leak")
	for _, r := range []meridian.Region{dub, sin} {
		w.streams(r)
	}
	c := w.connect(dsn(w.proxies[at]))
	w.exec(c, leaks[how].before...)
	thaw = w.stop(dub, sin)
	done = background(c, leaks[how].commits)
	if leaks[how].cancel {
		w.exec(root, fmt.Sprintf("select pg_cancel_backend(%d)", w.inSyncWait(1)[0]))
	}
	w.eventually("it is committed on the primary", func() bool { return get[int](w.world, root, "select count(*) from leak where v = 7") == 1 })
	return done, thaw
}

// TestASuccessIsToldOnceTheStandbysHaveIt has PostgreSQL tell of commits that
// no standby has. Its proxy must not.
func TestASuccessIsToldOnceTheStandbysHaveIt(t *testing.T) {
	t.Parallel()
	w := leaky(t)
	for how := range leaks {
		for _, at := range []meridian.Region{iad, sin} {
			t.Run(how+", through "+string(at), func(t *testing.T) {
				before := counter(w.proxies[iad].metrics.unsure)
				done, thaw := w.leak(how, at)
				w.eventually("the success is held back", func() bool { return counter(w.proxies[iad].metrics.unsure) > before })
				select {
				case err := <-done:
					t.Fatalf("told before any standby has it: %v", err)
				default:
				}
				thaw()
				if err := <-done; err != nil {
					t.Errorf("the standbys are back: %v", err)
				}
			})
		}
	}
}

// TestAnUnconfirmedSuccessIsUnknown keeps the standbys away.
func TestAnUnconfirmedSuccessIsUnknown(t *testing.T) {
	t.Parallel()
	w := leaky(t, func(c *Config, _ *Deps) { c.MoveBudget = time.Second })
	for _, at := range []meridian.Region{iad, sin} {
		t.Run("through "+string(at), func(t *testing.T) {
			done, thaw := w.leak("a canceled wait", at)
			defer thaw()
			if err := <-done; state(err) != "08007" {
				t.Errorf("%v, want 08007", err)
			}
		})
	}
}

// TestALeakedCommitIsLostWithoutTheConfirmation is the control of the tests
// above: what the client was told of is not there after a failover.
func TestALeakedCommitIsLostWithoutTheConfirmation(t *testing.T) {
	t.Parallel()
	w := leaky(t)
	w.proxies[iad].gate.tellEarly = true
	done, _ := w.leak("synchronous_commit", iad)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := w.servers[iad].Crash(); err != nil {
		t.Fatal(err)
	}
	if err := w.servers[dub].Promote(); err != nil {
		t.Fatal(err)
	}
	if n := get[int](w.world, w.superuser(w.servers[dub]), "select count(*) from leak where v = 7"); n != 0 {
		t.Error("the successor has it: nothing was shown")
	}
}

// TestNoAcknowledgedWriteIsLostWithTheQuorum kills the primary while clients
// write in all regions, promotes the most advanced standby, and looks for what
// they were told of. Control: where nobody waits for the standbys and one of
// them is behind, some of it is gone.
func TestNoAcknowledgedWriteIsLostWithTheQuorum(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]meridian.Durability{"quorum": {Quorum: true}, "control: async": {}} {
		t.Run(name, func(t *testing.T) {
			w := newTrio(t, durable(d), func(c *Config, _ *Deps) { c.MoveBudget = 300 * time.Millisecond })
			root := w.superuser(w.servers[iad])
			w.exec(root, "create table kept (v int)", "alter table kept owner to conduit")
			w.eventually("dub has the table", func() bool {
				return get[bool](w.world, w.superuser(w.servers[dub]), "select to_regclass('kept') is not null")
			})
			if d.Quorum {
				w.waitsFor(iad, 1, dub, sin)
			} else {
				w.stop(dub)
			}
			w.stop(sin) // of two, one is always behind
			acked := w.writers(t, "kept", 6)
			w.eventually("much is written", func() bool { return acked.len() > 200 })
			if err := w.servers[iad].Crash(); err != nil {
				t.Fatal(err)
			}
			acked.end()
			if err := w.servers[dub].Promote(); err != nil {
				t.Fatal(err)
			}
			there := w.column(dub, "select v from kept")
			lost := slices.DeleteFunc(acked.all(), func(v int) bool { return there[v] })
			if d.Quorum && len(lost) > 0 {
				t.Errorf("%d of %d acknowledged writes are lost", len(lost), acked.len())
			}
			if !d.Quorum && len(lost) == 0 {
				t.Errorf("nothing of %d writes is lost: nothing was shown", acked.len())
			}
		})
	}
}

// TestThePrimaryShowsWhatAStandbyShowed has a standby show a row earlier than
// the primary, which waits for another standby before it does. Who read it
// there must not miss it here. Control: without the demand it does.
func TestThePrimaryShowsWhatAStandbyShowed(t *testing.T) {
	for name, d := range map[string]meridian.Durability{"": {Sync: dub}, "control": {}} {
		t.Run(name, func(t *testing.T) {
			w := newTrio(t, durable(d))
			c := w.connect(dsn(w.proxies[iad]))
			w.exec(c, "create table early (v int)")
			w.waitsFor(iad, 1, dub)
			thaw := w.stop(dub)
			written := background(c, "insert into early values (1)")
			w.inSyncWait(1)
			there, here := w.attach(w.proxies[sin], "there"), w.attach(w.proxies[iad], "here")
			end := w.proxies[sin].Begin(t.Context(), "there", meridian.Token{}, meridian.Promise{})
			w.eventually("sin shows it", func() bool { return get[int](w.world, there, "select count(*) from early") == 1 })
			token := end().Token
			defer w.proxies[iad].Begin(t.Context(), "here", token, meridian.Promise{})()
			type answer struct {
				n   int
				err error
			}
			got := make(chan answer, 1)
			go func() {
				var a answer
				a.err = here.QueryRow(context.Background(), "select count(*) from early").Scan(&a.n)
				got <- a
			}()
			if d.Sync == "" {
				if a := <-got; a.err != nil || a.n != 0 {
					t.Errorf("%+v: nothing was shown", a)
				}
				thaw()
				<-written
				return
			}
			w.eventually("the read waits", func() bool { return w.proxies[iad].watch.waits() > 0 })
			thaw()
			if a := <-got; a.err != nil || a.n != 1 {
				t.Errorf("the primary answers %+v to who saw the row on a standby", a)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	}
}

// shownEarly has a session of sin read a row that the primary does not show yet,
// since dub has stopped, which must confirm it. It returns that session, where the
// writer's answer will be, and what lets dub go on.
func (w *trio) shownEarly() (here *pgx.Conn, written <-chan error, thaw func()) {
	w.t.Helper()
	c := w.connect(dsn(w.proxies[iad]))
	w.exec(c, "create table early (v int)")
	w.waitsFor(iad, 1, dub)
	here = w.connect(dsn(w.proxies[sin]))
	w.eventually("sin has the table", func() bool { _, err := here.Exec(w.t.Context(), "select from early"); return err == nil })
	thaw = w.stop(dub)
	written = background(c, "insert into early values (1)")
	w.inSyncWait(1)
	w.eventually("sin shows it", func() bool { return get[int](w.world, here, "select count(*) from early") == 1 })
	return here, written, thaw
}

// TestAForwardedBlockShowsWhatAStandbyShowed has a session read a row on its
// region's standby and then begin a block on the primary, which does not show
// the row yet. Control: a session that does not say what it was shown.
func TestAForwardedBlockShowsWhatAStandbyShowed(t *testing.T) {
	for name, control := range map[string]bool{"": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			w := newTrio(t, durable(meridian.Durability{Sync: dub}), patient)
			w.proxies[sin].goesBlind = control
			here, written, thaw := w.shownEarly()
			const count = "select count(*) from early"
			got := make(chan int, 1)
			go func() {
				n := -1
				tx, err := here.Begin(context.Background())
				if err == nil { // in one message: who is idle after it has counted
					err = tx.QueryRow(context.Background(), count, pgx.QueryExecModeSimpleProtocol).Scan(&n)
					tx.Rollback(context.Background())
				}
				if err != nil {
					t.Error(err)
				}
				got <- n
			}()
			root, want := w.superuser(w.servers[iad]), 1
			if control {
				want = 0
				w.eventually("the block has counted", func() bool {
					return get[int](w.world, root, "select count(*) from pg_stat_activity where state = 'idle in transaction' and query = $1", count) > 0
				})
			} else {
				w.eventually("the block waits", func() bool { return w.proxies[iad].watch.waits() > 0 })
			}
			thaw()
			if n := <-got; n != want {
				t.Errorf("the primary's block counts %d for who saw the row on a standby, want %d", n, want)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	}
}

// Nobody confirms what a session was shown: its block is refused within the
// primary's time, and has failed then, and the session goes on.
func TestABlockIsRefusedWhileNobodyConfirms(t *testing.T) {
	t.Parallel()
	w := newTrio(t, durable(meridian.Durability{Sync: dub}), func(c *Config, _ *Deps) { c.PrimaryTimeout = 300 * time.Millisecond })
	here, written, thaw := w.shownEarly()
	_, err := here.Exec(t.Context(), "begin")
	if err == nil {
		_, err = here.Exec(t.Context(), "update early set v = 2")
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) || said.Code != stateTooOld {
		t.Errorf("the block ends with %v, want %s", err, stateTooOld)
	}
	if _, err := here.Exec(t.Context(), "update early set v = 3"); state(err) != "25P02" {
		t.Errorf("what its block goes on with ends with %v", err)
	}
	w.exec(here, "rollback")
	if n := get[int](w.world, here, "select count(*) from early"); n != 1 {
		t.Errorf("then the session counts %d", n)
	}
	thaw()
	if err := <-written; err != nil {
		t.Error(err)
	}
	w.exec(here, "update early set v = 3")
}

// waits returns how many wait for a position.
func (w *watch) waits() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// TestNobodySeesAfterACrashWhatMayBeLost crashes a primary with a commit that
// no standby has and nobody was told of. Started again it would show it.
// Control: without the demand it does.
func TestNobodySeesAfterACrashWhatMayBeLost(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]meridian.Durability{"": {Quorum: true}, "control": {}} {
		t.Run(name, func(t *testing.T) {
			w := newTrio(t, durable(d))
			c := w.connect(dsn(w.proxies[iad]))
			w.exec(c, "create table ghost (v int)")
			w.waitsFor(iad, 1, dub, sin)
			thaw := w.stop(dub, sin)
			background(c, "insert into ghost values (1)")
			w.inSyncWait(1)
			if err := w.servers[iad].Crash(); err != nil {
				t.Fatal(err)
			}
			if err := w.servers[iad].Again(nil); err != nil {
				t.Fatal(err)
			}
			read := make(chan error, 1)
			go func() {
				c, err := pgx.Connect(context.Background(), dsn(w.proxies[iad]))
				if err == nil {
					defer c.Close(context.Background())
					_, err = c.Exec(context.Background(), "select * from ghost")
				}
				read <- err
			}()
			if !d.Quorum {
				if err := <-read; err != nil {
					t.Error(err)
				}
				return
			}
			w.eventually("the read is held", func() bool { return w.proxies[iad].gate.held.Load() > 0 })
			select {
			case err := <-read:
				t.Fatalf("read before a standby has it: %v", err)
			default:
			}
			thaw()
			if err := <-read; err != nil {
				t.Errorf("a standby has it: %v", err)
			}
		})
	}
}

// TestAFurtherStandbyConfirmsNothing keeps all regions' standbys away, but not a
// further one of the primary's own region: the writes stop all the same. The
// negative control takes it for another region's: they go on.
func TestAFurtherStandbyConfirmsNothing(t *testing.T) {
	const rpo = 300 * time.Millisecond
	w := newTrio(t, durable(meridian.Durability{RPO: rpo}))
	writes := func(name string, each, all time.Duration) (stopped bool) {
		further, err := w.servers[iad].Standby(name)
		if err != nil {
			t.Fatal(err)
		}
		defer further.Stop()
		c := w.connect(dsn(w.proxies[iad]))
		w.exec(c, "create table if not exists near (v int)")
		thaw := w.stop(dub, sin)
		defer thaw()
		began, unsure := time.Now(), counter(w.proxies[iad].metrics.unsure)
		for err == nil && time.Since(began) < all {
			ctx, cancel := context.WithTimeout(t.Context(), each)
			_, err = c.Exec(ctx, "insert into near values (1)")
			cancel()
		}
		return err != nil && counter(w.proxies[iad].metrics.unsure) > unsure
	}
	if writes("us_west_2", time.Minute, 4*rpo) {
		t.Error("the control: the writes stopped, and another region's standby has all")
	}
	if !writes("_us_east_1_standby_1", 4*rpo, time.Minute) {
		t.Error("the writes go on, and no other region has them")
	}
}

// TestWritesStopAtTheRPO keeps all standbys away.
func TestWritesStopAtTheRPO(t *testing.T) {
	t.Parallel()
	const rpo = 300 * time.Millisecond
	w := newTrio(t, durable(meridian.Durability{RPO: rpo}))
	c := w.connect(dsn(w.proxies[iad]))
	w.exec(c, "create table late (v int)", "insert into late values (0)")
	thaw := w.stop(dub, sin)
	began, last := time.Now(), time.Time{}
	stopped := make(chan error, 1)
	told := make(chan time.Time, 1<<16)
	go func() {
		for {
			if _, err := c.Exec(context.Background(), "insert into late values (1)"); err != nil || counter(w.proxies[iad].metrics.unsure) > 0 {
				stopped <- err
				return
			}
			told <- time.Now()
		}
	}()
	w.eventually("the writes stop", func() bool { return counter(w.proxies[iad].metrics.unsure) > 0 })
	for len(told) > 0 {
		last = <-told
	}
	if d := last.Sub(began); d < rpo/2 || d > rpo+200*time.Millisecond {
		t.Errorf("the last write was told %v after the standbys went, want about %v", d, rpo)
	}
	select {
	case err := <-stopped:
		t.Fatalf("a write was told later: %v", err)
	default:
	}
	thaw()
	if err := <-stopped; err != nil {
		t.Errorf("the standbys are back: %v", err)
	}
}
