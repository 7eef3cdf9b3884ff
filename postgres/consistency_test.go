package postgres

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/classify"
	"meridian/postgres/wire"
	"meridian/topology"
)

// TestPromisesWhileTheReplicaIsBehind lets another session write on the primary
// while replay is stopped, and reads under each promise. In the negative
// control, with all waiting off, even global and session read the old value.
func TestPromisesWhileTheReplicaIsBehind(t *testing.T) {
	w, c := fixture(t, "promised")
	home := w.connect(dsn(w.iad))
	w.exec(c, "update promised set v = 1 where id = 1")
	w.caughtUp(c)
	for mode, want := range map[string]int{
		"eventual": 1, "bounded(1h)": 1, "session": 1, "bounded(1ms)": 2, "bounded(300ms)": 2, "global": 2, "strong": 2,
	} {
		w.exec(home, "update promised set v = 1 where id = 1")
		w.caughtUp(c)
		w.eventually("a probe is replayed", func() bool {
			age := w.dub.probe.staleness(w.dub.watch.known().served)
			return age >= 0 && age < time.Second
		})
		thaw := w.freeze()
		w.exec(home, "update promised set v = 2 where id = 1")
		if mode == "bounded(300ms)" {
			at := time.Now().Add(300 * time.Millisecond)
			w.eventually("the replica is older than that", func() bool { return time.Now().After(at) })
		}
		w.exec(c, "set meridian.consistency = '"+mode+"'")
		for _, how := range []struct {
			name string
			read func() int
		}{
			{"prepared", func() int { return get[int](w, c, "select v from promised where id = $1", 1) }},
			{"simple", func() int { return int(simple(t, c, "select v from promised where id = 1")[0] - '0') }},
			{"by a hint", func() int {
				w.exec(c, "set meridian.consistency = 'eventual'")
				return get[int](w, c, "/* meridian: consistency="+mode+" */ select v from promised where id = 1")
			}},
		} {
			if got := how.read(); got != want {
				t.Errorf("%s, %s: read %d, want %d", mode, how.name, got, want)
			}
		}
		if mode == "global" {
			w.dub.ignoreFloors = true
			if got := get[int](w, c, "/* meridian: consistency=global */ select v from promised where id = 1"); got != 1 {
				t.Errorf("with all waiting off global reads %d: the test shows nothing", got)
			}
			w.dub.ignoreFloors = false
		}
		thaw()
	}
}

// TestGlobalReadsRunOnTheReplica asks where they ran: the primary says only how
// far it is.
func TestGlobalReadsRunOnTheReplica(t *testing.T) {
	w, c := fixture(t, "global")
	home := w.connect(dsn(w.iad))
	w.exec(c, "set meridian.consistency = 'global'")
	for i := range 50 {
		w.exec(home, "update global set v = v + 1 where id = 1")
		var v int
		var standby bool
		if err := c.QueryRow(t.Context(), "select v, pg_is_in_recovery() from global where id = 1").Scan(&v, &standby); err != nil || v != i+2 || !standby {
			t.Fatalf("read %d after %d updates, standby %v, %v", v, i+1, standby, err)
		}
	}
}

// TestGlobalInReadOnlyBlocks: a READ COMMITTED block looks again with each
// statement, a REPEATABLE READ one only with its first.
func TestGlobalInReadOnlyBlocks(t *testing.T) {
	w, c := fixture(t, "globalblock")
	home := w.connect(dsn(w.iad))
	w.exec(c, "set meridian.consistency = 'global'")
	for level, want := range map[pgx.TxIsoLevel][]int{pgx.ReadCommitted: {10, 11, 12}, pgx.RepeatableRead: {10, 10, 10}} {
		tx, err := c.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		w.exec(home, "update globalblock set v = 10 where id = 1")
		for i, n := range want {
			var v int
			if err := tx.QueryRow(t.Context(), "select v from globalblock where id = 1").Scan(&v); err != nil || v != n {
				t.Errorf("%s: read %d of the block: %d, %v; want %d", level, i+1, v, err, n)
			}
			w.exec(home, "update globalblock set v = v + 1 where id = 1")
		}
		tx.Rollback(t.Context())
	}
}

