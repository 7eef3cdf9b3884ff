package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/config"
	"meridian/gateway"
	"meridian/internal/lifecycle"
	"meridian/internal/sockdir"
	"meridian/lambda"
	"meridian/lambda/bundle"
	"meridian/postgres"
	"meridian/postgres/instance"
	"meridian/postgres/migrate"
)

// addRegion adds the desk, the work and the memory of one region.
func (n *node) addRegion(g *lifecycle.Group) error {
	databases := map[string]lambda.Database{}
	var fate func(context.Context, meridian.Token) meridian.Fate
	var once gateway.Ledger
	if n.file.Database != nil {
		proxy, err := n.addDatabase(g)
		if err != nil {
			return err
		}
		databases[n.file.Database.Name] = proxy
		fate, once = n.fate(proxy), n.addLedger(g, proxy)
	}
	fns, err := n.functions()
	if err != nil {
		return err
	}
	work, err := lambda.New(lambda.Config{Region: n.self.Region, Listen: n.self.Address, Dir: filepath.Join(n.cfg.State, "functions"), Functions: fns},
		lambda.Deps{Databases: databases, Log: n.log, Metrics: n.tele.Metrics, Tracer: n.tele.Tracer})
	if err != nil {
		return err
	}
	g.Add("token keys", n.keepTokenKeys)
	g.Add("functions", work.Run)
	return n.addGateway(g, work, fate, once)
}

func (n *node) addGateway(g *lifecycle.Group, work gateway.Invoker, fate func(context.Context, meridian.Token) meridian.Fate, once gateway.Ledger) error {
	api, err := os.ReadFile(n.file.API)
	if err != nil {
		return fmt.Errorf("read the API: %w", err)
	}
	deps := gateway.Deps{Invoke: work, Verify: n.verify, Open: n.open, TokenKeys: n.sealsTokens, Fate: fate, Ledger: once, Log: n.log, Metrics: n.tele.Metrics, Tracer: n.tele.Tracer}
	if n.file.Database != nil {
		c := newCrossing(n.self.Region, &n.atlas, n.dialGateway)
		g.Add("gateway crossing", c.run)
		deps.Forward, deps.Map = c.to, &n.atlas
	}
	desk, err := gateway.New(gatewayConfig(n.file, n.self.Region, api), deps)
	if err != nil {
		return err
	}
	g.Add("gateway, public", func(ctx context.Context, ready func()) error {
		l, err := n.handing.sockets.Listen(ctx, "tcp", netip.AddrPortFrom(n.self.Address, n.self.Ports.Gateway).String())
		if err != nil {
			return err
		}
		ready()
		return publicGateway(desk, n.file, serverTLS(n.shelf.certs.GetCertificate), n.log).Serve(ctx, l)
	})
	inner := n.backbone.Listener("gateway")
	g.Add("gateway", func(ctx context.Context, ready func()) error {
		return serveHTTP(ctx, ready, nodesServer(desk.Inner(), n.file), inner, drainOf(n.file))
	})
	return nil
}

// addDatabase adds PostgreSQL and its proxy, and on the primary the migrations.
func (n *node) addDatabase(g *lifecycle.Group) (*postgres.Proxy, error) {
	if theirs(n.file) {
		return n.addForeign(g)
	}
	db := n.file.Database
	sockets, err := sockdir.For(n.cfg.State)
	if err != nil {
		return nil, err
	}
	pg, err := instance.New(instance.Config{
		Region: n.self.Region, Dir: databaseIn(n.cfg.State), SocketDir: sockets,
		Database: db.Name, MaxConnections: db.MaxConnections,
		Outlive: n.leash == nil, // an up world leaves nothing behind
	}, instance.Deps{Upstream: n.dialPrimary, Near: n.lender(), Ended: n.ended, Log: n.log, Metrics: n.tele.Metrics})
	if err != nil {
		return nil, err
	}
	n.tenure = n.newTenure()
	proxy, err := n.newProxy(pg.Dial, postgres.Deps{Lease: n.lease(pg), Forks: n.forks, Durability: n.demand, Outcomes: n.outcomes, Horizon: n.horizon, Handed: n.handed, Standbys: n.readers()})
	if err != nil {
		return nil, err
	}
	n.leavePG = pg.Leave
	st := n.newSteward(pg, proxy)
	var role instance.Role
	standbys, further := n.backbone.Listener("pgrepl"), only{n.backbone.Listener(serviceCascade), n.standsByOwn}
	g.Add("primary known", func(ctx context.Context, ready func()) error { return st.learn(ctx, &role, ready) })
	g.Add("postgres", func(ctx context.Context, ready func()) error { return pg.Run(ctx, role, ready) })
	g.Add("replication", func(ctx context.Context, ready func()) error { return st.serveStandbys(ctx, standbys, ready) })
	g.Add("further standbys", func(ctx context.Context, ready func()) error { return st.serveFurther(ctx, further, ready) })
	g.Add("migrations", func(ctx context.Context, ready func()) error {
		return n.migrate(ctx, pg.Dial, pg.Role() == instance.Primary, ready)
	})
	g.Add("database proxy", proxy.Run)
	g.Add("steward", st.start)
	if err := n.addBackup(g, pg); err != nil {
		return nil, err
	}
	g.Add("replay lag", func(ctx context.Context, ready func()) error { return n.tellDatabase(ctx, pg.Doing, proxy, ready) })
	g.Add("sessions", func(ctx context.Context, ready func()) error { return st.yield(ctx, ready, n.handing.stopsForNext) })
	return proxy, nil
}

