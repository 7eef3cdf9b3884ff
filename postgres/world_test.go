package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian"
	"meridian/postgres/pgtest"
	"meridian/postgres/wire"
	"meridian/topology"
)

// pair is a primary and its standby, shared by all tests of the package but
// those that stop servers: these have servers of their own, from the template,
// and run beside each other.
var pair struct {
	template         *pgtest.Template
	primary, standby *pgtest.Server
}

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	var err error
	if pair.template, err = pgtest.Found("conduit"); err == nil {
		defer pair.template.Remove()
		if pair.primary, err = pair.template.Primary(); err == nil {
			defer pair.primary.Stop()
			if pair.standby, err = pair.template.Standby("standby", pair.primary); err == nil {
				defer pair.standby.Stop()
				return m.Run()
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// The regions of the tests' world.
const (
	iad meridian.Region = "us-east-1" // the primary
	dub meridian.Region = "eu-west-1"
)

// A world is two regions' proxies and the link between them.
type world struct {
	t        testing.TB
	topo     *topology.Map
	iad, dub *Proxy
	link     *link
}

// newWorld runs two proxies over the shared pair until the test ends.
func newWorld(t testing.TB, change ...func(*Config, *Deps)) *world {
	t.Helper()
	w := &world{t: t, topo: &topology.Map{}, link: newLink()}
	w.point(iad)
	w.iad = w.start(iad, pair.primary, w.link, change)
	w.dub = w.start(dub, pair.standby, nil, change)
	w.catalogued(w.dub)
	return w
}

// point makes a region the primary.
func (w *world) point(primary meridian.Region) { w.publish(primary, 200*time.Millisecond) }

// away says that the first region, the primary, is so far away.
func (w *world) away(rtt time.Duration) { w.publish(iad, rtt) }

func (w *world) publish(primary meridian.Region, rtt time.Duration) {
	w.topo.Publish(&topology.Snapshot{
		Regions: []topology.Region{{Name: iad, Primary: primary == iad, Healthy: true}, {Name: dub, Primary: primary == dub, Healthy: true}},
		Links:   []topology.Link{{From: iad, To: dub, RTT: rtt}},
	})
}

func (w *world) start(region meridian.Region, server *pgtest.Server, peers net.Listener, change []func(*Config, *Deps)) *Proxy {
	w.t.Helper()
	p, _ := w.startUntil(region, server, peers, change)
	return p
}

// startUntil is start of a proxy that may end before the test does.
func (w *world) startUntil(region meridian.Region, server *pgtest.Server, peers net.Listener, change []func(*Config, *Deps)) (p *Proxy, end func()) {
	w.t.Helper()
	cfg := Config{Region: region, Database: "conduit", Listen: "127.0.0.1:0", Users: map[string]string{"conduit": "secret"}, NoFailover: true}
	deps := Deps{Local: server.Dial, Map: w.topo, Peers: peers}
	if peers == nil {
		deps.Remote = w.link.dial
	}
	if os.Getenv("MERIDIAN_TEST_NO_LOOPS") == "1" {
		cfg.Loops = -1
	}
	for _, f := range change {
		f(&cfg, &deps)
	}
	p, err := New(cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.Run(ctx, func() { close(ready) }) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("%s: %v", region, err)
		}
	})
	w.t.Cleanup(end)
	select {
	case <-ready:
	case err := <-done:
		w.t.Fatalf("%s: %v", region, err)
	}
	return p, end
}

// catalogued waits until a proxy knows the names of its catalogues.
func (w *world) catalogued(p *Proxy) {
	w.t.Helper()
	w.eventually("the catalogues are read", func() bool {
		p.catalogue.mu.Lock()
		_, here := p.primary()
		told := here || p.catalogue.told > 0
		p.catalogue.mu.Unlock()
		return told && !p.catalogue.behind() && p.verdicts.Classify([]byte("select count(*) from pg_class")).Where == 0
	})
}

// eventually waits for a condition, for longer than a busy machine may need.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			w.t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// dsn returns the URL of a proxy for people.
func dsn(p *Proxy) string {
	return fmt.Sprintf("postgres://conduit:secret@%s/conduit?sslmode=disable", p.Addr())
}

// connect opens a pgx connection that the test closes.
func (w *world) connect(dsn string) *pgx.Conn {
	w.t.Helper()
	c, err := pgx.Connect(w.t.Context(), dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// exec runs statements that must succeed.
func (w *world) exec(c *pgx.Conn, sql ...string) {
	w.t.Helper()
	for _, s := range sql {
		if _, err := c.Exec(w.t.Context(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

// get runs a query and returns its one value.
func get[T any](w *world, c *pgx.Conn, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := c.QueryRow(w.t.Context(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// superuser connects to a server past the proxies.
func (w *world) superuser(s *pgtest.Server) *pgx.Conn {
	w.t.Helper()
	cfg, err := pgx.ParseConfig("postgres://meridian@localhost/conduit?sslmode=disable")
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	c, err := pgx.ConnectConfig(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// freeze stops replay on the standby until the test ends, or thaw is called.
func (w *world) freeze() (thaw func()) {
	w.t.Helper()
	c := w.superuser(pair.standby)
	w.exec(c, "select pg_wal_replay_pause()")
	thaw = sync.OnceFunc(func() { w.exec(c, "select pg_wal_replay_resume()") })
	w.t.Cleanup(func() { c.Exec(context.Background(), "select pg_wal_replay_resume()") })
	w.eventually("replay is paused", func() bool { return get[string](w, c, "select pg_get_wal_replay_pause_state()") == "paused" })
	return thaw
}

// A link carries streams from one proxy to the other. It can be cut.
type link struct {
	to     meridian.Region
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards what follows
	cut   bool
	conns []net.Conn
	opens int
	mute  bool
	trips int // flights of sessions that went out after all before were answered
	backs int // what the primary's end wrote, as often as it did
}

// A linkConn loses what is written while its link is mute, and counts the
// round trips of the session that it carries.
type linkConn struct {
	net.Conn
	l *link

	// Guarded by the link's mu.
	counts  bool // at this end, and not if it carries no session
	started bool
	back    bool // the primary's end
	waits   bool // for what answers the last flight
}

func (c *linkConn) Write(b []byte) (int, error) {
	c.l.mu.Lock()
	mute := c.l.mute
	if !c.started {
		c.started, c.counts = true, c.counts && bytes.Contains(b, []byte(`"purpose":"session"`))
	}
	if c.back {
		c.l.backs++
	}
	if c.counts && !c.waits {
		c.l.trips++
		c.waits = true
	}
	c.l.mu.Unlock()
	if mute {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.l.mu.Lock()
	c.waits = false
	c.l.mu.Unlock()
	return n, err
}

// count returns how many round trips f costs.
func (l *link) count(f func()) int {
	l.mu.Lock()
	before := l.trips
	l.mu.Unlock()
	f()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trips - before
}

// silence makes the link lose everything and say nothing, as a cut cable does.
func (l *link) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute = true
}

func newLink() *link { return &link{to: iad, accept: make(chan net.Conn), closed: make(chan struct{})} }

var errCut = errors.New("the link is cut")

func (l *link) dial(ctx context.Context, region meridian.Region) (net.Conn, error) {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut || region != l.to {
		return nil, errCut
	}
	// A pipe of the kernel's: net.Pipe has no buffer, which no network lacks.
	a, b, err := socketPair()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.conns = append(l.conns, a, b)
	l.opens++
	l.mu.Unlock()
	a, b = &linkConn{Conn: a, l: l, counts: true}, &linkConn{Conn: b, l: l, back: true}
	select {
	case l.accept <- b:
		return a, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sever cuts the link and all streams on it.
func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.mute = false, false
}

func (l *link) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *link) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *link) Addr() net.Addr { return &net.UnixAddr{Name: "link"} }

// socketPair returns two ends of a TCP connection.
func socketPair() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	got := make(chan net.Conn, 1)
	go func() { c, _ := l.Accept(); got <- c }()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	return a, <-got, nil
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// counter returns a metric's value.
func counter(c prometheus.Counter) float64 { return testutil.ToFloat64(c) }

func hello(p *Proxy) wire.Hello {
	return wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeSession, From: string(p.cfg.Region), Role: "conduit", Database: "conduit"}
}

func format(dsn string, p *Proxy) string { return fmt.Sprintf(dsn, p.Addr()) }
