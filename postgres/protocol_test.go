package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/xdg-go/scram"

	"meridian/postgres/pgtest"
	"meridian/postgres/wire"
)

// A raw is a client that speaks the protocol by hand.
type raw struct {
	t    *testing.T
	conn net.Conn
	rd   *wire.Reader
}

// dialRaw logs in by hand, asking for that minor version.
func dialRaw(t *testing.T, p *Proxy, minor byte) *raw {
	t.Helper()
	r := dialBare(t, p)
	start := wire.Builder(nil).Startup([]wire.Param{{Name: "user", Value: "conduit"}, {Name: "database", Value: "conduit"}})
	start[7] = minor
	r.send(start)
	r.scram("secret")
	return r
}

// dialBare connects and says nothing.
func dialBare(t *testing.T, p *Proxy) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t, conn, wire.NewReader(conn)}
}

func (r *raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// until reads to a message of that type and returns the types that were read.
func (r *raw) until(last byte) (types string, body []byte) {
	r.t.Helper()
	for {
		f, err := r.rd.Frame()
		if err != nil {
			r.t.Fatalf("after %q: %v", types, err)
		}
		types += string(f.Type())
		if f.Type() == last {
			return types, append([]byte(nil), f.Body()...)
		}
	}
}

func (r *raw) scram(password string) {
	r.t.Helper()
	r.prove(password)
	r.until('Z')
}

// prove logs in up to AuthenticationOk.
func (r *raw) prove(password string) {
	r.t.Helper()
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		r.t.Fatal(err)
	}
	conv := client.NewConversation()
	first, err := conv.Step("")
	if err != nil {
		r.t.Fatal(err)
	}
	r.until('R')
	initial := binary.BigEndian.AppendUint32(wire.String("SCRAM-SHA-256"), uint32(len(first)))
	r.send(wire.Builder(nil).Message('p', initial, []byte(first)))
	_, challenge := r.until('R')
	proof, err := conv.Step(string(challenge[4:]))
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(wire.Builder(nil).Message('p', []byte(proof)))
	r.until('R')
}

func parse(name, sql string) []byte {
	return wire.Builder(nil).Message('P', wire.String(name), wire.String(sql), []byte{0, 0})
}
func bind(portal, name string) []byte {
	return wire.Builder(nil).Message('B', wire.String(portal), wire.String(name), make([]byte, 6))
}
func describe(portal string) []byte {
	return wire.Builder(nil).Message('D', []byte{'P'}, wire.String(portal))
}
func execute(portal string) []byte {
	return wire.Builder(nil).Message('E', wire.String(portal), make([]byte, 4))
}

var (
	flushMsg = []byte(wire.Builder(nil).Message('H'))
	syncMsg  = []byte(wire.Builder(nil).Sync())
)

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestOldProtocolIsNegotiated(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.dub.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	gss := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, wire.CodeGSS)
	conn.Write(gss)
	one := make([]byte, 1)
	if conn.Read(one); one[0] != 'N' {
		t.Errorf("GSSENCRequest was answered %q", one)
	}
	start := wire.Builder(nil).Startup([]wire.Param{{Name: "user", Value: "conduit"}, {Name: "_pq_.new", Value: "1"}})
	start[7] = 2 // 3.2
	conn.Write(start)
	r := &raw{t, conn, wire.NewReader(conn)}
	_, body := r.until('v')
	if want := "\x00\x03\x00\x00\x00\x00\x00\x01_pq_.new\x00"; string(body) != want {
		t.Errorf("negotiated %q, want %q", body, want)
	}
	r.scram("secret")
	r.send(wire.Builder(nil).Query("select 1"))
	if types, _ := r.until('Z'); types != "TDCZ" {
		t.Errorf("select 1: %s", types)
	}
}