// migrate applies the migrations, on the primary.
func (n *node) migrate(ctx context.Context, dial func(context.Context) (net.Conn, error), primary bool, ready func()) error {
	if primary && n.file.Database.Migrations != "" {
		applied, err := migrate.Apply(ctx, func(ctx context.Context) (*pgx.Conn, error) {
			c, err := pgx.ParseConfig(fmt.Sprintf("host=/postgres user=%s database=%s sslmode=disable", n.file.Database.Name, n.file.Database.Name))
			if err != nil {
				return nil, err
			}
			c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
			return pgx.ConnectConfig(ctx, c)
		}, os.DirFS(n.file.Database.Migrations))
		if err != nil {
			return fmt.Errorf("migrations of %s: %w", n.file.Database.Name, err)
		}
		n.log.Info("migrations", "applied", applied)
	}
	ready()
	<-ctx.Done()
	return nil
}

// tellDatabase keeps the facts of what this region's PostgreSQL does, and of how
// far its standbys are behind.
func (n *node) tellDatabase(ctx context.Context, doing func() string, proxy *postgres.Proxy, ready func()) error {
	tell := func(fact string, lag time.Duration) {
		value := ""
		if lag >= 0 {
			value = strconv.FormatInt(lag.Milliseconds(), 10)
		}
		n.fact(fact, value)
	}
	return lifecycle.Every(ctx, redraw, ready, func() {
		n.fact(factPG, doing())
		tell(factLag, proxy.ReplayLag())
		for name, lag := range proxy.StandbyLags(ctx) {
			tell(factLagOf(name), lag)
		}
	})
}

// dialPrimary opens a connection to the primary's PostgreSQL, for replication.
// It is of the term that the standby follows; before it follows any, of the one
// that is known here.
func (n *node) dialPrimary(ctx context.Context, term uint64) (net.Conn, error) {
	if term == 0 {
		r, _, _ := n.tenure.now()
		term = r.Term
	}
	p, ok := n.atlas.Now().Primary()
	if !ok {
		return nil, meridian.WithKind(meridian.PrimaryUnavailable, errors.New("no region is primary"))
	}
	c, err := n.backbone.Dial(ctx, p.Node, "pgrepl")
	if err != nil {
		return nil, err
	}
	return greetFirst(c, term)
}

// dialProxy opens a stream to another region's database proxy.
func (n *node) dialProxy(ctx context.Context, region meridian.Region) (net.Conn, error) {
	o, err := nodeOf(n.world(), config.RoleRegion, region)
	if err != nil {
		return nil, err
	}
	return n.backbone.Open(ctx, o.Name, "pg")
}

// functions returns what the file says of the functions. As root, each runs as
// a user of its own: one that is its alone among all regions of a machine.
func (n *node) functions() (out []lambda.Function, err error) {
	for i, fn := range n.file.Functions {
		env, err := environment(n.file, fn)
		if err != nil {
			return nil, err
		}
		if fn.Go != "" {
			return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("function %s: nodes do not compile; `meridian build` makes what `binary:` wants", fn.Name))
		}
		b, err := bundle.Build(context.Background(), bundle.Source{Name: fn.Name, Binary: fn.Binary, Zip: fn.Zip}, filepath.Join(n.cfg.State, "bundles"))
		if err != nil {
			return nil, err
		}
		f := lambda.Function{
			Name: fn.Name, Bundle: b.Dir, Timeout: fn.Timeout, MemoryMiB: int(fn.Memory >> 20), Concurrency: fn.Concurrency,
			Min: fn.Min, Max: fn.Max, Idle: fn.Idle, Env: env,
		}
		if n.file.Database != nil {
			f.Databases = []string{n.file.Database.Name}
		}
		if os.Getuid() == 0 {
			f.UID = functionUser(n.self.Address, i)
		}
		out = append(out, f)
	}
	return out, nil
}

// firstUser is above what systems give to people and services.
const firstUser = 1 << 20

// functionUser returns the user of the ith function at an address.
func functionUser(a netip.Addr, i int) int {
	b := a.As16()
	return firstUser + (int(b[13])<<8|int(b[14]))<<8 + i
}

// Build makes the bundle of a function in dir and returns its executable.
func Build(ctx context.Context, fn config.Function, dir string) (string, error) {
	b, err := bundle.Build(ctx, bundle.Source{Name: fn.Name, Go: fn.Go, Binary: fn.Binary, Zip: fn.Zip}, dir)
	if err != nil {
		return "", err
	}
	return filepath.Join(b.Dir, "bootstrap"), nil
}
