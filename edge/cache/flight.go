package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"meridian"
)

// A flight is a request to the origin whose answer may be stored. Many wait for
// one, and read its body as it comes.
type flight struct {
	key        string
	host, path string
	header     http.Header // of the request that began it
	began      time.Time
	floor      meridian.Tokens // what it asked the origin for
	cancel     context.CancelCauseFunc
	done       chan struct{} // closed once what follows is known

	obj       *object        // it may be shared
	lead      io.ReadCloser  // of obj.body, whose beginning it keeps until all who waited read it
	full      http.Header    // what who leads gets, and nobody else; nil: all get obj.header
	direct    *http.Response // it may not: it is the leader's alone
	err       error
	fwdStatus int
	kept      bool // it is stored, or will be
	valid     bool // what was stored holds still
	why       string

	moved atomic.Int64 // when the newest bytes of its body came, in unix nanoseconds

	// What follows is guarded by Cache.mu.
	waiting int  // who wait for done, or have not taken yet what it brought
	goesOn  bool // though nobody waits
	settled bool // done is closed
	left    bool // who leads is gone
	freed   bool // direct is closed, for that
	purges  []Purge
}

var (
	errLeft    = errors.New("nobody waits for it any more")
	errStopped = errors.New("the cache stops")
)

// An OriginError is an answer of the origin that says that it failed.
type OriginError struct{ Status int }

func (e *OriginError) Error() string { return "the origin answered " + http.StatusText(e.Status) }

// maxFlights bounds how many flights of one key are looked at. Where there are
// more, nearly each request has a variant of its own.
const maxFlights = 32

// join returns a flight to wait for: one that goes to the same place, began
// late enough, and brings the same variant as far as is known; or a new one that
// the caller leads. It returns nil if something else is stored by now than the
// caller saw, and alone if there are too many.
func (c *Cache) join(ctx context.Context, q *Request, key string, saw *object) (f *flight, fctx context.Context, alone bool) {
	now := c.deps.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.selects(key)
	for _, f := range c.flights[key] {
		if !f.began.Before(q.After) && !f.purged() && !f.useless(now) && alike(known, f.header, q.Header) {
			f.waiting++
			return f, nil, false
		}
	}
	if o, _ := c.store.get(key).pick(q); o != nil && o != saw {
		return nil, nil, false
	}
	if len(c.flights[key]) >= maxFlights {
		return nil, nil, true
	}
	f = &flight{key: key, host: q.Host, path: q.Path, header: q.Header, began: now, floor: q.Tokens, done: make(chan struct{}), waiting: 1}
	fctx, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	c.flights[key] = append(c.flights[key], f)
	return f, fctx, false
}

// stalled is how long no byte came of a body that nobody new waits for: another
// request may bring it.
const stalled = 10 * time.Second

// useless reports whether what a flight brought is of no use to who comes now. It
// is called with the Cache's mu held.
func (f *flight) useless(now time.Time) bool {
	if !f.settled {
		return false
	}
	if f.obj == nil || f.obj.body.broken() {
		return true
	}
	_, whole := f.obj.body.whole()
	return !whole && now.Sub(time.Unix(0, f.moved.Load())) >= stalled
}

// selects returns the headers that answers under a key depend on, as far as those
// that are stored or on their way say so. It is called with mu held.
func (c *Cache) selects(key string) (names []string) {
	add := func(o *object) {
		for _, s := range o.selector {
			if !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
		}
	}
	for _, f := range c.flights[key] {
		if f.settled && f.obj != nil {
			add(f.obj)
		}
	}
	if r := c.store.get(key); r != nil {
		for _, o := range r.variants {
			add(o)
		}
	}
	return names
}

// Waiting returns how many requests wait for what is being fetched.
func (c *Cache) Waiting() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range c.flights {
		for _, f := range list {
			if !f.settled {
				n += f.waiting
			}
		}
	}
	return n
}

// loosen returns a flight that nobody joins.
func (c *Cache) loosen(q *Request) *flight {
	f := &flight{host: q.Host, path: q.Path, began: c.deps.Now(), floor: q.Tokens, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loose[f] = struct{}{}
	f.purges = slices.Clone(c.purging) // what it finds may be what they are about to end
	return f
}

// land takes a flight out of the list of those that a purge must reach.
func (c *Cache) land(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loose, f)
	list := c.flights[f.key]
	for i, g := range list {
		if g == f {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(c.flights, f.key)
		return
	}
	c.flights[f.key] = list
}

// warn tells the flights that may bring what is being purged, but one. A flight
// is told the same once: each write to its path is a purge, and a flight may be
// long under way.
func (c *Cache) warn(p Purge, but *flight) {
	p.ID, p.At = "", time.Time{} // which one it was is nothing to a flight
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purging = append(c.purging, p)
	tell := func(f *flight) {
		if f != but && p.aims(f.host, f.path) && !slices.Contains(f.purges, p) {
			f.purges = append(f.purges, p)
		}
	}
	for _, list := range c.flights {
		for _, f := range list {
			tell(f)
		}
	}
	for f := range c.loose {
		tell(f)
	}
}

// done says that a purge which warn told of has gone through all that is stored.
func (c *Cache) done(p Purge) {
	p.ID, p.At = "", time.Time{}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.purging, p); i >= 0 {
		c.purging = slices.Delete(c.purging, i, i+1)
	}
}

// purged reports whether a purge that may concern it came after it began. Who
// asks later must not get what was asked for before.
func (f *flight) purged() bool {
	for _, p := range f.purges {
		if p.Tag == "" || f.obj == nil || p.concerns(f.obj) {
			return true
		}
	}
	return false
}

// keep stores an object that a flight brought, unless a purge came after the
// flight began.
func (c *Cache) keep(f *flight, key string, o *object) bool {
	c.mu.Lock()
	defer c.mu.Unlock() // a purge that comes now finds it stored
	for _, p := range f.purges {
		if !p.concerns(o) {
			continue
		}
		if !p.Soft {
			return false
		}
		o = o.softened(c.deps.Now())
	}
	c.supersede(key, o)
	c.store.put(key, o)
	c.metrics.stored.Inc()
	return true
}

// leave is what who waited for a flight does when its own client is gone.
func (c *Cache) leave(f *flight, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiting--
	f.left = f.left || leads
	if !f.settled && f.waiting == 0 && !f.goesOn {
		f.cancel(errLeft)
		f.purges = append(f.purges, Purge{Everything: true}) // nobody joins it
	}
	f.free()
}

// took notes that one who waited has what it reads.
func (c *Cache) took(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiting--
	f.free()
}

// free ends what nobody needs any more: what was meant for a leader that is gone,
// and the beginning of a body once all who waited read it. It is called with the
// Cache's mu held.
func (f *flight) free() {
	switch {
	case !f.settled:
	case f.direct != nil:
		if f.left && !f.freed {
			f.freed = true
			f.direct.Body.Close()
		}
	case f.lead != nil && f.waiting == 0:
		f.lead.Close()
	}
}

// settle makes a flight's result known to all who wait.
func (c *Cache) settle(f *flight) {
	f.moved.Store(c.deps.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	f.settled = true
	f.free()
	close(f.done)
}
