package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
)

// A link is this edge's connections to one region. Its keeper, run, dials them
// ahead and replaces those that end.
type link struct {
	region meridian.Region
	cfg    Config
	deps   Deps
	rtt    func() time.Duration // to the region; 0 if unknown
	memory *memory

	kick   chan struct{} // buffered: look again now
	sense  sense         // how late the region answers
	ever   atomic.Bool   // it stood once
	hushed atomic.Bool   // the region fell silent; set by attend alone
	turn   atomic.Uint32 // spreads requests over equally loaded connections

	listened, awake time.Time // of attend alone: the last listening, and the last after a standstill

	mu      sync.Mutex    // guards what follows
	conns   []*conn       // to take requests from
	ending  []*conn       // told to go away by the region, and still answering
	changed chan struct{} // closed, and made anew, after every dial
	fails   int           // dials that failed, ever
	err     error         // of the newest failed dial
	up      hope          // lost when the map says the region is down
	hope    hope          // lost when all connections were silent for so long that nothing is waited for; see Leave
}

// Intervals of a keeper. It looks after its connections at a constant pace,
// whatever the load, and sooner when it is kicked.
const (
	keepEvery  = 500 * time.Millisecond
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

func newLink(region meridian.Region, cfg Config, deps Deps, rtt func() time.Duration, m *memory) *link {
	l := &link{
		region: region, cfg: cfg, deps: deps, rtt: rtt, memory: m, listened: time.Now(),
		kick: make(chan struct{}, 1), changed: make(chan struct{}), up: newHope(), hope: newHope(),
	}
	return l
}

// run keeps the link's connections until ctx is canceled.
func (l *link) run(ctx context.Context) {
	defer l.close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.attend(ctx) })
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	pause, next := firstRetry, time.Time{}
	for {
		if n := l.prune(); n > 0 && !time.Now().Before(next) {
			if l.fill(ctx, n) == nil {
				pause, next = firstRetry, time.Time{}
			} else {
				pause, next = min(2*pause, lastRetry), time.Now().Add(pause)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
			next = time.Time{}
		case <-tick.C:
		case <-at(next):
		}
	}
}

// attend listens until ctx is canceled.
func (l *link) attend(ctx context.Context) {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.listen(time.Now())
		}
	}
}

// at returns a channel that fires at t, or never if t is zero.
func at(t time.Time) <-chan time.Time {
	if t.IsZero() {
		return nil
	}
	return time.After(time.Until(t))
}

// prune drops the connections that ended, sets aside those that the region
// wants to end, and returns how many are missing.
func (l *link) prune() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = slices.DeleteFunc(l.conns, func(c *conn) bool {
		if c.open() {
			return false
		}
		l.ending = append(l.ending, c)
		return true
	})
	l.ending = slices.DeleteFunc(l.ending, func(c *conn) bool {
		if c.done() {
			c.Close()
			return true
		}
		return false
	})
	return l.cfg.Connections - len(l.conns)
}

// fill dials n connections. The first is dialed alone, so that a region that
// is down costs one dial and not n.
func (l *link) fill(ctx context.Context, n int) error {
	if err := l.dial(ctx); err != nil {
		return err
	}
	errs := make([]error, n-1)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = l.dial(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// dial makes one connection and puts it to use.
func (l *link) dial(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	every := Pace(l.cfg.Silence, l.cfg.PingEvery, l.rtt())
	c, err := connect(wait, transport(l.region, l.cfg, every, l.deps, &l.sense.pulse), l.region)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			c.Close()
		}
		return ctx.Err()
	case err != nil && l.ever.Load(): // what never stood cannot break: it is merely cold
		l.memory.fail(l.region, ByLink, fmt.Sprintf("cannot be reached: %v", err), time.Now())
	case err == nil:
		c.every = every
		c.SetStateHook(func(cc *http.ClientConn) {
			if cc.Err() != nil {
				l.look()
			}
		})
		l.ever.Store(true)
		l.memory.linked(l.region, time.Now())
	}
	l.settle(c, err)
	return err
}

// settle notes how a dial went, and wakes those who wait for it.
func (l *link) settle(c *conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.conns = append(l.conns, c)
	} else {
		l.fails, l.err = l.fails+1, err
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// look makes the keeper look after its connections now.
func (l *link) look() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// pick returns the connection with the fewest requests, or nil if none takes
// any. A full one is taken only if all are, a silent one only if all are.
func (l *link) pick() (best *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	least, room, heard := 0, false, false
	start := int(l.turn.Add(1))
	for i := range l.conns {
		c := l.conns[(start+i)%len(l.conns)]
		free, flying, open := c.load()
		speaks := !c.ear.silent()
		if open && (best == nil || speaks && !heard || speaks == heard && (free > 0 && !room || (free > 0) == room && flying < least)) {
			best, least, room, heard = c, flying, free > 0, speaks
		}
	}
	return best
}

// state reports whether a request would find a connection.
func (l *link) state() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.conns, (*conn).open) {
		return Ready
	}
	return Cold
}

// await returns a connection. If there is none it waits for the keeper's next
// dial, and returns that dial's error if it fails.
func (l *link) await(ctx context.Context) (*conn, error) {
	l.mu.Lock()
	before := l.fails
	l.mu.Unlock()
	for {
		l.mu.Lock()
		changed, fails, err := l.changed, l.fails, l.err
		l.mu.Unlock()
		if c := l.pick(); c != nil {
			return c, nil
		}
		if fails > before {
			return nil, err
		}
		l.look()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a connection: %w", context.Cause(ctx))
		}
	}
}

// setDown notes whether the map says that the region is down, and another is not.
func (l *link) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up.set(!down)
}

// whileUp returns a context that ends when the map says the region is down.
func (l *link) whileUp() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up.ctx
}

// whileHoped returns a context that ends when nothing is expected any more of
// what the region was sent.
func (l *link) whileHoped() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hope.ctx
}

func (l *link) close() {
	l.mu.Lock()
	conns := append(l.conns, l.ending...)
	l.conns, l.ending = nil, nil
	l.up.lose()
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}
