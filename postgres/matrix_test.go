package postgres

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/postgres/wire"
)

// TestMatrix runs the cases of testdata/matrix against the primary's own socket
// and through the secondary's proxy, and compares all that the client was sent,
// message by message. Through the proxy it runs them twice: at full speed with
// global reads, so that one session sees what another wrote; and waiting after
// each step until the replica has everything, when as much as may runs there. A case with a line "differs:" belongs to the
// documented exceptions: it must differ, and docs/guides/database.md must say
// so in the same words.
//
//	== NAME            begins a case; the next line may be "differs: REASON"
//	SQL                a simple query, read to its ReadyForQuery
//	@b STEP            the step on a second connection, b
//	.x SQL ;; ARG ...  parse, bind, describe, execute and sync with text arguments
//	.p NAME SQL        a Parse; also .b PORTAL NAME ;; ARG ..., .d KIND NAME, .e PORTAL ROWS,
//	                   .c KIND NAME, .h (a Flush), .q SQL (a Query), .s (a Sync), .data TEXT, .done, .fail TEXT
//	                   (of COPY): they are kept until
//	.go [N]            sends them and reads to the Nth ReadyForQuery; default: one for each .q and .s
//	.start SQL         sends a simple query; .finish reads to its ReadyForQuery
//	.pid               compares pg_backend_pid() with what the server said at the login
//	.blocked           waits until somebody waits for a lock on the primary
//	.notified          reads to a notification
//	.cancel SQL        sends a simple query and cancels it once it runs
func TestMatrix(t *testing.T) {
	t.Parallel() // all others of the pair have ended by then
	guide, err := os.ReadFile("../docs/guides/database.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.exec(w.superuser(pair.primary), "drop role if exists matrix_reader", "create role matrix_reader", "grant matrix_reader to conduit", "grant set on parameter deadlock_timeout to conduit")
	files, err := filepath.Glob("testdata/matrix/*")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, file := range files {
		for _, k := range readCases(t, file) {
			total++
			t.Run(filepath.Base(file)+"/"+k.name, func(t *testing.T) {
				direct := w.play(t, k, directly)
				for _, how := range []path{proxied, settled} {
					got := w.play(t, k, how)
					switch {
					case k.differs == "" && got != direct:
						t.Errorf("directly:\n%sthrough the proxy (%s):\n%s", direct, how, got)
					case k.differs != "" && got == direct:
						t.Errorf("it does not differ:\n%s", direct)
					}
				}
				if !strings.Contains(string(guide), k.differs) {
					t.Errorf("the guide does not say: %s", k.differs)
				}
			})
		}
	}
	if total < 100 {
		t.Errorf("%d cases", total)
	}
}

// A path is how a case reaches PostgreSQL.
type path string

const (
	directly path = "directly"
	proxied  path = "at full speed"
	settled  path = "step by step"
)

// A matrixCase is one case of the matrix.
type matrixCase struct {
	name, differs string
	steps         []string
}

func readCases(t *testing.T, file string) (all []matrixCase) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		name, begins := strings.CutPrefix(line, "== ")
		if begins {
			all = append(all, matrixCase{name: name})
		} else if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k := &all[len(all)-1]
		if reason, ok := strings.CutPrefix(line, "differs: "); ok {
			k.differs = reason
		} else if !begins {
			k.steps = append(k.steps, line)
		}
	}
	return all
}

// matrixSQL makes what every case finds, anew.
const matrixSQL = `drop schema if exists matrix cascade; create schema matrix; set search_path to matrix;
create table t (id int primary key, v int, s text); insert into t select g, g * 10, 'row ' || g from generate_series(1, 5) g;
create sequence seq;
create function add(int, int) returns int language sql immutable as 'select $1 + $2';
create function locks() returns bool language sql as 'select pg_try_advisory_lock(77)';
create view locked as select locks() as l;
create function swallows() returns text language plpgsql as $$ begin update t set v = v + 1 where id = 1; return 'wrote'; exception when others then return 'caught ' || sqlstate; end $$;
create function many(n int) returns setof int language plpgsql as $$ begin for i in 1..n loop return next i; end loop; insert into t values (1000, n); end $$;
create function tenant(text) returns void language plpgsql as $$ begin perform set_config('app.tenant', $1, false); end $$;
create function scratch() returns void language plpgsql as $$ begin create temp table t as select 99 as id, 990 as v, 'temp' as s; end $$;
create procedure commits() language plpgsql as $$ begin insert into t values (501, 1); commit; insert into t values (502, 2); rollback; end $$`

