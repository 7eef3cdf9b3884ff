package postgres

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// TestDecideFate runs the script of testdata/fate.
func TestDecideFate(t *testing.T) {
	lsn := func(s string) meridian.LSN {
		at, err := meridian.ParseLSN(s)
		if err != nil && s != "" {
			t.Fatal(err)
		}
		return at
	}
	forks := []Fork{{Timeline: 1, LSN: 0x500}, {Timeline: 2, LSN: 0x900, Next: 4}, {Timeline: 4, LSN: 0xA00, Next: 5, Planned: true}}
	horizons := map[uint32]*Horizon{}
	datadriven.RunTest(t, "testdata/fate", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "horizon" {
			var since string
			var timeline int
			d.ScanArgs(t, "timeline", &timeline)
			d.ScanArgs(t, "since", &since)
			horizons[uint32(timeline)] = &Horizon{uint32(timeline), lsn(since), strings.Fields(d.Input)}
			return ""
		}
		var at, wrote string
		tok := meridian.Token{Database: "conduit", System: 7}
		d.ScanArgs(t, "token", &at)
		d.MaybeScanArgs(t, "wrote", &wrote)
		d.MaybeScanArgs(t, "handle", &tok.Handle)
		timeline, position, _ := strings.Cut(at, ":")
		fmt.Sscan(timeline, &tok.Timeline)
		tok.LSN, tok.Wrote = lsn(position), lsn(wrote)
		now := 3
		d.MaybeScanArgs(t, "now", &now)
		f := decideFate(tok, uint32(now), forks, horizons[tok.Timeline], d.HasArg("no-horizon"))
		return fmt.Sprintf("%s: %s\nfresh: %s\n", f.Is, f.Why, f.Fresh)
	})
}

// TestAHorizonSaysHowFarItReaches drops the oldest of too many handles.
func TestAHorizonSaysHowFarItReaches(t *testing.T) {
	o := Outcomes{Since: 0x100, Handles: map[string]meridian.LSN{}}
	name := func(i int) string { return handleOf(meridian.LSN(0x1000+16*i), uint64(i)) }
	for i := range atMost + 10 {
		o.Handles[name(i)] = meridian.LSN(0x1008 + 16*i)
	}
	f := Fork{Timeline: 1, LSN: meridian.LSN(0x1000 + 16*(atMost+5))} // five are of the next timeline
	h := o.Horizon(f)
	if len(h.Handles) != atMost {
		t.Fatalf("%d handles", len(h.Handles))
	}
	for i := range atMost + 10 {
		tok := meridian.Token{Timeline: 1, LSN: f.LSN + 1, Wrote: f.LSN + 1, Handle: name(i)}
		want := meridian.Committed
		switch {
		case i < 5:
			want = meridian.Unknown
		case i >= atMost+5:
			want = meridian.Lost
		}
		if got := decideFate(tok, 2, []Fork{f}, &h, false); got.Is != want {
			t.Fatalf("handle %d: %+v, want %s", i, got, want)
		}
	}
	// Control: without the horizon what was dropped is called lost.
	tok := meridian.Token{Timeline: 1, LSN: f.LSN + 1, Wrote: f.LSN + 1, Handle: name(0)}
	if got := decideFate(tok, 2, []Fork{f}, &h, true); got.Is != meridian.Lost {
		t.Errorf("control: %+v", got)
	}
	if h := (Outcomes{Since: 0x100}).Horizon(Fork{LSN: 0x80}); h.Since != 0x80 {
		t.Errorf("a log that begins after the fork: %+v", h)
	}
}