// TestAGlobalBlockLooksWhenItParses: PostgreSQL takes the one snapshot of a
// REPEATABLE READ block to parse its first statement, before that runs.
func TestAGlobalBlockLooksWhenItParses(t *testing.T) {
	w, c := fixture(t, "globalparse")
	home := w.connect(dsn(w.iad))
	w.exec(c, "set meridian.consistency = 'global'")
	tx, err := c.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	thaw := w.freeze()
	w.exec(home, "update globalparse set v = 10 where id = 1")
	read := make(chan int, 1)
	go func() {
		var v int
		if err := tx.QueryRow(t.Context(), "select v from globalparse where id = 1").Scan(&v); err != nil {
			t.Error(err)
		}
		read <- v
	}()
	w.eventually("it waits, or did", func() bool {
		w.dub.watch.mu.Lock()
		defer w.dub.watch.mu.Unlock()
		return len(w.dub.watch.waiting)+len(w.dub.watch.relying) > 0 || len(read) > 0
	})
	thaw()
	if v := <-read; v != 10 {
		t.Errorf("read %d, want 10", v)
	}
}

// A gated stream holds back what it reads while its gate is closed.
type gated struct {
	net.Conn
	gate *gate
	once sync.Once
	on   bool
}

type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func (g *gated) Write(b []byte) (int, error) {
	g.once.Do(func() { g.on = bytes.Contains(b, []byte(`"purpose":"probe"`)) })
	return g.Conn.Write(b)
}

func (g *gated) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.gate.mu.Lock(); g.on && err == nil {
		open := g.gate.open
		g.gate.mu.Unlock()
		<-open
		return n, err
	}
	g.gate.mu.Unlock()
	return n, err
}

// TestGlobalReadsShareProbes holds the answers of the primary back until 100
// reads wait for one. In the control each asks for itself.
func TestGlobalReadsShareProbes(t *testing.T) {
	const readers = 100
	if n := probesOf(t, readers, false); n < 1 || n > 10 {
		t.Errorf("%d reads cost %v probes, want 1 to 10", readers, n)
	}
	if n := probesOf(t, readers, true); n < readers {
		t.Errorf("%d reads that share none cost %v probes: the test shows nothing", readers, n)
	}
}

// probesOf returns what reads that come at once cost.
func probesOf(t *testing.T, readers int, alone bool) float64 {
	shut := &gate{open: make(chan struct{})}
	close(shut.open)
	w := newWorld(t, func(c *Config, d *Deps) {
		c.MaxServer, c.PrimaryTimeout = readers+5, 20*time.Second
		if remote := d.Remote; remote != nil {
			d.Remote = func(ctx context.Context, r meridian.Region) (net.Conn, error) {
				conn, err := remote(ctx, r)
				return &gated{Conn: conn, gate: shut}, err
			}
		}
	})
	w.dub.aloneProbes = alone
	s := *w.topo.Now()
	s.Links = []topology.Link{{From: iad, To: dub, RTT: 10 * time.Second}}
	w.topo.Publish(&s)
	var conns []*pgx.Conn
	for range readers {
		c := w.connect(dsn(w.dub))
		w.exec(c, "set meridian.consistency = 'global'")
		conns = append(conns, c)
	}
	shut.mu.Lock()
	shut.open = make(chan struct{})
	shut.mu.Unlock()
	routed := w.dub.metrics.routes.WithLabelValues("standby")
	before, sent := counter(routed), counter(w.dub.metrics.probes)
	var reads sync.WaitGroup
	for _, c := range conns {
		reads.Go(func() {
			if _, err := c.Exec(t.Context(), "select 1"); err != nil {
				t.Error(err)
			}
		})
	}
	w.eventually("all reads have come", func() bool { return counter(routed)-before >= float64(readers) })
	close(shut.open)
	reads.Wait()
	return counter(w.dub.metrics.probes) - sent
}

