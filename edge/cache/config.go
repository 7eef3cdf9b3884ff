package cache

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Config is what an operator may say of a cache. A zero field means its
// default.
type Config struct {
	Name   string // in Cache-Status
	Memory int64  // bytes of responses that are kept; 0 means 256 MiB
	Object int64  // bytes of the largest body that is kept; 0 means 16 MiB
	Disk   Disk   // where what memory has no room for goes
	Flying int64  // bytes of bodies that are on their way, kept for others; 0 means a quarter of Memory

	Refreshes  int           // asked of the origin behind clients' backs at once; 0 means 64
	StaleAfter time.Duration // the origin's silence that counts as an error for stale-if-error; 0 means 2 s
	RetryAfter time.Duration // until an origin that failed is asked again for the same, where it may be stale; 0 means 1 s
	PassFor    time.Duration // for which what could not be stored is not waited for by others; 0 means 10 s
}

func (c Config) defaults() Config {
	orDefault(&c.Name, "meridian")
	orDefault(&c.Memory, 256<<20)
	orDefault(&c.Object, min(16<<20, c.Memory/4))
	orDefault(&c.Flying, c.Memory/4)
	orDefault(&c.Refreshes, 64)
	orDefault(&c.StaleAfter, 2*time.Second)
	orDefault(&c.RetryAfter, time.Second)
	orDefault(&c.PassFor, 10*time.Second)
	return c
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// A Disk says where on disk responses go.
type Disk struct {
	Dir   string // a folder of its own
	Bytes int64  // of files at most; 0 means none
	Node  string // whose folder it is
}

// Deps is what the program provides. All may be nil.
type Deps struct {
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer

	// Invalidated hears of what an unsafe request ended the life of, after it is
	// ended here. It must not block.
	Invalidated func(Purge)
}
