package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian"
)

// TestTripsAreCounted does the same in both regions: the primary's counts what
// a secondary makes.
func TestTripsAreCounted(t *testing.T) {
	w, _ := fixture(t, "trips")
	w.catalogued(w.iad)
	conns := map[string]*pgx.Conn{"secondary": w.attach(w.dub, "trips"), "primary": w.attach(w.iad, "trips")}
	const write, read = "update trips set v = v + 1 where id = 1", "select v from trips where id = 1"
	pipeline := func(c *pgx.Conn, texts ...string) {
		p := c.PgConn().StartPipeline(t.Context())
		for _, sql := range texts {
			p.SendQueryParams(sql, nil, nil, nil, nil)
			p.SendPipelineSync()
		}
		if err := errors.Join(p.Flush(), p.Close()); err != nil {
			t.Error(err)
		}
	}
	for _, k := range []struct {
		name string
		want int
		do   func(c *pgx.Conn)
	}{
		{"nothing", 0, func(*pgx.Conn) {}},
		{"three writes", 3, func(c *pgx.Conn) { w.exec(c, write, write, write) }},
		{"a block, its BEGIN folded", 2, func(c *pgx.Conn) { w.exec(c, "begin", write, "commit") }},
		{"a block and a write", 3, func(c *pgx.Conn) { w.exec(c, "begin", write, "rollback", write) }},
		{"reads in a block that writes", 3, func(c *pgx.Conn) { w.exec(c, "begin", read, write, "commit") }},
		{"an empty block", 0, func(c *pgx.Conn) { w.exec(c, "begin", "commit") }},
		{"a failed block", 2, func(c *pgx.Conn) {
			w.exec(c, "begin")
			if _, err := c.Exec(t.Context(), "insert into trips values (1, 1)"); state(err) != "23505" {
				t.Error(err)
			}
			w.exec(c, "rollback")
		}},
		{"reads", 0, func(c *pgx.Conn) {
			w.exec(c, read, "begin read only", read, "commit", "set work_mem = '1MB'", "show work_mem")
			get[int](w, c, "select v from trips where id = $1", 1)
		}},
		{"strong reads", 2, func(c *pgx.Conn) {
			w.exec(c, "/* meridian: consistency=strong */ "+read, "/* meridian: consistency=strong */ "+read)
		}},
		{"a batch in one group", 1, func(c *pgx.Conn) {
			b := &pgx.Batch{}
			b.Queue(read)
			b.Queue("update trips set v = $1 where id = 1", 5)
			b.Queue("update trips set v = $1 where id = 2", 5)
			if err := c.SendBatch(t.Context(), b).Close(); err != nil {
				t.Error(err)
			}
		}},
		{"a script", 1, func(c *pgx.Conn) { w.exec(c, "begin; "+write+"; commit") }},
		{"a pipeline", 1, func(c *pgx.Conn) { pipeline(c, write, write, write, read) }},
		{"a pipeline that begins with a read", 1, func(c *pgx.Conn) { pipeline(c, read, write, write) }},
		{"a pipelined block", 1, func(c *pgx.Conn) { pipeline(c, "begin", write, "commit") }},
		{"a write that was described before", 1, func(c *pgx.Conn) {
			p := c.PgConn().StartPipeline(t.Context())
			p.SendPrepare("", write, nil)
			p.SendFlushRequest()
			p.Flush()
			if _, err := p.GetResults(); err != nil {
				t.Error(err)
			}
			p.SendQueryPrepared("", nil, nil, nil)
			p.SendPipelineSync()
			if err := errors.Join(p.Flush(), p.Close()); err != nil {
				t.Error(err)
			}
		}},
	} {
		for region, c := range conns {
			p := map[string]*Proxy{"secondary": w.dub, "primary": w.iad}[region]
			end := p.Begin(t.Context(), "trips", meridian.Token{}, meridian.Promise{})
			crossed := w.link.count(func() { k.do(c) })
			if o := end(); o.Trips != k.want || o.Shared {
				t.Errorf("%s, %s: %+v, want %d trips", k.name, region, o, k.want)
			}
			if region == "secondary" && crossed != k.want {
				t.Errorf("%s: %d trips on the link, want %d", k.name, crossed, k.want)
			}
		}
	}
}

