package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"meridian/postgres/wire"
)

var (
	sequences = flag.Int("sequences", 200, "how many random sequences of messages TestSequences compares")
	seed      = flag.Uint64("seed", 1, "the first sequence's; each next one's is one more")
	pooled    = flag.Bool("pooled", false, "have the proxies of TestSequences pool transactions")
	lent      = flag.Bool("lent", false, "have the sessions of TestSequences lend their server connections whenever they can")
	shortens  = flag.Bool("shorten", true, "have TestSequences make what differs short, for which the machine must not be busy")
)

// TestSequences sends random sequences of messages to PostgreSQL itself and
// through both regions' proxies, and compares all that comes back, and what the
// tables hold then. Most messages make sense together; some come where nobody
// would expect them. What PostgreSQL says itself is what is right. A sequence
// that differs is made as short as it can be, and printed.
//
//	go test ./postgres -run TestSequences -sequences 20000 -seed 1000 -timeout 0
func TestSequences(t *testing.T) {
	n := *sequences
	if testing.Short() {
		n = min(n, 40)
	}
	s := newStage(t, *pooled)
	i := 0
	defer func() { t.Logf("%d of %d sequences from seed %d", i, n, *seed) }()
	for bad := 0; i < n && bad < 10; i++ {
		if end, ok := t.Deadline(); ok && time.Until(end) < time.Minute { // what was played counts
			break
		}
		if !s.check(generate(*seed + uint64(i))) {
			bad++
		}
	}
}

// A sequence is what one client sends.
type sequence struct {
	name  string
	style string // "" or a start-up parameter for the proxies, NAME=VALUE
	steps []sent
}

// A sent is one message, or a cancel request. After a pause nothing is sent before
// what PostgreSQL answers by then has come.
type sent struct {
	says   string
	bytes  []byte
	pause  bool
	cancel bool
	awaits bool // it cancels what was sent last
}

