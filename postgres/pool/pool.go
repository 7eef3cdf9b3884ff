package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// A Config says how many connections a pool may have.
type Config struct {
	Database string
	Max      int           // connections at once; default 80
	Idle     int           // of them kept warm when nobody uses them; default 16
	IdleFor  time.Duration // how long a warm one is kept; default 5 min
	Queue    time.Duration // how long a caller waits for a place; default 10 s
	Waits    func()        // called before a caller waits for a place or a new connection; default nil
	Short    func(n int)   // called while n callers wait for a place, again after AskAgain: somebody may give one back; default nil
	AskAgain time.Duration
}

func (c Config) withDefaults() Config {
	if c.Max == 0 {
		c.Max = 80
	}
	if c.Idle == 0 {
		c.Idle = 16
	}
	if c.IdleFor == 0 {
		c.IdleFor = 5 * time.Minute
	}
	if c.Queue == 0 {
		c.Queue = 10 * time.Second
	}
	return c
}

// A Pool hands out backends. Its methods may be called by many goroutines.
type Pool struct {
	cfg  Config
	dial func(context.Context) (net.Conn, error)
	era  atomic.Uint64 // how often it was renewed

	mu     sync.Mutex // guards what follows
	open   int        // places taken: backends in use and warm, and those being dialled
	idle   []*Backend // warm, the longest idle first
	queue  line
	asking bool // for places
	closed bool
}

// Stats counts a pool's connections.
type Stats struct{ Open, Idle, Queued int }

// New returns an empty pool whose connections dial makes.
func New(cfg Config, dial func(context.Context) (net.Conn, error)) *Pool {
	return &Pool{cfg: cfg.withDefaults(), dial: dial}
}

// Run closes connections that were idle for too long, and all idle ones when
// ctx is canceled. Backends in use are closed by those who use them.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(p.cfg.IdleFor / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.closed = true
			p.mu.Unlock()
			p.expire(time.Time{}, true)
			return
		case now := <-tick.C:
			p.expire(now.Add(-p.cfg.IdleFor), false)
		}
	}
}

func (p *Pool) expire(before time.Time, all bool) {
	p.mu.Lock()
	var old []*Backend
	p.idle = slices.DeleteFunc(p.idle, func(b *Backend) bool {
		if all || b.since.Before(before) {
			old = append(old, b)
			return true
		}
		return false
	})
	for range old {
		p.freeLocked()
	}
	p.mu.Unlock()
	for _, b := range old {
		b.Conn.Close()
	}
}

// Flush closes all warm connections: the PostgreSQL behind them changed.
func (p *Pool) Flush() { p.expire(time.Time{}, true) }

// Renew has nobody get a backend that has logged in before: what a new one begins
// with has changed.
func (p *Pool) Renew() {
	p.era.Add(1)
	p.Flush()
}

// Acquire returns a backend for a role and its start-up parameters, warm if
// there is one. When all places are taken it waits its turn: who is for whom, a
// function or a person, and all of them get places in turn. The error's kind
// is Throttled if no place came free in time, Unavailable if PostgreSQL cannot
// be reached; what PostgreSQL itself refuses is a *wire.Error.
func (p *Pool) Acquire(ctx context.Context, who, role string, params []wire.Param) (*Backend, error) {
	key := keyOf(role, params)
	b, err := p.place(ctx, who, key)
	if b != nil || err != nil {
		return b, err
	}
	p.waits()
	era := p.era.Load()
	b, err = Connect(ctx, p.dial, role, p.cfg.Database, params)
	if err != nil {
		p.free()
		var refused *wire.Error
		if !errors.As(err, &refused) {
			err = meridian.WithKind(meridian.Unavailable, err)
		}
		return nil, err
	}
	b.pool, b.key, b.era = p, key, era
	return b, nil
}