// TestWhatATokenNamesIsLookedUpAfterAFailover loses the primary with a write
// that was acknowledged and that nobody else has. Who wrote it hears so once;
// nobody else hears anything. Controls, in the same test: without a horizon a
// write that is there is called lost, and so is a token of who wrote nothing
// where every token past the fork is taken for lost.
func TestWhatATokenNamesIsLookedUpAfterAFailover(t *testing.T) {
	t.Parallel()
	var forks atomic.Pointer[[]Fork]
	var horizon atomic.Pointer[Horizon]
	forks.Store(&[]Fork{})
	w := newTrio(t, func(c *Config, d *Deps) {
		c.PrimaryTimeout, c.DoubtBudget = 300*time.Millisecond, time.Second
		d.Forks = func() []Fork { return *forks.Load() }
		d.Horizon = func(uint32) *Horizon { return horizon.Load() }
	})
	su := w.superuser(w.servers[iad])
	w.exec(su, "create table named (v int)", "grant all on named to conduit")
	keeps, loses, reads := w.connect(dsn(w.proxies[sin])), w.connect(dsn(w.proxies[sin])), w.connect(dsn(w.proxies[sin]))
	// invoke runs a statement as a function would, and returns the token that its caller gets.
	invoke := func(r meridian.Region, floor meridian.Token, sql string) meridian.Token {
		name := fmt.Sprintf("f-%s-%d", r, time.Now().UnixNano())
		c := w.attach(w.proxies[r], name)
		end := w.proxies[r].Begin(t.Context(), name, floor, meridian.Promise{})
		w.exec(c, sql)
		return end().Token
	}
	w.standbys("the table is there", "select to_regclass('named') is not null")
	w.exec(keeps, "insert into named values (1)")
	forwarded, local := invoke(sin, meridian.Token{}, "insert into named values (2)"), invoke(iad, meridian.Token{}, "insert into named values (3)")
	w.standbys("they are replicated", "select count(*) = 3 from named")
	w.deafen()
	w.exec(loses, "insert into named values (4)")
	lostForwarded, lostLocal := invoke(sin, meridian.Token{}, "insert into named values (5)"), invoke(iad, meridian.Token{}, "insert into named values (6)")
	seen := invoke(iad, meridian.Token{}, "select count(*) from named")
	both := invoke(iad, local, "select count(*) from named") // of who had written before
	w.exec(reads, "set meridian.consistency = strong", "select count(*) from named")
	for what, tok := range map[string]meridian.Token{"forwarded": forwarded, "local": local, "lost, forwarded": lostForwarded, "lost, local": lostLocal, "a later read": both} {
		if tok.Handle == "" || tok.Wrote == 0 {
			t.Errorf("%s: the token names no write: %s", what, tok)
		}
	}
	if seen.Handle != "" || both.Handle != local.Handle || both.Wrote != local.Wrote {
		t.Errorf("tokens of reads: %s, %s after %s", seen, both, local)
	}
	w.lose(iad)
	w.check(w.servers[dub].Promote())
	o, err := readsLog(w.servers[dub])(t.Context(), 0)
	w.check(err)
	fork := Fork{Timeline: 1, LSN: o.Fork, Next: o.Timeline}
	p := w.proxies[sin]
	forks.Store(&[]Fork{fork})
	if f := p.Fate(lostLocal); f.Is != meridian.Sought {
		t.Errorf("before the successor has said: %+v", f)
	}
	h := o.Horizon(fork)
	horizon.Store(&h)
	w.point(dub)
	w.check(w.servers[sin].Follow(w.servers[dub]))
	late := func(tok meridian.Token) meridian.Token { // it was acknowledged a moment later, past the fork
		tok.LSN, tok.Wrote = seen.LSN, seen.LSN
		return tok
	}
	for what, x := range map[string]struct {
		token meridian.Token
		want  meridian.Outcome
	}{
		"a forwarded write":            {forwarded, meridian.Valid},
		"acknowledged past the fork":   {late(forwarded), meridian.Committed},
		"a local one, too":             {late(local), meridian.Committed},
		"a later read of its writer":   {both, meridian.Committed},
		"a lost write":                 {lostForwarded, meridian.Lost},
		"a lost write of iad's own":    {lostLocal, meridian.Lost},
		"a read of what is lost":       {seen, meridian.ReadOnly},
		"of who wrote on the old line": {meridian.Token{Database: "conduit", System: seen.System, Timeline: o.Timeline, LSN: o.Fork}, meridian.Valid},
	} {
		f := p.Fate(x.token)
		if f.Is != x.want || f.Fresh.IsZero() != (x.want == meridian.Valid) {
			t.Errorf("%s: %+v, want %s", what, f, x.want)
		}
		if g := p.Fate(f.Fresh); g.Is != meridian.Valid {
			t.Errorf("%s: the fresh token is %+v", what, g)
		}
	}
	// Sessions: only who wrote what is lost hears of it, once.
	hears := func(c *pgx.Conn) *pgconn.PgError {
		_, err := c.Exec(t.Context(), "select count(*) from named")
		e, _ := err.(*pgconn.PgError)
		return e
	}
	if e := hears(loses); e == nil || e.Code != stateLostWrite || !strings.Contains(e.Message, "lost") {
		t.Errorf("who wrote what is lost: %+v", e)
	}
	for who, c := range map[string]*pgx.Conn{"who has heard it": loses, "who wrote what is there": keeps, "who only read": reads} {
		if e := hears(c); e != nil {
			t.Errorf("%s: %+v", who, e)
		}
		if n := get[int](w.world, c, "select count(*) from named"); n != 3 {
			t.Errorf("%s sees %d rows", who, n)
		}
	}
	// Controls.
	horizon.Store(&Horizon{Timeline: 1, Since: fork.LSN}) // as if they were too many to keep
	if f := p.Fate(late(local)); f.Is != meridian.Unknown {
		t.Errorf("beyond the horizon: %+v", f)
	}
	p.noHorizon = true
	if f := p.Fate(late(local)); f.Is != meridian.Lost {
		t.Errorf("control, no horizon: %+v", f)
	}
	p.noHorizon, p.criesWolf = false, true
	if f := p.Fate(seen); f.Is != meridian.Lost {
		t.Errorf("control, cries wolf: %+v", f)
	}
}

