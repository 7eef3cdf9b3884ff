package classify

import (
	"hash/maphash"
	"sync/atomic"
)

// A Cache remembers verdicts by exact text, in a table of fixed size. A text has
// two places there: it comes into the second, and takes the first when it is
// asked for again, so that texts that come once, as those do that carry their
// values within them, put out one another and not those that come often. Its
// methods may be called by many goroutines; none waits for another.
type Cache struct {
	names atomic.Pointer[Names]
	seed  maphash.Seed
	slots [][2]atomic.Pointer[remembered]
}

// A remembered is a verdict with its text. It counts while its names are those
// that hold.
type remembered struct {
	text    string
	verdict *Verdict
}

const (
	places  = 4096     // each of two texts; a power of two
	longest = 16 << 10 // bytes of a text that is worth remembering
)

// NewCache returns an empty cache that knows no names.
func NewCache() *Cache {
	return &Cache{seed: maphash.MakeSeed(), slots: make([][2]atomic.Pointer[remembered], places)}
}

// Classify returns the verdict on a text.
func (c *Cache) Classify(text []byte) *Verdict {
	names := c.names.Load()
	slot := c.slot(text)
	first := slot[0].Load()
	if first.is(text, names) {
		return first.verdict
	}
	if second := slot[1].Load(); second.is(text, names) {
		slot[0].Store(second)
		slot[1].Store(first)
		return second.verdict
	}
	v := Classify(text, names)
	c.keep(text, v)
	return v
}

func (r *remembered) is(text []byte, names *Names) bool {
	return r != nil && r.verdict.Names == names && r.text == string(text)
}

func (c *Cache) slot(text []byte) *[2]atomic.Pointer[remembered] {
	return &c.slots[maphash.Bytes(c.seed, text)%places]
}

// Refused notes that a standby refused a text for a reason that will not
// change: the primary runs it from now on.
func (c *Cache) Refused(text []byte, why string) {
	v := *c.Classify(text)
	v.Where, v.Why, v.Plain = Primary, why, false
	v.Writes = true
	v.Handle = v.Count == 1 && v.Block == NoBlock && v.Execute == "" && len(v.Effects) == 0
	slot := c.slot(text)
	if first := slot[0].Load(); first != nil && first.text == string(text) {
		slot[0].Store(nil)
	}
	c.keep(text, &v)
}

func (c *Cache) keep(text []byte, v *Verdict) {
	if len(text) <= longest {
		c.slot(text)[1].Store(&remembered{string(text), v})
	}
}

// SetNames gives the cache new names and forgets the verdicts on the old.
func (c *Cache) SetNames(n *Names) {
	c.names.Store(n)
	for i := range c.slots {
		c.slots[i][0].Store(nil)
		c.slots[i][1].Store(nil)
	}
}

// Current reports whether a verdict was made with the names that hold now.
func (c *Cache) Current(v *Verdict) bool { return v.Names == c.names.Load() }
