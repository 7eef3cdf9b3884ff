package postgres

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/internal/loop"
	"meridian/postgres/classify"
	"meridian/postgres/pool"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A Proxy is the database hop of one region. Its methods may be called by many
// goroutines at once.
type Proxy struct {
	cfg  Config
	deps Deps

	verdicts  *classify.Cache
	judge     session.Judge // verdicts, but in a negative control
	replicas  []*replica    // the region's own first
	pool      *pool.Pool    // of the region's own
	watch     *watch        // of the same
	catalogue *catalogue
	probe     *probe
	gate      *barrier
	loops     *loop.Group // over which sessions run; nil: they are goroutines
	tls       *tls.Config // Deps.TLS, with PostgreSQL's name for ALPN; nil: clients get no TLS
	outcomes  outcomes
	senders   senders
	standIns  sync.WaitGroup
	metrics   *metrics

	mu       sync.Mutex // guards what follows
	users    map[string]*user
	envs     map[string]*env
	sessions map[wire.Key]*client
	peers    map[string]*peer // by session id
	nextPID  uint32
	addr     net.Addr

	lostTokens meridian.Token // the last that was logged

	unflushed atomic.Bool // commits may be acknowledged before they are flushed
	controls
}

// A user is a name that may log in.
type user struct {
	role     string
	verifier wire.Verifier
	env      *env // nil for people
}

// New returns the proxy of a region.
func New(cfg Config, deps Deps) (*Proxy, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	deps, err = deps.withDefaults()
	if err != nil {
		return nil, err
	}
	deps.Log = deps.Log.With("hop", "postgres", "region", cfg.Region)
	p := &Proxy{
		cfg: cfg, deps: deps, verdicts: classify.NewCache(),
		users: map[string]*user{}, envs: map[string]*env{}, sessions: map[wire.Key]*client{}, peers: map[string]*peer{},
	}
	p.judge = p.verdicts
	if cfg.Loops > 0 {
		p.loops = loop.New(cfg.Loops)
	}
	for _, s := range slices.Concat([]Standby{{Dial: deps.Local}}, deps.Standbys) {
		r := &replica{name: s.Name, dial: s.Dial, pool: p.newPool(s.Dial)}
		r.watch = newWatch(p, r)
		p.replicas = append(p.replicas, r)
	}
	p.pool, p.watch = p.own().pool, p.own().watch
	p.catalogue, p.probe = newCatalogue(p), newProbe(p)
	p.gate = newGate(p)
	if deps.TLS != nil {
		p.tls = deps.TLS.Clone()
		p.tls.NextProtos = []string{alpn}
	}
	p.outcomes.p = p
	if p.metrics, err = newMetrics(p); err != nil {
		return nil, fmt.Errorf("postgres: register metrics: %w", err)
	}
	for name, password := range cfg.Users {
		v, err := wire.NewVerifier(password)
		if err != nil {
			return nil, fmt.Errorf("postgres: user %s: %w", name, err)
		}
		p.users[name] = &user{role: name, verifier: v}
	}
	return p, nil
}

// newPool returns an empty pool of connections that dial makes.
func (p *Proxy) newPool(dial func(context.Context) (net.Conn, error)) (made *pool.Pool) {
	cfg := pool.Config{Database: p.cfg.Database, Max: p.cfg.MaxServer, Queue: p.cfg.QueueTimeout, Waits: p.loops.Slow}
	if p.cfg.LendAfter > 0 {
		cfg.Short, cfg.AskAgain = func(n int) { p.lend(made, n) }, p.cfg.LendAfter/4
	}
	made = pool.New(cfg, dial)
	return made
}

// Run serves clients and peers until ctx is canceled. It calls ready once it
// listens; PostgreSQL need not be up by then.
func (p *Proxy) Run(ctx context.Context, ready func()) error {
	open := p.deps.Open
	if open == nil {
		open = new(net.ListenConfig).Listen
	}
	l, err := open(ctx, "tcp", p.cfg.Listen)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	p.mu.Lock()
	p.addr = l.Addr()
	p.mu.Unlock()
	var parts sync.WaitGroup
	for _, run := range []func(context.Context){p.catalogue.run, p.probe.run, p.gate.run} {
		parts.Go(func() { run(ctx) })
	}
	for _, r := range p.replicas {
		parts.Go(func() { r.pool.Run(ctx) })
		parts.Go(func() { r.watch.run(ctx) })
	}
	parts.Go(func() { p.accept(ctx, adopting{l, p.loops}, p.serveClient) })
	if p.deps.Peers != nil {
		parts.Go(func() { p.accept(ctx, p.deps.Peers, p.servePeer) })
	}
	ready()
	parts.Wait()
	p.standIns.Wait()
	p.loops.Close()
	return nil
}

// Addr returns where Run listens for clients, once it does.
func (p *Proxy) Addr() net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// accept serves each connection of l in a goroutine of its own. When ctx is
// canceled it closes l and all connections, and returns once all are served.
func (p *Proxy) accept(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if conn != nil {
				conn.Close()
			}
			return
		}
		if err != nil { // too many open files, mostly: it passes
			p.deps.Log.Error("cannot accept", "error", err)
			pause(ctx, 50*time.Millisecond)
			continue
		}
		conns.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			defer func() {
				if r := recover(); r != nil {
					p.deps.Log.Error("a connection broke the proxy's code", "panic", r, "stack", string(debug.Stack()))
				}
			}()
			serve(ctx, conn)
		})
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// primary returns the primary's region, and whether it is this one.
func (p *Proxy) primary() (region meridian.Region, here bool) {
	regions := p.deps.Map.Now().Regions
	for i := range regions { // each message asks: nothing is copied
		if regions[i].Primary {
			return regions[i].Name, regions[i].Name == p.cfg.Region
		}
	}
	return "", false
}

// term returns the primary's term, as the map says.
func (p *Proxy) term() uint64 {
	r, _ := p.deps.Map.Now().Primary()
	return r.Term
}

// away says why the primary cannot be asked now, or "".
func (p *Proxy) away() string {
	region, here := p.primary()
	switch {
	case here:
		return ""
	case region == "":
		return "no region is primary"
	}
	return p.probe.away(region)
}

// Position returns how far the local PostgreSQL has come: on a standby what
// may have been read there, on the primary what is flushed.
func (p *Proxy) Position(ctx context.Context) (meridian.Token, error) {
	s, err := p.watch.sample(ctx)
	return s.seen, err
}

// ReplayLag returns how far the local standby is behind the primary: the time
// since the newest instant of which it is known that all that was flushed then
// is replayed here. It is 0 on the primary, and -1 if nothing is known.
func (p *Proxy) ReplayLag() time.Duration {
	if _, here := p.primary(); here {
		return 0
	}
	return p.probe.lag()
}

// secret returns n random bytes in hexadecimal.
func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