func (q sequence) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %q:\n", q.name, q.style)
	for _, m := range q.steps {
		b.WriteString("  " + m.says)
		if m.cancel && !m.awaits {
			b.WriteString(" nothing")
		}
		if m.pause {
			b.WriteString("   ...")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// A seqStage is where sequences are played.
type seqStage struct {
	t     *testing.T
	w     *world
	su    *pgx.Conn
	there *pgx.Conn         // the same on the standby
	calls map[string]uint32 // the object ids of functions
	exact bool              // nothing is excepted
}

const seqSQL = `drop schema if exists seq cascade; create schema seq authorization conduit; set role conduit; set search_path to seq;
create table t (id int primary key, v int); create table d (id int primary key deferrable initially deferred); create sequence sq;
create function writes(n int) returns int language sql as 'insert into t values ($1, 0) returning v + 1';
create function swallows() returns text language plpgsql as $$ begin insert into t values (1, 1); return 'wrote'; exception when others then return 'caught ' || sqlstate; end $$;
create procedure commits() language plpgsql as $$ begin insert into t values (501, 1); commit; insert into t values (502, 2); rollback; end $$`

const seqReset = `drop table if exists seq.u; truncate seq.t, seq.d; insert into seq.t select g, g * 10 from generate_series(1, 5) g; insert into seq.d values (1); select setval('seq.sq', 1, false)`

const seqState = `select (select coalesce(string_agg(id || '=' || v, ' ' order by id), '') from seq.t) || ' | ' || (select coalesce(string_agg(id::text, ' ' order by id), '') from seq.d) || ' | ' ||
 (select last_value from seq.sq) || coalesce(to_regclass('seq.u')::text, '')`

func newStage(t *testing.T, pools bool) *seqStage {
	s := &seqStage{t: t, w: newWorld(t, func(c *Config, _ *Deps) {
		c.TransactionPooling = pools
		if *lent {
			c.LendAfter = time.Nanosecond
		}
	}), calls: map[string]uint32{}}
	if *lent {
		go s.lends(t.Context())
	}
	s.su, s.there = s.w.superuser(pair.primary), s.w.superuser(pair.standby)
	simple := func(sql string) {
		if _, err := s.su.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	simple(seqSQL)
	simple("reset role")
	for _, f := range []string{"writes", "swallows"} {
		calls[f] = get[uint32](s.w, s.su, "select oid from pg_proc where proname = $1 and pronamespace = 'seq'::regnamespace", f)
	}
	s.w.settle()
	s.w.catalogued(s.w.dub)
	return s
}

// lends has every session give its server connections back whenever it can.
func (s *seqStage) lends(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, p := range []*Proxy{s.w.iad, s.w.dub} {
			p.lend(p.pool, 1000)
		}
		<-tick.C
	}
}

// calls are the object ids of the functions that are made for the sequences.
var calls = map[string]uint32{}

// check plays a sequence by each way and reports whether nothing differs.
func (s *seqStage) check(q sequence) bool {
	s.t.Helper()
	why := s.differs(q)
	if why == "" {
		return true
	}
	if !*shortens {
		s.t.Errorf("%s%s", q, why)
		return false
	}
	fmt.Fprintf(os.Stderr, "%s%s", q, why)
	silence = 700 * time.Millisecond
	defer func() { silence = 5 * time.Second }()
	q, why = s.shorten(q, why)
	s.t.Errorf("%s%s", q, why)
	return false
}

// differs plays a sequence by each way and says what differs.
func (s *seqStage) differs(q sequence) string {
	direct, counts := s.play(q, directly, nil)
	for _, how := range []path{"primary", "secondary"} {
		got, _ := s.play(q, how, counts)
		if got != direct && (s.exact || !excepted(direct, got)) {
			return fmt.Sprintf("directly:\n%sthrough the %s's proxy:\n%s", direct, how, got)
		}
	}
	return ""
}

// excepted reports whether a difference is one that the guide tells of: what a
// READ ONLY block on a standby says of what belongs on the primary, and that the
// rest of a group, behind a Flush, may be a transaction of its own, which has none of
// the portals. Nor has BEGIN's portal who was answered before it was sent. And a
// statement that is brought is parsed, which is a query for SET TRANSACTION in a
// transaction of its own, where it only warns.
func excepted(direct, got string) bool {
	return strings.Count(got, "cannot be run") > strings.Count(direct, "cannot be run") || strings.Count(got, "C25001") > strings.Count(direct, "C25001") && strings.Contains(direct, "C25P01 / MSET TRANSACTION") ||
		strings.Contains(got, "meridian: this READ ONLY block is open on a standby")
}

// shorten leaves out what it differs without.
func (s *seqStage) shorten(q sequence, why string) (sequence, string) {
	for again := true; again; {
		again = false
		for i := len(q.steps) - 1; i >= 0; i-- {
			less := q
			less.steps = slices.Delete(slices.Clone(q.steps), i, i+1)
			if w := s.differs(less); w != "" {
				q, why, again = less, w, true
			}
		}
	}
	for i := range q.steps {
		less := q
		less.steps = slices.Clone(q.steps)
		less.steps[i].pause = false
		if w := s.differs(less); q.steps[i].pause && w != "" {
			q, why = less, w
		}
	}
	return q, why
}

// The end of each sequence brings a session back from wherever it is.
const seqEnd = "the end of the sequence"

var seqEnds = join(wire.Builder(nil).Message('f', wire.String("the end")), syncMsg, wire.Builder(nil).Query("rollback"), wire.Builder(nil).Query("select '"+seqEnd+"'"))

// play plays a sequence by one way. It returns what was answered, and how many
// messages had come after each pause; by the proxies' ways so many are awaited.
func (s *seqStage) play(q sequence, how path, counts []int) (said string, came []int) {
	s.t.Helper()
	s.reset()
	s.w.settle()
	c := s.dial(q, how)
	c.exact = s.exact
	defer c.conn.Close()
	var buf []byte
	for _, m := range q.steps {
		if buf = append(buf, m.bytes...); !m.pause && !m.cancel {
			continue
		}
		c.conn.Write(buf)
		buf = buf[:0]
		if m.cancel {
			s.cancels(c, how, m.awaits)
		}
		if how == directly {
			s.quiet(c)
		} else {
			c.until(counts[len(came)])
		}
		came = append(came, c.n)
	}
	c.conn.Write(append(buf, seqEnds...))
	c.until(-1)
	out := c.out.String()
	if c.closed {
		out += "the connection ended\n"
	}
	state := func() string { return get[string](s.w, s.su, seqState) }
	return out + state() + "\n", came
}

// reset makes the tables what they were, once nobody holds them: what the last client
// sent before its connection ended may be under way.
func (s *seqStage) reset() {
	s.t.Helper()
	for began := time.Now(); ; {
		if get[bool](s.w, s.su, "select exists (select from pg_prepared_xacts where gid = 'x')") {
			s.w.exec(s.su, "rollback prepared 'x'")
		}
		_, err := s.su.Exec(s.t.Context(), "set lock_timeout = '200ms'; "+seqReset, pgx.QueryExecModeSimpleProtocol)
		switch {
		case err == nil:
			return
		case state(err) != "55P03" || time.Since(began) > time.Minute:
			s.t.Fatal(err)
		}
	}
}

// A listener reads what one session is sent.
type listener struct {
	raw
	key    wire.Key
	n      int
	ends   int // of groups, and errors
	out    strings.Builder
	failed bool // its block has
	exact  bool // what may differ is shown, too
	closed bool
	ended  bool
}

func (s *seqStage) dial(q sequence, how path) *listener {
	s.t.Helper()
	p := s.proxy(how)
	c := &listener{}
	params := []wire.Param{{Name: "user", Value: "conduit"}, {Name: "database", Value: "conduit"}, {Name: "search_path", Value: "seq"},
		{Name: "lock_timeout", Value: "500"}} // a transaction that the client itself prepared holds its locks for good
	if p == nil {
		conn, err := pair.primary.Dial(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		c.raw = raw{s.t, conn, wire.NewReader(conn)}
	} else {
		c.raw = *dialBare(s.t, p)
		if name, value, ok := strings.Cut(q.style, "="); ok {
			params = append(params, wire.Param{Name: name, Value: value})
		}
	}
	c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	c.send(wire.Builder(nil).Startup(params))
	if p != nil {
		c.prove("secret")
	}
	_, key := c.raw.until('K')
	c.key = wire.Key{PID: binary.BigEndian.Uint32(key), Secret: string(key[4:])}
	c.raw.until('Z')
	return c
}

// proxy returns whose way it is; nil: nobody's.
func (s *seqStage) proxy(how path) *Proxy {
	return map[path]*Proxy{"primary": s.w.iad, "secondary": s.w.dub}[how]
}

// quiet reads what comes until the server has read all that was sent, and waits for
// more.
func (s *seqStage) quiet(c *listener) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		rests := s.unread(c) == 0 && get[int](s.w, s.su, "select count(*) from pg_stat_activity where pid = $1 and wait_event = 'ClientRead'", c.key.PID) > 0
		if c.drain(); rests || c.closed || c.ended {
			return
		}
	}
}

// unread returns how much of what was sent PostgreSQL has not read yet.
func (s *seqStage) unread(c *listener) (n int) {
	s.t.Helper()
	conn, err := c.conn.(syscall.Conn).SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// drain reads what comes until nothing comes for a moment.
func (c *listener) drain() {
	for !c.closed && !c.ended {
		c.conn.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		if f, err := c.rd.Frame(); !c.take(f, err) {
			break
		}
	}
}

// silence is how long an answer is waited for.
var silence = 5 * time.Second

// until reads until n messages have come, or, if n is -1, to the end.
func (c *listener) until(n int) {
	c.conn.SetReadDeadline(time.Now().Add(silence))
	for !c.closed && !c.ended && (n < 0 || c.n < n) {
		if f, err := c.rd.Frame(); !c.take(f, err) {
			fmt.Fprintf(&c.out, "silence\n")
			break
		}
	}
}

// take notes a message; it reports false if none came.
func (c *listener) take(f wire.Frame, err error) bool {
	if err != nil {
		c.closed = !os.IsTimeout(err)
		return c.closed
	}
	c.n++
	if f.Type() == 'Z' || f.Type() == 'E' {
		c.ends++
	}
	c.out.WriteString("  " + c.shows(f) + "\n")
	c.ended = c.ended || f.Type() == 'D' && strings.Contains(string(f.Body()), seqEnd)
	return true
}

// shows writes a message without what may differ. In a block that has failed there
// is more than one reason for an error: a statement that was prepared elsewhere
// cannot be brought there.
func (c *listener) shows(f wire.Frame) string {
	failed := c.failed
	if f.Type() == 'Z' {
		c.failed = f.Body()[0] == 'E'
	}
	if f.Type() == 'E' && failed && !c.exact {
		return "E in a block that has failed"
	}
	return unlike.ReplaceAllString(unexpected.ReplaceAllString(short(show(f)), "$1"), "cannot be run")
}

// short tells long texts apart without showing all of them.
func short(s string) string {
	if len(s) < 1000 {
		return s
	}
	return fmt.Sprintf("%s... %d bytes, %x", s[:60], len(s), sha256.Sum256([]byte(s)))
}

// unlike are the words of a portal that is not there, or is at its end: that of a
// BEGIN which was answered, and sent later, is not there.
var unlike = regexp.MustCompile(`(C34000|C55000) / Mportal .* (does not exist|cannot be run)`)

// unexpected is what COPY says of a message that is no data: it may be a hidden one.
var unexpected = regexp.MustCompile(`(unexpected message type) \S+`)
