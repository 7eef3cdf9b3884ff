package cache

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"meridian/edge/cache/disk"
)

// A Cache answers requests from memory or from the origin. Its methods may be
// called by many goroutines at once.
type Cache struct {
	cfg     Config
	deps    Deps
	store   *store
	tier    *tier // nil: there is no disk
	metrics *metrics
	passes  *marks        // keys that nobody waits for
	fills   *marks        // keys of which conditional requests ask for the whole
	failed  *marks        // keys that the origin failed for
	tickets chan struct{} // one for each refresh
	blind   bool          // tokens are not looked at: the negative control of guarantee 1

	seed maphash.Seed // of marks

	ctx  context.Context // ends with Stop
	stop context.CancelFunc
	work sync.WaitGroup // flights

	mu      sync.Mutex // guards what follows
	flights map[string][]*flight
	loose   map[*flight]struct{} // those that nobody can join
	flying  int64                // bytes of bodies that are on their way
	purging []Purge              // those that are going through what is stored
}

// marks remember something of keys until a time. They hold a hash of each: a
// stranger can make keys, and long ones.
type marks = otter.Cache[uint64, time.Time]

// New returns an empty cache. It fails only if its metrics cannot be registered.
func New(cfg Config, deps Deps) (*Cache, error) {
	c := &Cache{cfg: cfg.defaults(), deps: deps, flights: map[string][]*flight{}, loose: map[*flight]struct{}{}, seed: maphash.MakeSeed()}
	if c.deps.Now == nil {
		c.deps.Now = time.Now
	}
	if c.deps.Log == nil {
		c.deps.Log = slog.New(slog.DiscardHandler)
	}
	if !isToken(c.cfg.Name) {
		c.cfg.Name = item(c.cfg.Name)
	}
	c.store = newStore(c.cfg.Memory, func(key string, r *resource) {
		c.metrics.evicted.Inc()
		if c.tier != nil {
			c.tier.evicted(key, r)
		}
	})
	for _, m := range []**marks{&c.passes, &c.fills, &c.failed} {
		*m = otter.Must(&otter.Options[uint64, time.Time]{MaximumSize: 1 << 15})
	}
	c.tickets = make(chan struct{}, c.cfg.Refreshes)
	c.ctx, c.stop = context.WithCancel(context.Background())
	var err error
	if cfg.Disk.Bytes > 0 {
		if err = c.openDisk(); err != nil {
			return nil, err
		}
	}
	c.metrics, err = newMetrics(deps.Metrics, c)
	return c, err
}

// Stop ends what is being fetched for nobody in particular, and returns once
// nothing is.
func (c *Cache) Stop() {
	c.stop()
	c.work.Wait()
	if c.tier != nil {
		if err := c.tier.Close(); err != nil {
			c.deps.Log.Warn("the cache on disk was not closed: it will be empty", "why", err.Error())
		}
	}
}

// Purge ends the life of stored responses, or makes them stale, and returns how
// many. What is being fetched meanwhile is not stored as fresh either.
func (c *Cache) Purge(p Purge) (n int) { return c.purge(p, nil) }

// purge is Purge, but for what one flight brings.
func (c *Cache) purge(p Purge, but *flight) (n int) {
	c.warn(p, but)
	defer c.done(p)
	now := c.deps.Now()
	counted := map[*disk.Entry]bool{}
	for _, key := range c.store.keys(p) {
		if !c.store.holds(key, p) {
			continue
		}
		n += c.store.change(key, func(o *object) *object {
			switch {
			case !p.concerns(o):
				return o
			case o.on != nil:
				counted[o.on] = true
			}
			switch {
			case p.Soft:
				return o.softened(now)
			}
			return nil
		})
	}
	if c.tier != nil { // after memory: what moved from there meanwhile is found here
		n += c.tier.purge(p, now, counted)
	}
	c.metrics.purged.Add(float64(n))
	return n
}
