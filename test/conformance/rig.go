package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"meridian"
	"meridian/internal/delay"
	"meridian/internal/pki"
	"meridian/postgres"
	"meridian/postgres/pgtest"
	"meridian/topology"
)

const (
	database = "conduit"
	password = "secret"
	near     = meridian.Region("us-east-1") // the primary's
	far      = meridian.Region("eu-west-1")
)

// A rig is a primary, a standby that streams from it, their proxies, and three
// ways to the database.
type rig struct {
	ways []way
	ca   string // the file of the authority that signed the proxies' certificate

	stop    context.CancelFunc
	running sync.WaitGroup
	servers []*pgtest.Server
	dir     string
}

// A way is one way to the database. ca is the file of who signed its certificate,
// "" where it speaks no TLS.
type way struct{ name, addr, ca, pooling string }

func (w way) url() string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", database, password, w.addr, database)
}

func (w way) environment() []string {
	host, port, _ := net.SplitHostPort(w.addr)
	return []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + database, "PGPASSWORD=" + password, "PGDATABASE=" + database,
		"PGSSLMODE=disable", "DATABASE_URL=" + w.url(), "PG=" + w.url(), "PGX_TEST_DATABASE=" + w.url(),
		"PGX_TEST_CONN_STRING=" + w.url(), "PGX_TEST_TCP_CONN_STRING=" + w.url(), "WAY=" + w.name, "CA=" + w.ca, "POOLING=" + w.pooling}
}

func (r *rig) chosen(name string) (ways []way) {
	for _, w := range r.ways {
		if name == "" || name == w.name {
			ways = append(ways, w)
		}
	}
	return ways
}

func newRig(ctx context.Context, o options) (_ *rig, err error) {
	ctx, stop := context.WithCancel(ctx)
	r := &rig{stop: stop}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.dir, err = os.MkdirTemp("", "conformance-"); err != nil {
		return nil, err
	}
	primary, err := pgtest.Start(database)
	if err != nil {
		return nil, err
	}
	r.servers = append(r.servers, primary)
	// Drivers' suites make roles and extensions.
	if err := primary.Exec("postgres", "ALTER ROLE "+database+" SUPERUSER"); err != nil {
		return nil, err
	}
	standby, err := primary.Standby(string(far))
	if err != nil {
		return nil, err
	}
	r.servers = append(r.servers, standby)
	if o.lag > 0 {
		if err := lagging(standby, o.lag); err != nil {
			return nil, err
		}
	}
	return r, r.connect(ctx, primary, standby, o)
}

// connect makes the ways. What is called direct is a bare relay, so that every
// way is one of TCP.
func (r *rig) connect(ctx context.Context, primary, standby *pgtest.Server, o options) error {
	mode, err := meridian.ParseConsistency(o.consistency)
	if err != nil {
		return err
	}
	rtt := o.rtt
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.running.Go(func() { r.relay(ctx, l, primary) })
	r.ways = append(r.ways, way{"direct", l.Addr().String(), "", o.pooling})
	secure, err := r.tls()
	if err != nil {
		return err
	}
	peers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cfg := func(region meridian.Region) postgres.Config {
		return postgres.Config{Region: region, Consistency: mode, TransactionPooling: o.pooling == "transaction"}
	}
	var topo topology.Map
	topo.Publish(&topology.Snapshot{
		Regions: []topology.Region{{Name: near, Primary: true, Healthy: true}, {Name: far, Healthy: true}},
		Links:   []topology.Link{{From: near, To: far, RTT: rtt}},
	})
	links, line := delay.NewGroup(delay.NewClock()), delay.NewLine(rtt, rtt)
	if err := r.proxy(ctx, "primary", o.transactions, cfg(near), postgres.Deps{Local: primary.Dial, Map: &topo, Peers: peers, TLS: secure}); err != nil {
		return err
	}
	return r.proxy(ctx, "secondary", o.transactions, cfg(far), postgres.Deps{Local: standby.Dial, Map: &topo, TLS: secure,
		Remote: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
			return links.Dial(ctx, line, func(ctx context.Context) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", peers.Addr().String())
			})
		}})
}

// lagging makes a standby show each commit so much later.
func lagging(standby *pgtest.Server, lag time.Duration) error {
	for _, sql := range []string{fmt.Sprintf("ALTER SYSTEM SET recovery_min_apply_delay = %d", lag.Milliseconds()), "SELECT pg_reload_conf()"} {
		if err := standby.Exec("postgres", sql); err != nil {
			return err
		}
	}
	return nil
}

// proxy runs a region's proxy. transactions is what its clients ask for, "" for nothing.
func (r *rig) proxy(ctx context.Context, name, transactions string, cfg postgres.Config, deps postgres.Deps) error {
	cfg.Database, cfg.Listen, cfg.MaxServer, cfg.Users = database, "127.0.0.1:0", 50, map[string]string{database: password}
	p, err := postgres.New(cfg, deps)
	if err != nil {
		return err
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	r.running.Go(func() { ended <- p.Run(ctx, func() { close(ready) }) })
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	addr := p.Addr().String()
	if transactions != "" {
		if addr, err = r.front(ctx, "meridian.transactions", transactions, addr); err != nil {
			return err
		}
	}
	r.ways = append(r.ways, way{name, addr, r.ca, r.ways[0].pooling})
	return nil
}

// tls returns what the proxies show to clients that ask for it.
func (r *rig) tls() (*tls.Config, error) {
	ca, err := pki.Create(r.dir, "node")
	if err != nil {
		return nil, err
	}
	certFile, keyFile, err := ca.IssueServer("localhost")
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	r.ca = filepath.Join(r.dir, "ca.pem")
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// relay copies bytes between TCP and the server's socket until ctx is canceled.
func (r *rig) relay(ctx context.Context, l net.Listener, s *pgtest.Server) {
	serve(ctx, l, s.Dial, func(a, b net.Conn) error { return nil })
}

// serve copies bytes between a listener's clients and a server, once begin has
// passed on what comes first.
func serve(ctx context.Context, l net.Listener, dial func(context.Context) (net.Conn, error), begin func(a, b net.Conn) error) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		a, err := l.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer a.Close()
			b, err := dial(ctx)
			if err != nil {
				return
			}
			defer b.Close()
			defer context.AfterFunc(ctx, func() { a.Close(); b.Close() })()
			if begin(a, b) != nil {
				return
			}
			done := make(chan struct{})
			go func() { io.Copy(b, a); b.Close(); close(done) }()
			io.Copy(a, b)
			a.Close()
			<-done
		})
	}
}

func (r *rig) close() {
	r.stop()
	r.running.Wait()
	var errs []error
	for i := len(r.servers) - 1; i >= 0; i-- {
		errs = append(errs, r.servers[i].Stop())
	}
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
}
