package classify

import (
	"hash/maphash"
	"sync/atomic"
)

// A Cache remembers verdicts by exact text, in a table of fixed size. A text has
// two places there: it comes into the second, and takes the first when it is
// asked for again, so that texts that come once, as those do that carry their
// values within them, put out one another and not those that come often. Beside it
// stand verdicts by shape: a text of a known shape comes into the table only when
// it is asked for again. Its methods may be called by many goroutines; none waits
// for another.
type Cache struct {
	names  atomic.Pointer[Names]
	seed   maphash.Seed
	slots  [][2]atomic.Pointer[remembered]
	shapes []atomic.Pointer[remembered]
	seen   []atomic.Uint32 // of texts of known shapes, a part of the hash
}

// A remembered is a verdict with its text, or shape. It counts while its names are
// those that hold.
type remembered struct {
	text    string
	verdict *Verdict
	unlike  bool // of a shape: a standby refused one of its texts, so that each is judged by itself
}

const (
	places  = 4096     // each of two texts; a power of two
	longest = 16 << 10 // bytes of a text that is worth remembering
	shortly = 1 << 10  // bytes of a text whose shape is
)

// NewCache returns an empty cache that knows no names.
func NewCache() *Cache {
	return &Cache{seed: maphash.MakeSeed(), slots: make([][2]atomic.Pointer[remembered], places),
		shapes: make([]atomic.Pointer[remembered], places), seen: make([]atomic.Uint32, places)}
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
	return c.byShape(text, names)
}

// byShape judges a text that is not known itself.
func (c *Cache) byShape(text []byte, names *Names) *Verdict {
	var buf [shortly]byte
	var like []byte
	ok := false
	if len(text) <= shortly {
		like, ok = shape(buf[:0], text)
	}
	if !ok {
		v := Classify(text, names)
		c.keep(text, v)
		return v
	}
	at := &c.shapes[maphash.Bytes(c.seed, like)%places]
	known := at.Load()
	if known.is(like, names) && !known.unlike {
		c.again(text, known.verdict)
		return known.verdict
	}
	v := Classify(text, names)
	if known.is(like, names) || !v.shaped() {
		c.keep(text, v)
		return v
	}
	at.Store(&remembered{text: string(like), verdict: v})
	c.again(text, v)
	return v
}

// again keeps a text of a known shape that has come before.
func (c *Cache) again(text []byte, v *Verdict) {
	h := maphash.Bytes(c.seed, text)
	if mark := uint32(h>>32) | 1; c.seen[h%places].Swap(mark) == mark {
		c.keep(text, v)
	}
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
	if like, ok := shape(nil, text); ok {
		c.shapes[maphash.Bytes(c.seed, like)%places].Store(&remembered{text: string(like), verdict: &v, unlike: true})
	}
}

func (c *Cache) keep(text []byte, v *Verdict) {
	if len(text) <= longest {
		c.slot(text)[1].Store(&remembered{text: string(text), verdict: v})
	}
}

// SetNames gives the cache new names and forgets the verdicts on the old.
func (c *Cache) SetNames(n *Names) {
	c.names.Store(n)
	for i := range c.slots {
		c.slots[i][0].Store(nil)
		c.slots[i][1].Store(nil)
		c.shapes[i].Store(nil)
	}
}

// Current reports whether a verdict was made with the names that hold now.
func (c *Cache) Current(v *Verdict) bool { return v.Names == c.names.Load() }
