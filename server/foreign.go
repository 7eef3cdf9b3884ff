package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/config"
	"meridian/internal/lifecycle"
	"meridian/postgres"
	"meridian/postgres/failover"
	"meridian/postgres/foreign"
)

// factRole is what a region's PostgreSQL says of itself, where somebody else
// runs it: "primary TIMELINE", "standby TIMELINE", or "" if it does not answer.
const factRole = "pg_role"

// addForeign adds a proxy before a PostgreSQL that somebody else runs. There is
// no steward, no lease and no replication of ours: who is primary is theirs to
// say.
func (n *node) addForeign(g *lifecycle.Group) (*postgres.Proxy, error) {
	if err := checkTheirs(n.file); err != nil {
		return nil, err
	}
	path := n.file.Database.Servers[string(n.self.Region)].DSN
	dsn, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("DSN of %s: %w", n.self.Region, err)
	}
	pg, err := foreign.New(strings.TrimSpace(string(dsn)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	watch := pg.Watch(n.nudge)
	proxy, err := n.newProxy(pg.Dial, postgres.Deps{Lease: func() (time.Duration, uint64) {
		role, until := watch.Now()
		if !role.Primary {
			until = 0
		}
		return until, uint64(role.Timeline)
	}})
	if err != nil {
		return nil, err
	}
	g.Add("postgres", watch.Run)
	g.Add("database role", func(ctx context.Context, ready func()) error { return n.tellRole(ctx, watch, pg.Address(), ready) })
	g.Add("migrations", func(ctx context.Context, ready func()) error {
		role, _ := watch.Now()
		return n.migrate(ctx, pg.Dial, role.Primary, ready)
	})
	g.Add("database proxy", proxy.Run)
	g.Add("replay lag", func(ctx context.Context, ready func()) error { return n.tellDatabase(ctx, unknownDoing, proxy, ready) })
	return proxy, nil
}

// unknownDoing is of a PostgreSQL that others run.
func unknownDoing() string { return "" }

// tellRole keeps the fact of what the region's PostgreSQL is.
func (n *node) tellRole(ctx context.Context, watch *foreign.Watch, address string, ready func()) error {
	said := ""
	return lifecycle.Every(ctx, redraw/2, ready, func() {
		role, _ := watch.Now()
		now := roleFact(role)
		n.fact(factRole, now)
		switch {
		case now == said:
		case now == "":
			n.log.Error("the PostgreSQL of this region does not answer", "address", address, "err", watch.Why())
		default:
			n.log.Info("the PostgreSQL of this region", "address", address, "role", now)
		}
		said = now
	})
}

func roleFact(r foreign.Role) string {
	switch {
	case !r.Known:
		return ""
	case r.Primary:
		return fmt.Sprintf("primary %d", r.Timeline)
	}
	return fmt.Sprintf("standby %d", r.Timeline)
}

// foreignPrimary returns the region whose PostgreSQL says that it is the
// primary. Where two say so, the one that was promoted last counts: an old
// primary that nobody has stopped is on a lower timeline.
func (v view) foreignPrimary() (best failover.Record) {
	for _, n := range v.file.Nodes {
		var timeline uint64
		said := v.verdicts[n.Name]
		if !n.Has(config.RoleRegion) || !said.alive {
			continue
		}
		if _, err := fmt.Sscanf(said.facts[factRole], "primary %d", &timeline); err == nil && (best.Region == "" || timeline > best.Term) {
			best = failover.Record{Region: n.Region, Term: timeline}
		}
	}
	return best
}

// checkTheirs refuses to promise for servers that somebody else runs.
func checkTheirs(f *config.File) error {
	if !theirs(f) {
		return nil
	}
	beside := ""
	switch db := f.Database; {
	case db.Backup != nil:
		beside = "database.backup"
	case db.Durability != (meridian.Durability{}):
		beside = "database.durability"
	case slices.ContainsFunc(f.Regions, func(r config.Region) bool { return r.Standbys > 0 }),
		slices.ContainsFunc(f.Nodes, func(n config.Node) bool { return n.Has(config.RoleStandby) }):
		beside = "a further standby"
	default:
		return nil
	}
	return meridian.WithKind(meridian.Invalid, fmt.Errorf("%s: %s stands beside database.servers; expected one of them: what servers that somebody else runs keep is theirs to say", f.Path, beside))
}

// errTheirs refuses what is done with the help of a steward.
var errTheirs = meridian.WithKind(meridian.Invalid, errors.New("somebody else runs this world's PostgreSQL (database.servers): do it there; Meridian follows whoever is primary"))

// theirs reports whether somebody else runs this world's PostgreSQL.
func theirs(f *config.File) bool { return f.Database != nil && len(f.Database.Servers) > 0 }

// withoutLoops leaves the proxy's sessions with Go's poller, to compare.
const withoutLoops = "MERIDIAN_TEST_NO_LOOPS"

// newProxy returns the region's database proxy before a PostgreSQL that local
// dials. Where Outcomes is nil, nobody can tell what became of a statement.
func (n *node) newProxy(local func(context.Context) (net.Conn, error), deps postgres.Deps) (*postgres.Proxy, error) {
	db := n.file.Database
	promise, err := meridian.ParseConsistency(db.Consistency)
	if err != nil {
		return nil, err
	}
	word, err := password(n.file)
	if err != nil {
		return nil, err
	}
	cfg := postgres.Config{
		Region: n.self.Region, Database: db.Name, Role: db.Name,
		Listen:    netip.AddrPortFrom(n.self.Address, n.self.Ports.Postgres).String(),
		MaxServer: db.Connections, QueueTimeout: db.QueueTimeout, LendAfter: db.LendAfter, Consistency: promise, Unreachable: meridian.Unreachable(db.OnUnreachable),
		LocalFunctions: db.LocalFunctions, TransactionPooling: db.Pooling == "transaction",
		Users: map[string]string{db.Name: word},
		// Who writes while the primary is lost hears so at once and tries again:
		// nobody can promise when there will be another.
		NoFailover: true,
	}
	if os.Getenv(withoutLoops) == "1" {
		cfg.Loops = -1
	}
	if deps.Outcomes != nil {
		// What was sent already cannot be tried again: it waits for who can tell.
		cfg.DoubtBudget = doubtBudget
	}
	deps.Local, deps.Remote, deps.Peers, deps.Map = local, n.dialProxy, n.backbone.Listener("pg"), &n.atlas
	deps.Open = n.handing.sockets.Listen
	deps.TLS, deps.Log, deps.Metrics, deps.Tracer = serverTLS(n.shelf.certs.GetCertificate), n.log, n.tele.Metrics, n.tele.Tracer
	return postgres.New(cfg, deps)
}