// TestAPlannedMoveLeavesNobodyWaiting: before its fork is told, a token of the
// time before it is good. Control: of who was not handed the database that is
// not known yet.
func TestAPlannedMoveLeavesNobodyWaiting(t *testing.T) {
	for _, handed := range []bool{true, false} {
		p := &Proxy{deps: Deps{Forks: func() []Fork { return nil }, Handed: func() bool { return handed }}}
		want := map[bool]meridian.Outcome{true: meridian.Valid, false: meridian.Sought}[handed]
		now := meridian.Token{System: 7, Timeline: 6, LSN: 0x30}
		tok := meridian.Token{System: 7, Timeline: 5, LSN: 0x20, Wrote: 0x18, Handle: "0a"}
		if f := p.fate(tok, now); f.Is != want {
			t.Errorf("handed %v: %+v, want %s", handed, f, want)
		}
		tok.Timeline = 4 // how that one ended the move does not say
		if f := p.fate(tok, now); f.Is != meridian.Sought {
			t.Errorf("handed %v, an older timeline: %+v", handed, f)
		}
	}
}

// TestAMoveThatSkippedTermsCostsNobodyItsWrite: who wrote before a move and ends after
// it gets the position of after it, also where nobody has told of the end of the old
// timeline yet, and the new one is not the next number. Control: of who was not handed
// the database the write is looked for.
func TestAMoveThatSkippedTermsCostsNobodyItsWrite(t *testing.T) {
	for _, handed := range []bool{true, false} {
		p := &Proxy{deps: Deps{Forks: func() []Fork { return nil }, Handed: func() bool { return handed }}}
		now := meridian.Token{System: 7, Timeline: 7, LSN: 0x30}
		got := p.name(now, &work{wrote: meridian.Token{System: 7, Timeline: 2, Handle: "0a"}})
		if handed != (got == now) || !handed && (got.Timeline != 2 || got.Handle != "0a" || got.Wrote <= now.LSN) {
			t.Errorf("handed %v: %s", handed, got)
		}
	}
}
