package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/internal/boottime"
)

// TestPlainReadsGoOnWithoutTheRightToAct ends the lease of the primary's region,
// and reads there. What promises the newest data waits, and so does what writes,
// also where no name tells that it does. Controls: a proxy that waits with all,
// and one that lets reads write.
func TestPlainReadsGoOnWithoutTheRightToAct(t *testing.T) {
	w, l := leased(t, "lapsing", func(c *Config, _ *Deps) { c.MoveBudget = 200 * time.Millisecond })
	c := w.attach(w.iad, "lapsing")
	w.exec(c, "create or replace function lapsing_set() returns int language sql as 'update lapsing set v = 9 returning v'",
		"create or replace function lapsing_hidden() returns int language plpgsql stable as $$ declare x int; begin execute 'select lapsing_' || 'set()' into x; return x; end $$")
	w.named(w.iad, "lapsing_hidden")
	end := w.iad.Begin(t.Context(), "lapsing", meridian.Token{}, meridian.Promise{})
	w.exec(c, "update lapsing set v = 5")
	token := end().Token
	reads := func(c *pgx.Conn, mode string, floor meridian.Token) error {
		w.exec(c, "set meridian.consistency = '"+mode+"'")
		end := w.iad.Begin(t.Context(), "lapsing", floor, meridian.Promise{})
		var v int
		err := c.QueryRow(t.Context(), "select v from lapsing where id = 1").Scan(&v)
		if o := end(); err == nil && (v != 5 || floor.Newer(o.Token)) {
			t.Errorf("%s: read %d, with the token %s after %s", mode, v, o.Token, floor)
		}
		return err
	}
	next := token
	next.Timeline++

	l.until.Store(int64(boottime.Now()))
	for _, mode := range []string{"eventual", "session", "bounded(1m)"} {
		if err := reads(c, mode, token); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	for _, mode := range []string{"bounded(1ms)", "global", "strong"} {
		if err := reads(c, mode, token); state(err) != "57P03" {
			t.Errorf("%s: %v, want 57P03", mode, err)
		}
	}
	if err := reads(c, "session", next); state(err) != "57P03" {
		t.Errorf("with a successor's token: %v, want 57P03", err)
	}
	fresh := w.attach(w.iad, "fresh")
	w.exec(fresh, "begin read only", "select v from lapsing", "commit", "set default_transaction_read_only = off")
	for _, sql := range []string{"select lapsing_hidden()", "update lapsing set v = 8", "begin; update lapsing set v = 8; commit"} {
		if _, err := fresh.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); state(err) != "57P03" {
			t.Errorf("%s: %v, want 57P03", sql, err)
		}
	}
	l.expire()
	if err := reads(c, "bounded(1m)", token); state(err) != "57P03" {
		t.Errorf("bounded, since nobody knows when: %v, want 57P03", err)
	}
	w.iad.readsWait = true
	if _, err := fresh.Exec(t.Context(), "select v from lapsing", pgx.QueryExecModeSimpleProtocol); state(err) != "57P03" {
		t.Errorf("control, all wait: %v, want 57P03", err)
	}
	w.iad.readsWait, w.iad.writableReads = false, true
	w.exec(fresh, "set default_transaction_read_only = off")
	if got := get[int](w, fresh, "select lapsing_hidden() + 0"); got != 9 {
		t.Errorf("control, reads may write: %d: nothing was shown", got)
	}
	w.iad.writableReads = false
	l.renew()
	w.exec(c, "set meridian.consistency = 'session'", "update lapsing set v = 6")
	w.exec(fresh, "update lapsing set v = v + 1")
	if got := get[int](w, c, "select v from lapsing where id = 1"); got != 7 {
		t.Errorf("read %d when the right was back", got)
	}
}

// named waits until a proxy knows a function by its name.
func (w *world) named(p *Proxy, name string) {
	w.t.Helper()
	w.eventually(name+" is known", func() bool {
		return !p.catalogue.behind() && p.verdicts.Classify([]byte("select "+name+"()")).Where == 0
	})
}

// TestNothingUnconfirmedShowsWithoutTheRightToAct commits what no standby has,
// and reads it in the primary's region once that has no right to act. Control:
// a proxy that does not look shows it.
func TestNothingUnconfirmedShowsWithoutTheRightToAct(t *testing.T) {
	t.Parallel()
	l := &lease{}
	l.renew()
	w := leaky(t, func(c *Config, d *Deps) {
		if c.MoveBudget = time.Second; c.Region == iad {
			d.Lease = l.now
		}
	})
	p := w.proxies[iad]
	w.named(p, "count")
	c := w.connect(dsn(p))
	rows := func() (n int, err error) {
		err = c.QueryRow(t.Context(), "select count(*) from leak").Scan(&n)
		return n, err
	}
	done, thaw := w.leak("a canceled wait", sin)
	l.expire()
	if n, err := rows(); state(err) != "57P03" {
		t.Errorf("while it is held back: %d rows, %v, want 57P03", n, err)
	}
	if err := <-done; state(err) != "08007" {
		t.Errorf("what was not confirmed: %v, want 08007", err)
	}
	if n, err := rows(); state(err) != "57P03" {
		t.Errorf("once it is in doubt: %d rows, %v, want 57P03", n, err)
	}
	shows := func() { // the control
		t.Helper()
		p.exposes = true
		if n, err := rows(); err != nil || n != 1 {
			t.Errorf("control: %d rows, %v: nothing was shown", n, err)
		}
		p.exposes = false
	}
	shows()
	w.primary = dub // which this region hears before its PostgreSQL stops
	w.tell(iad)
	if n, err := rows(); err == nil {
		t.Errorf("once another region is the primary: %d rows", n)
	}
	shows()
	w.primary = iad
	w.tell(iad)
	thaw()
	w.eventually("the standbys have it", func() bool { n, err := rows(); return err == nil && n == 1 })
	end := w.stop(dub, sin)
	defer end()
	w.exec(w.superuser(w.servers[iad]), "checkpoint") // the log grows, and nobody confirms it
	if n, err := rows(); err != nil || n != 1 {
		t.Errorf("when the standbys are gone: %d rows, %v", n, err)
	}
}