// TestTheSettingIsTheSessions sets, shows, resets and rolls back the
// consistency, and looks on both backends.
func TestTheSettingIsTheSessions(t *testing.T) {
	w, _ := fixture(t, "settled")
	c := w.connect(dsn(w.dub) + "&options=-c%20meridian.consistency%3Dglobal")
	both := func(want string) {
		t.Helper()
		for _, sql := range []string{"/* meridian: consistency=eventual */ show meridian.consistency", "/* meridian: consistency=strong */ show meridian.consistency"} {
			if got := simple(t, c, sql); got != want {
				t.Errorf("%s: %s, want %s", sql, got, want)
			}
		}
	}
	both("global")
	w.exec(c, "set meridian.consistency = 'bounded(250ms)'")
	both("bounded(250ms)")
	w.exec(c, "begin", "set meridian.consistency = 'strong'", "rollback")
	both("bounded(250ms)")
	w.exec(c, "begin", "set local meridian.consistency = 'strong'", "commit")
	both("bounded(250ms)")
	w.exec(c, "reset meridian.consistency")
	both("global")
	simple(t, c, "select set_config('meridian.consistency', 'strong', false)")
	both("strong")
	if get[bool](w, c, whereSQL) {
		t.Error("a strong read ran on the standby")
	}
	w.exec(c, "discard all")
	both("global")
	w.exec(c, "set meridian.consistency to default")
	both("global")
	if plain := w.connect(dsn(w.dub)); simple(t, plain, "show meridian.consistency") != "session" {
		t.Error("the default is not session")
	}
	d := newWorld(t, func(c *Config, _ *Deps) { c.Consistency = meridian.Consistency{Level: meridian.Strong} })
	if c := d.connect(dsn(d.dub)); get[bool](d, c, whereSQL) || simple(t, c, "show meridian.consistency") != "strong" {
		t.Error("the config's consistency does not hold")
	}
}

// TestAnUnknownConsistencyIsRefused gives a value that is none in all the ways,
// in and out of blocks.
func TestAnUnknownConsistencyIsRefused(t *testing.T) {
	w, c := fixture(t, "refusedvalue")
	refused := func(err error) {
		t.Helper()
		if state(err) != "22023" || !strings.Contains(err.Error(), `invalid value for parameter "meridian.consistency": "linear"`) {
			t.Errorf("got %v", err)
		}
	}
	for _, sql := range []string{
		"set meridian.consistency = 'linear'", "select set_config('meridian.consistency', 'linear', false)",
		"/* meridian: consistency=linear */ select 1", "select 1; set meridian.consistency = linear",
	} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheDescribe} {
			if strings.Contains(sql, ";") && mode != pgx.QueryExecModeSimpleProtocol {
				continue
			}
			_, err := c.Exec(t.Context(), sql, mode)
			refused(err)
			for _, begin := range []string{"begin", "begin read only"} {
				w.exec(c, begin)
				if begin == "begin" {
					w.exec(c, "select 1")
				}
				_, err = c.Exec(t.Context(), sql, mode)
				refused(err)
				if _, err := c.Exec(t.Context(), "select 1"); state(err) != "25P02" {
					t.Errorf("%s; %s: the block did not fail: %v", begin, sql, err)
				}
				w.exec(c, "rollback")
			}
		}
	}
	for _, param := range []string{"&options=-c%20meridian.consistency%3Dlinear", "&meridian.consistency=linear"} {
		_, err := pgx.Connect(t.Context(), dsn(w.dub)+param)
		refused(err)
	}
	if s := simple(t, c, "show meridian.consistency"); s != "session" {
		t.Errorf("afterwards it is %s", s)
	}
}

func TestOptionsAreReadAsPostgresReadsThem(t *testing.T) {
	for options, want := range map[string]string{
		"-c meridian.consistency=global":                        "global",
		"-cmeridian.consistency=global":                         "global",
		"--meridian.consistency=strong -c work_mem=1MB":         "strong",
		`-c work_mem=1MB -c meridian.consistency=bounded(1\ s)`: "bounded(1 s)",
		"-c other.consistency=global":                           "",
		"meridian.consistency=global":                           "",
		"":                                                      "",
	} {
		if got := fromOptions(options, classify.Consistency); got != want {
			t.Errorf("%q: %q, want %q", options, got, want)
		}
	}
}

// TestChangesAmidOtherStatementsGoToThePrimary pipelines SET and a read in one
// group: the read is promised the new setting.
func TestChangesAmidOtherStatementsGoToThePrimary(t *testing.T) {
	w := newWorld(t)
	r := dialRaw(t, w.dub, 0)
	group := func(sql ...string) (b []byte) {
		for _, s := range sql {
			b = append(b, join(parse("", s), bind("", ""), execute(""))...)
		}
		return append(b, syncMsg...)
	}
	r.send(group("set meridian.consistency = 'strong'", whereSQL))
	if _, body := r.until('D'); !bytes.HasSuffix(body, []byte("f")) {
		t.Errorf("the read ran on the standby: %q", body)
	}
	r.until('Z')
	r.send(join(group("select 1", "set meridian.consistency = 'linear'", "select 2"), wire.Builder(nil).Query("select 3")))
	for _, want := range []string{"12DC12EZ", "TDCZ"} {
		if types, _ := r.until('Z'); types != want {
			t.Errorf("%s, want %s", types, want)
		}
	}
}