// place returns a warm backend, or nil and the right to dial one.
func (p *Pool) place(ctx context.Context, who, key string) (*Backend, error) {
	for {
		p.mu.Lock()
		b := p.warmLocked(key)
		if b == nil {
			break
		}
		p.mu.Unlock()
		if b.alive() {
			return b, nil
		}
		b.Conn.Close()
		p.free()
	}
	defer p.mu.Unlock()
	if p.open < p.cfg.Max {
		p.open++
		return nil, nil
	}
	if victim := p.evictLocked(); victim != nil {
		victim.Conn.Close()
		return nil, nil // its place is ours
	}
	turn := make(chan struct{}, 1)
	p.queue.join(who, turn)
	if p.cfg.Short != nil && !p.asking {
		p.asking = true
		go p.ask()
	}
	p.mu.Unlock()
	p.waits()
	err := p.wait(ctx, turn)
	p.mu.Lock()
	if err != nil {
		p.leaveLocked(turn)
	}
	return nil, err
}

// ask has those who hold places asked for them, for as long as somebody waits.
func (p *Pool) ask() {
	again := time.NewTicker(p.cfg.AskAgain)
	defer again.Stop()
	for ; ; <-again.C {
		p.mu.Lock()
		n := p.queue.n
		p.asking = n > 0
		p.mu.Unlock()
		if n == 0 {
			return
		}
		p.cfg.Short(n)
	}
}

func (p *Pool) waits() {
	if p.cfg.Waits != nil {
		p.cfg.Waits()
	}
}

// wait waits for a place that somebody hands over.
func (p *Pool) wait(ctx context.Context, turn <-chan struct{}) error {
	deadline := time.NewTimer(p.cfg.Queue)
	defer deadline.Stop()
	select {
	case <-turn:
		return nil
	case <-deadline.C:
		return meridian.WithKind(meridian.Throttled, fmt.Errorf("all %d server connections are in use, none came free in %v", p.cfg.Max, p.cfg.Queue))
	case <-ctx.Done():
		return meridian.WithKind(meridian.Canceled, fmt.Errorf("wait for a server connection: %w", ctx.Err()))
	}
}

// warmLocked takes the most recently used idle backend of that key.
func (p *Pool) warmLocked(key string) *Backend {
	for i := len(p.idle) - 1; i >= 0; i-- {
		if b := p.idle[i]; b.key == key {
			p.idle = slices.Delete(p.idle, i, i+1)
			b.once.Store(new(sync.Once))
			return b
		}
	}
	return nil
}

// evictLocked takes the longest idle backend of any key, to be closed.
func (p *Pool) evictLocked() *Backend {
	if len(p.idle) == 0 {
		return nil
	}
	b := p.idle[0]
	p.idle = slices.Delete(p.idle, 0, 1)
	return b
}

// release keeps a clean backend warm, unless somebody waits: the place then
// goes to the next in the queue, whose parameters may well be others.
func (p *Pool) release(b *Backend, clean bool) {
	p.mu.Lock()
	keep := clean && !b.Old() && !p.closed && len(p.idle) < p.cfg.Idle && p.queue.n == 0
	if keep {
		b.since = time.Now()
		p.idle = append(p.idle, b)
	} else {
		p.freeLocked()
	}
	p.mu.Unlock()
	if !keep {
		b.Conn.Close()
	}
}

func (p *Pool) free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freeLocked()
}

// freeLocked hands a place to the next in the queue, or gives it up.
func (p *Pool) freeLocked() {
	if turn := p.queue.next(); turn != nil {
		turn <- struct{}{}
		return
	}
	p.open--
}

// leaveLocked takes a waiter out of the queue, or passes on the place that it
// was given as it gave up.
func (p *Pool) leaveLocked(turn chan struct{}) {
	if !p.queue.leave(turn) {
		p.freeLocked()
	}
}

// FirstComeFirstServed is a negative control: the places do not go round any
// more.
func (p *Pool) FirstComeFirstServed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.oneForAll = true
}

// Stats returns the pool's counts.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Open: p.open, Idle: len(p.idle), Queued: p.queue.n}
}