// TestFlushedGroupMoves flushes what describes a write, which the standby
// answers, and then executes it: the group moves, and nothing is said twice.
func TestFlushedGroupMoves(t *testing.T) {
	w, _ := fixture(t, "flushed")
	r := dialRaw(t, w.dub, 0)
	r.send(join(parse("", "insert into flushed values (500, 1) returning id"), bind("", ""), describe(""), flushMsg))
	if types, _ := r.until('T'); types != "12T" {
		t.Fatalf("flushed: %s", types)
	}
	r.send(join(execute(""), syncMsg))
	if types, _ := r.until('Z'); types != "DCZ" {
		t.Errorf("executed: %s", types)
	}
	if n := get[int](w, w.connect(dsn(w.iad)), "select count(*) from flushed where id = 500"); n != 1 {
		t.Errorf("%d rows", n)
	}
	// A read stays, flushed or not, and its portal can be read in parts.
	r.send(join(parse("", "select id from flushed order by id"), bind("", ""), wire.Builder(nil).Message('E', []byte{0, 0, 0, 0, 3}), flushMsg))
	if types, _ := r.until('s'); types != "12DDDs" {
		t.Errorf("a part: %s", types)
	}
	r.send(join(execute(""), syncMsg))
	if types, _ := r.until('Z'); types != strings.Repeat("D", 8)+"CZ" {
		t.Errorf("the rest: %s", types)
	}
	// What was shown of a read is not shown again when the rest of its group
	// belongs on the primary, as psycopg's pipelines have it.
	r.send(join(parse("", "select 1"), bind("", ""), execute(""), flushMsg))
	if types, _ := r.until('C'); types != "12DC" {
		t.Errorf("the read: %s", types)
	}
	r.send(join(parse("", "begin"), bind("", ""), execute(""), syncMsg))
	if types, status := r.until('Z'); types != "12CZ" || string(status) != "T" {
		t.Errorf("BEGIN after a read: %s, %s", types, status)
	}
	r.send(wire.Builder(nil).Query("rollback"))
	if types, status := r.until('Z'); types != "CZ" || string(status) != "I" {
		t.Errorf("the end: %s, %s", types, status)
	}
	r.send(join(parse("", "begin"), flushMsg))
	r.until('1')
	r.send(join(bind("", ""), execute(""), syncMsg))
	if types, status := r.until('Z'); types != "2CZ" || string(status) != "T" {
		t.Errorf("BEGIN in two parts: %s, %s", types, status)
	}
}

// TestErrorsSkipToSync sends groups with errors of either backend, byte for
// byte in one segment.
func TestErrorsSkipToSync(t *testing.T) {
	w, _ := fixture(t, "skipped")
	r := dialRaw(t, w.dub, 0)
	good := join(parse("", "select 1"), bind("", ""), execute(""), syncMsg)
	bad := join(parse("", "select 1/0"), bind("", ""), execute(""), parse("", "select 2"), bind("", ""), execute(""), syncMsg)
	write := join(parse("", "insert into skipped values (1, 1)"), bind("", ""), execute(""), parse("", "select 2"), bind("", ""), execute(""), syncMsg)
	r.send(join(good, bad, write, good, wire.Builder(nil).Query("select 3"), bad, good))
	for i, want := range []string{"12DCZ", "1EZ", "12EZ", "12DCZ", "TDCZ", "1EZ", "12DCZ"} {
		if types, _ := r.until('Z'); types != want {
			t.Errorf("group %d: %s, want %s", i, types, want)
		}
	}
}

// TestMalformedBytesEndOneConnection sends nonsense while another works.
func TestMalformedBytesEndOneConnection(t *testing.T) {
	w := newWorld(t)
	c := w.connect(dsn(w.dub))
	for _, bad := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"), {0, 0, 0, 8, 0, 2, 0, 0}, {0, 0, 0, 4}, {0xff, 0xff, 0xff, 0xff},
	} {
		conn, err := net.Dial("tcp", w.dub.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write(bad)
		buf := make([]byte, 256)
		for err == nil {
			_, err = conn.Read(buf)
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%q: the connection stays open", bad)
		}
		conn.Close()
	}
	for _, bad := range [][]byte{{'?', 0, 0, 0, 4}, {'Q', 0, 0, 0, 5, 'x'}, {'B', 0, 0, 0, 4}, {'D', 0, 0, 0, 4}, {'Q', 0, 0, 0, 1}} {
		r := dialRaw(t, w.dub, 0)
		r.send(bad)
		if _, body := r.until('E'); !strings.Contains(string(body), "08P01") {
			t.Errorf("%q: %q", bad, body)
		}
	}
	if get[int](w, c, "select 1") != 1 {
		t.Error("a neighbour suffered")
	}
}

// TestPsqlOverTLS runs psql with SCRAM and TLS, and without.
func TestPsqlOverTLS(t *testing.T) {
	cert := selfSigned(t)
	w := newWorld(t, func(_ *Config, d *Deps) { d.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	psql, err := pgtest.Binary("psql")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"require", "prefer", "disable"} {
		url := strings.Replace(dsn(w.dub), "sslmode=disable", "sslmode="+mode, 1)
		out, err := exec.Command(psql, url, "-qAt", "-c", "create temp table x as select 41 as v", "-c", "select v + 1 from x", "-c", `\d x`).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "42\n") {
			t.Errorf("sslmode=%s: %v\n%s", mode, err, out)
		}
	}
	cfg, err := pgx.ParseConfig(strings.Replace(dsn(w.iad), "sslmode=disable", "sslmode=require", 1))
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if get[int](w, c, "select 1") != 1 {
		t.Error("pgx over TLS")
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTLSFromTheFirstByte: clients of PostgreSQL 17 may begin with the handshake.
func TestTLSFromTheFirstByte(t *testing.T) {
	cert := selfSigned(t)
	w := newWorld(t, func(_ *Config, d *Deps) { d.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	connect := func(protocols ...string) error {
		cfg, err := pgx.ParseConfig(dsn(w.dub))
		if err != nil {
			t.Fatal(err)
		}
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}}
			return d.DialContext(ctx, network, addr)
		}
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			defer c.Close(t.Context())
			_, err = c.Exec(t.Context(), "select 1")
		}
		return err
	}
	if err := connect("postgresql"); err != nil {
		t.Error(err)
	}
	if err := connect(); err == nil {
		t.Error("a client that does not name the protocol was served")
	}
}