// play runs a case on fresh connections and returns what they were sent.
func (w *world) play(t *testing.T, k matrixCase, how path) string {
	t.Helper()
	su := w.superuser(pair.primary)
	defer su.Close(t.Context())
	home := w.connect(dsn(w.iad))
	defer home.Close(t.Context())
	for _, sql := range []string{"select pg_advisory_unlock_all()", matrixSQL} {
		if _, err := home.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	p := &player{t: t, w: w, su: su, how: how, talks: map[string]*talk{}}
	defer p.close()
	for _, step := range k.steps {
		p.step(step)
		if how == settled && !strings.HasPrefix(step, ".") {
			w.settle()
		}
	}
	return p.out.String()
}

// settle waits until the standby and its proxy know all that the primary has.
func (w *world) settle() {
	w.t.Helper()
	at, err := w.iad.Position(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.dub.catalogue.changed(at)
	w.eventually("the standby has it all", func() bool { return !w.dub.catalogue.behind() })
}

// A player plays one case.
type player struct {
	t     *testing.T
	w     *world
	su    *pgx.Conn
	how   path
	talks map[string]*talk
	out   strings.Builder
}

// A talk is one connection of a case, and what waits to be sent on it.
type talk struct {
	raw
	key  wire.Key
	kept []byte
	ends int
}

// talk returns the connection of a name.
func (p *player) talk(name string) *talk {
	if c := p.talks[name]; c != nil {
		return c
	}
	conn, err := pair.primary.Dial(p.t.Context())
	if p.how != directly {
		conn, err = net.Dial("tcp", p.w.dub.Addr().String())
	}
	if err != nil {
		p.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &talk{raw: raw{p.t, conn, wire.NewReader(conn)}}
	p.talks[name] = c
	params := []wire.Param{{Name: "user", Value: "conduit"}, {Name: "database", Value: "conduit"}, {Name: "search_path", Value: "matrix"}}
	if p.how == proxied {
		params = append(params, wire.Param{Name: "meridian.consistency", Value: "global"})
	}
	c.send(wire.Builder(nil).Startup(params))
	if p.how != directly {
		c.prove("secret")
	}
	_, body := c.until('K')
	c.key = wire.Key{PID: binary.BigEndian.Uint32(body), Secret: string(body[4:])}
	c.until('Z')
	return c
}

func (p *player) close() {
	for _, c := range p.talks {
		c.send(wire.Builder(nil).Message('X'))
		c.conn.Close()
	}
}

func (p *player) step(step string) {
	name := "a"
	if strings.HasPrefix(step, "@") {
		name, step, _ = strings.Cut(step[1:], " ")
	}
	c := p.talk(name)
	verb, rest, _ := strings.Cut(step, " ")
	fmt.Fprintf(&p.out, "%s> %s\n", name, step)
	b := wire.Builder(c.kept)
	switch verb {
	case ".x":
		sql, args := split(rest)
		c.send(join(parse("", sql), bindText("", "", args), describe(""), execute(""), syncMsg))
		p.read(c, 'Z', 1)
	case ".p":
		name, sql, _ := strings.Cut(rest, " ")
		c.kept = append(b, parse(unquote(name), sql)...)
	case ".b":
		names, args := split(rest)
		portal, stmt, _ := strings.Cut(names, " ")
		c.kept = append(b, bindText(unquote(portal), unquote(stmt), args)...)
	case ".d", ".c":
		kind, name, _ := strings.Cut(rest, " ")
		c.kept = b.Message(strings.ToUpper(verb)[1], []byte(kind), wire.String(unquote(name)))
	case ".e":
		portal, rows, _ := strings.Cut(rest, " ")
		n, _ := strconv.ParseUint(rows, 10, 32)
		c.kept = b.Message('E', wire.String(unquote(portal)), binary.BigEndian.AppendUint32(nil, uint32(n)))
	case ".q":
		c.kept, c.ends = b.Query(rest), c.ends+1
	case ".h":
		c.kept = b.Message('H')
	case ".s":
		c.kept, c.ends = b.Sync(), c.ends+1
	case ".data":
		c.kept = b.Message('d', []byte(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(rest)))
	case ".done":
		c.kept = b.Message('c')
	case ".fail":
		c.kept = b.Message('f', wire.String(rest))
	case ".go":
		if n, err := strconv.Atoi(rest); err == nil {
			c.ends = n
		}
		kept, ends := c.kept, c.ends
		c.kept, c.ends = nil, 0
		c.send(kept)
		p.read(c, 'Z', ends)
	case ".start":
		c.send(wire.Builder(nil).Query(rest))
	case ".finish":
		p.read(c, 'Z', 1)
	case ".pid":
		c.send(wire.Builder(nil).Query("select pg_backend_pid()"))
		_, body := c.until('D')
		fmt.Fprintf(&p.out, "  the same: %v\n", row(body) == fmt.Sprint(c.key.PID))
		c.until('Z')
	case ".notified":
		p.read(c, 'A', 1)
	case ".blocked":
		p.w.eventually("somebody waits for a lock", func() bool { return get[int](p.w, p.su, "select count(*) from pg_locks where not granted") > 0 })
	case ".cancel":
		p.cancel(c, rest)
	default:
		c.send(wire.Builder(nil).Query(step))
		p.read(c, 'Z', 1)
	}
}

func split(s string) (head string, args []string) {
	parts := strings.Split(s, " ;; ")
	return parts[0], parts[1:]
}

func unquote(name string) string { return strings.Trim(name, `"`) }

// bindText returns a Bind with text arguments; \N is null.
func bindText(portal, name string, args []string) []byte {
	body := binary.BigEndian.AppendUint16(nil, 0)
	body = binary.BigEndian.AppendUint16(body, uint16(len(args)))
	for _, a := range args {
		if a == `\N` {
			body = append(body, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(a))), a...)
	}
	return wire.Builder(nil).Message('B', wire.String(portal), wire.String(name), body, []byte{0, 0})
}

// cancel runs a statement and cancels it once a server says that it runs. As
// libpq does, it waits until who was asked has closed the connection: PostgreSQL
// signals a process twice, and until then the second signal may come, to end what
// is sent next.
func (p *player) cancel(c *talk, sql string) {
	c.send(wire.Builder(nil).Query(sql))
	standby := p.w.superuser(pair.standby)
	p.w.eventually("it runs", func() bool {
		const running = "select count(*) from pg_stat_activity where query = $1 and state = 'active'"
		return get[int](p.w, p.su, running, sql)+get[int](p.w, standby, running, sql) > 0
	})
	conn, err := pair.primary.Dial(p.t.Context())
	if p.how != directly {
		conn, err = net.Dial("tcp", p.w.dub.Addr().String())
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(wire.Builder(nil).CancelRequest(c.key)); err != nil {
		p.t.Fatal(err)
	}
	p.read(c, 'Z', 1)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		p.t.Errorf("the connection of the cancel: %v", err)
	}
}

// read notes all messages up to the nth of a type.
func (p *player) read(c *talk, last byte, n int) {
	for n > 0 {
		f, err := c.rd.Frame()
		if err != nil {
			fmt.Fprintf(&p.out, "  the connection ended\n")
			return
		}
		p.out.WriteString("  " + show(f) + "\n")
		if f.Type() == last {
			n--
		}
		if f.Type() == 'G' && last == 'Z' && len(c.kept) > 0 { // COPY data follows
			c.send(c.kept)
			c.kept, c.ends = nil, 0
		}
	}
}

// show writes a message for people, without what must differ: process ids, and
// the numbers of objects that the case itself made.
func show(f wire.Frame) string {
	b := f.Body()
	text := func() string { return strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ") }
	switch f.Type() {
	case 'T':
		return "T " + columns(b)
	case 'D':
		return "D " + row(b)
	case 'E', 'N':
		return string(f.Type()) + " " + fields(b)
	case 'A':
		return "A " + strings.ReplaceAll(strings.TrimRight(string(b[4:]), "\x00"), "\x00", " ")
	case 't':
		return "t " + types(b)
	case 'C', 'S', 'Z':
		return string(f.Type()) + " " + text()
	}
	return fmt.Sprintf("%c %q", f.Type(), b)
}

func oid(b []byte) string {
	if n := binary.BigEndian.Uint32(b); n < 16384 {
		return strconv.Itoa(int(n))
	}
	return "own"
}

func columns(b []byte) string {
	var out []string
	for b = b[2:]; len(b) > 0; {
		name, rest, _ := strings.Cut(string(b), "\x00")
		b = []byte(rest)
		out = append(out, fmt.Sprintf("%s:%s,%d,%d", name, oid(b[6:]), int32(binary.BigEndian.Uint32(b[12:])), binary.BigEndian.Uint16(b[16:])))
		b = b[18:]
	}
	return strings.Join(out, " ")
}

func row(b []byte) string {
	var out []string
	for b = b[2:]; len(b) > 0; {
		n := int32(binary.BigEndian.Uint32(b))
		if b = b[4:]; n < 0 {
			out = append(out, `\N`)
			continue
		}
		out, b = append(out, string(b[:n])), b[n:]
	}
	return strings.Join(out, " | ")
}

func types(b []byte) string {
	var out []string
	for b = b[2:]; len(b) > 0; b = b[4:] {
		out = append(out, oid(b))
	}
	return strings.Join(out, " ")
}

// fields writes an error's fields but the place in PostgreSQL's source.
func fields(b []byte) string {
	var out []string
	for _, f := range strings.Split(strings.TrimRight(string(b), "\x00"), "\x00") {
		if f != "" && !slices.Contains([]byte("FLRV"), f[0]) {
			out = append(out, f)
		}
	}
	return processes.ReplaceAllString(strings.Join(out, " / "), "$1 N")
}

var processes = regexp.MustCompile(`(rocess|transaction) \d+`)