// TestRefusalsAreTrips runs a read that its words do not show to write.
func TestRefusalsAreTrips(t *testing.T) {
	w := newWorld(t)
	c := w.attach(w.dub, "refusals")
	for run := range 2 { // it is refused, and then remembered
		end := w.dub.Begin(t.Context(), "refusals", meridian.Token{}, meridian.Promise{})
		w.exec(c, "select pg_current_wal_flush_lsn()")
		if o := end(); o.Trips != 1 {
			t.Errorf("run %d: %+v, want one trip", run+1, o)
		}
	}
	if n := counter(w.dub.metrics.routes.WithLabelValues("refused")); n != 1 {
		t.Errorf("refused %v times, want once", n)
	}
}

// TestRepliesOfAPipelineTravelTogether runs a block of many writes that are
// sent at once. How fast PostgreSQL answers is the machine's affair: one try must
// show it. Control: where each is sent once it is there they travel alone.
func TestRepliesOfAPipelineTravelTogether(t *testing.T) {
	const writes = 100
	w, c := fixture(t, "together")
	sent := func() int {
		w.link.mu.Lock()
		before := w.link.backs
		w.link.mu.Unlock()
		p := c.PgConn().StartPipeline(t.Context())
		send := func(sql string) {
			p.SendQueryParams(sql, nil, nil, nil, nil)
			p.SendPipelineSync()
		}
		send("begin")
		for range writes {
			send("update together set v = v + 1 where id = 1")
		}
		send("commit")
		if err := errors.Join(p.Flush(), p.Close()); err != nil {
			t.Fatal(err)
		}
		w.link.mu.Lock()
		defer w.link.mu.Unlock()
		return w.link.backs - before
	}
	w.eventually("a hundred answers travel together", func() bool { return sent() < writes/4 })
	w.iad.answerAlone = true
	if n := sent(); n <= writes {
		t.Errorf("the control: %d answers to %d writes and their block", n, writes)
	}
	if v := get[int](w, c, "select v from together where id = 1"); v%writes != 1 || v < 2*writes {
		t.Errorf("the row says %d", v)
	}
}

// TestTripsAreOfThoseWhoWaited lets an invocation begin while another's write
// waits for a lock.
func TestTripsAreOfThoseWhoWaited(t *testing.T) {
	w, c := fixture(t, "waited")
	const write = "update waited set v = v + 1 where id = 1"
	for region, p := range map[string]*Proxy{"secondary": w.dub, "primary": w.iad} {
		conn, watch := w.attach(p, "waited"), w.superuser(pair.primary)
		w.exec(c, "begin", write)
		first := p.Begin(t.Context(), "waited", meridian.Token{}, meridian.Promise{})
		done := make(chan error, 1)
		go func() { _, err := conn.Exec(t.Context(), write); done <- err }()
		w.eventually("the write waits", func() bool {
			return get[int](w, watch, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query = $1", write) == 1
		})
		second := p.Begin(t.Context(), "waited", meridian.Token{}, meridian.Promise{})
		w.exec(c, "commit")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if o := second(); o.Trips != 0 || !o.Shared {
			t.Errorf("%s: the second: %+v", region, o)
		}
		if o := first(); o.Trips != 1 || !o.Shared {
			t.Errorf("%s: the first: %+v", region, o)
		}
		third := p.Begin(t.Context(), "waited", meridian.Token{}, meridian.Promise{})
		w.exec(conn, write)
		if o := third(); o.Trips != 1 || o.Shared {
			t.Errorf("%s: alone: %+v", region, o)
		}
	}
}
