package classify

import (
	"sync"
	"sync/atomic"
)

// A Cache remembers verdicts by exact text. Its memory is bounded: half of it
// is forgotten when it is full. Its methods may be called by many goroutines.
type Cache struct {
	names atomic.Pointer[Names] // written under mu

	mu       sync.RWMutex // guards what follows
	young    map[string]*Verdict
	old      map[string]*Verdict
	capacity int
}

const (
	capacity = 4096     // texts in each half
	longest  = 16 << 10 // bytes of a text that is worth remembering
)

// NewCache returns an empty cache that knows no names.
func NewCache() *Cache { return &Cache{young: map[string]*Verdict{}, capacity: capacity} }

// Classify returns the verdict on a text.
func (c *Cache) Classify(text []byte) *Verdict {
	c.mu.RLock()
	v, ok := c.young[string(text)]
	names := c.names.Load()
	if !ok {
		v, ok = c.old[string(text)]
	}
	c.mu.RUnlock()
	if ok {
		return v
	}
	v = Classify(text, names)
	c.keep(string(text), v, names)
	return v
}

// Refused notes that a standby refused a text for a reason that will not
// change: the primary runs it from now on.
func (c *Cache) Refused(text []byte, why string) {
	v := *c.Classify(text)
	v.Where, v.Why, v.Plain = Primary, why, false
	v.Writes = true
	v.Handle = v.Count == 1 && v.Block == NoBlock && v.Execute == "" && len(v.Effects) == 0
	c.keep(string(text), &v, v.Names)
}

func (c *Cache) keep(text string, v *Verdict, names *Names) {
	if len(text) > longest {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if names != c.names.Load() {
		return // the catalogues changed under it
	}
	if len(c.young) >= c.capacity {
		c.old, c.young = c.young, make(map[string]*Verdict, c.capacity)
	}
	c.young[text] = v
}

// SetNames gives the cache new names and forgets the verdicts on the old.
func (c *Cache) SetNames(n *Names) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names.Store(n)
	c.old, c.young = nil, map[string]*Verdict{}
}

// Current reports whether a verdict was made with the names that hold now.
func (c *Cache) Current(v *Verdict) bool { return v.Names == c.names.Load() }
