package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
)

// The roles that every cluster has beside the application's.
const (
	Superuser   = "meridian"             // for the node's own work, over Dial
	Replication = "meridian_replication" // standbys log in as this
)

// maxSocketDir keeps the longest socket's path below the 107 bytes that a Unix
// socket's address holds.
const maxSocketDir = 60

// A Role is what a cluster is to its region.
type Role string

// The roles.
const (
	Primary Role = "primary" // takes the writes
	Standby Role = "standby" // follows the primary, serves reads
)

// Config says what to run. Region, Dir, SocketDir and Database are needed.
type Config struct {
	Region meridian.Region
	// Further names a standby beside the region's own PostgreSQL, which it
	// follows wherever the primary is: Deps.Upstream connects to that. It is never
	// promoted, and pledges nothing. "" is the region's own.
	Further   string
	Dir       string // the state folder of this region's database
	SocketDir string // at most 60 bytes; made with mode 0700
	Database  string
	Role      string // owns Database; "" is Database's name
	User      string // the system's user to run as, for root only; "" is postgres, or else nobody

	// Outlive lets PostgreSQL go on when this process dies: the next one adopts
	// it. Nobody reaches it meanwhile: its only way in is a proxy.
	Outlive bool

	SharedBuffers  string            // "" is 64MB
	MaxConnections int               // 0 is 100; equal in all regions
	Settings       map[string]string // more of postgresql.conf; these win, except over the guarded ones
}

// Deps is what an instance is given.
type Deps struct {
	// Upstream opens a connection to the PostgreSQL of whoever is primary in
	// the term that this instance follows; 0 if it never followed any.
	// Standbys need it, and so a region that can become one.
	Upstream func(ctx context.Context, term uint64) (net.Conn, error)
	// Near connects to a further standby of this region, which its data is copied
	// from if it is lost. It may be nil.
	Near func(context.Context) (net.Conn, error)
	// Ended returns where the history that all regions follow left a timeline,
	// or 0 if that is not known. With it a former primary that has no more than
	// that need not wait for its successor. It may be nil.
	Ended   func(timeline uint32) meridian.LSN
	Log     *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil counts nothing
}

// An Instance is one PostgreSQL cluster.
type Instance struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	toolbox
	stats metrics

	gate    *gate
	sync    syncNames
	life    life
	trouble chan trouble  // why PostgreSQL said that it cannot follow the primary from here
	chores  chan struct{} // asks for a checkpoint in the background
	running atomic.Int64  // the postmaster's pid; 0 while none runs
	leaving atomic.Bool   // PostgreSQL shall go on without this process

	forgetful bool // a test's negative control: such a copy reports at once
}

// New checks cfg, finds PostgreSQL and reads the pledge. It changes no folder.
func New(cfg Config, deps Deps) (*Instance, error) {
	if cfg.Role == "" {
		cfg.Role = cfg.Database
	}
	if err := cfg.check(); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("database of %s: %w", cfg.Region, err))
	}
	bin, err := Find()
	if err != nil {
		return nil, meridian.WithKind(meridian.Unavailable, err)
	}
	who, err := runAs(cfg.User)
	if err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	in := &Instance{
		cfg: cfg, deps: deps, toolbox: toolbox{bin, who},
		log:     deps.Log.With("hop", "postgres", "region", string(cfg.Region)),
		stats:   newMetrics(deps.Metrics, cfg),
		trouble: make(chan trouble, 1),
		chores:  make(chan struct{}, 1),
	}
	in.gate = newGate(in.savePledge)
	if err := in.gate.restore(in.pledge()); err != nil {
		return nil, err
	}
	return in, nil
}

func (c Config) check() error {
	switch {
	case c.Region == "":
		return errors.New("no region")
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("state folder %q: want an absolute path", c.Dir)
	case !filepath.IsAbs(c.SocketDir):
		return fmt.Errorf("socket folder %q: want an absolute path", c.SocketDir)
	case len(c.SocketDir) > maxSocketDir:
		return fmt.Errorf("socket folder %q: %d bytes, want at most %d", c.SocketDir, len(c.SocketDir), maxSocketDir)
	case c.Role == Superuser || c.Role == Replication:
		return fmt.Errorf("role %q is Meridian's own", c.Role)
	}
	if err := checkName("database", c.Database); err != nil {
		return err
	}
	if err := checkName("role", c.Role); err != nil {
		return err
	}
	return checkSettings(c.Settings)
}

// checkName keeps out what PostgreSQL would cut off or misread.
func checkName(what, name string) error {
	if name == "" || len(name) > 63 || strings.ContainsFunc(name, unicode.IsControl) || strings.HasPrefix(name, "pg_") {
		return fmt.Errorf("%s %q: want 1 to 63 bytes, no control characters, and not pg_ in front", what, name)
	}
	return nil
}

// FurtherSlot names the physical replication slot of a further standby, on its
// region's own PostgreSQL. It begins as no region's does: nobody's commit may
// wait for one, or be taken for safe because of it.
func FurtherSlot(node string) string { return furtherPrefix + Slot(meridian.Region(node)) }

const furtherPrefix = "_"

// slot names the slot from which this instance streams.
func (c Config) slot() string {
	if c.Further != "" {
		return FurtherSlot(c.Further)
	}
	return Slot(c.Region)
}

// Slot names the physical replication slot of a region.
func Slot(r meridian.Region) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(string(r)))
}

func (in *Instance) data() string     { return dataIn(in.cfg.Dir) }
func (in *Instance) partial() string  { return filepath.Join(in.cfg.Dir, "pg.tmp") }
func (in *Instance) upstream() string { return filepath.Join(in.cfg.SocketDir, "upstream") }
func dataIn(dir string) string        { return filepath.Join(dir, "pg") }
func socketIn(dir string) string      { return filepath.Join(dir, ".s.PGSQL.5432") }

// Binaries returns the PostgreSQL that New found.
func (in *Instance) Binaries() Binaries { return in.bin }

// Dial connects to this cluster's private socket, as whichever role then logs
// in: the folder's mode is the guard.
func (in *Instance) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socketIn(in.cfg.SocketDir))
	if err != nil {
		return nil, meridian.WithKind(meridian.Unavailable, fmt.Errorf("PostgreSQL of %s: %w", in.cfg.Region, err))
	}
	return c, nil
}