// TestABlockThatIsOpenedBeforeAFlushStaysOpen: the standby would answer a BEGIN that
// is READ ONLY, or lazy, and what follows in its group might have to leave it.
func TestABlockThatIsOpenedBeforeAFlushStaysOpen(t *testing.T) {
	w, _ := fixture(t, "opened")
	home := w.connect(dsn(w.iad))
	r := dialRaw(t, w.dub, 0)
	r.send(wire.Builder(nil).Query("set meridian.transactions = lazy"))
	r.until('Z')
	for _, begin := range []string{"begin", "begin; /* */"} {
		r.send(join(parse("", begin), bind("", ""), execute(""), flushMsg))
		if types, _ := r.until('C'); types != "12C" {
			t.Fatalf("%s: %s", begin, types)
		}
		r.send(join(parse("", "insert into opened values (600, 1)"), bind("", ""), execute(""), syncMsg))
		if types, status := r.until('Z'); types != "12CZ" || string(status) != "T" {
			t.Errorf("%s, then a write: %s, %s", begin, types, status)
		}
		r.send(wire.Builder(nil).Query("rollback"))
		r.until('Z')
		if n := get[int](w, home, "select count(*) from opened where id = 600"); n != 0 {
			t.Errorf("%s: a write that was rolled back is there", begin)
		}
	}
	r.send(wire.Builder(nil).Query("begin"))
	r.until('Z')
	r.send(join(parse("", "copy opened from stdin"), bind("", ""), execute(""), wire.Builder(nil).Message('d', []byte("601\t1\n")).Message('c'), syncMsg))
	if types, status := r.until('Z'); types != "12GCZ" || string(status) != "T" {
		t.Errorf("COPY in one go: %s, %s", types, status)
	}
	r.send(wire.Builder(nil).Query("rollback"))
	r.until('Z')
	if n := get[int](w, home, "select count(*) from opened where id = 601"); n != 0 {
		t.Error("a COPY that was rolled back is there")
	}
	r.send(join(parse("", "begin read only"), bind("", ""), execute(""), flushMsg))
	r.until('C')
	r.send(join(parse("", "select nosuch"), syncMsg))
	if types, status := r.until('Z'); types != "EZ" || string(status) != "E" {
		t.Errorf("begin read only, then an error: %s, %s", types, status)
	}
}

// TestWhatIsPassedOverIsNotOwed: after an error PostgreSQL passes over a Query, too,
// up to Sync. The session waits for that, and then owes and is owed nothing.
func TestWhatIsPassedOverIsNotOwed(t *testing.T) {
	w, _ := fixture(t, "passed")
	for _, p := range []*Proxy{w.iad, w.dub} {
		for _, first := range []string{"select 1/0", "insert into passed values (1, 1)"} {
			r := dialRaw(t, p, 0)
			r.send(join(parse("", first), bind("", ""), execute(""), wire.Builder(nil).Query("select 1"), wire.Builder(nil).Query("insert into passed values (700, 1)")))
			r.until('E')
			r.send(wire.Builder(nil).Query("select 2"))
			r.send(join(wire.Builder(nil).Query("insert into passed values (701, 1)"), syncMsg, wire.Builder(nil).Query("select 3")))
			if types, _ := r.until('Z'); types != "Z" {
				t.Errorf("%s: %s, %s", p.cfg.Region, first, types)
			}
			if types, _ := r.until('Z'); types != "TDCZ" {
				t.Errorf("%s: %s, and then %s", p.cfg.Region, first, types)
			}
			w.owesNothing(p)
		}
	}
	if n := get[int](w, w.connect(dsn(w.iad)), "select count(*) from passed where id >= 700"); n != 0 {
		t.Errorf("%d rows that were passed over", n)
	}
}

// owesNothing waits until no session owes anything, or is owed it.
func (w *world) owesNothing(p *Proxy) {
	w.t.Helper()
	w.eventually("nothing is owed", func() bool {
		for _, s := range w.iad.leavers() {
			if s, ok := s.(*peer); ok && s.bound() == openTransaction {
				return false
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.sessions {
			c.mu.Lock()
			u := c.main
			owed := u != nil && (len(u.flights) > 0 || !u.tracker.Quiet() || u.mid)
			c.mu.Unlock()
			if owed {
				return false
			}
		}
		return true
	})
}
