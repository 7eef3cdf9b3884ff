package cache

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/edge/cache/disk"
)

// A tier is what stands behind the memory: what that has no room for. What is
// found there goes back to memory if it is small, so memory knows best of all
// that it has.
type tier struct {
	*disk.Store
	largest int64 // bytes of a body
	now     func() time.Time
}

// openDisk opens what stands behind the memory.
func (c *Cache) openDisk() error {
	s, err := disk.Open(disk.Config{Dir: c.cfg.Disk.Dir, Bytes: c.cfg.Disk.Bytes, Node: c.cfg.Disk.Node}, disk.Deps{Label: labelOf, Log: c.deps.Log})
	if err != nil {
		return err
	}
	c.tier = &tier{Store: s, largest: min(c.cfg.Disk.Bytes/8, 4<<30), now: c.deps.Now}
	return nil
}

// lose drops an object whose body cannot be read.
func (c *Cache) lose(key string, o *object) {
	if o.body.file == nil {
		return
	}
	c.store.change(key, func(x *object) *object {
		if x == o {
			return nil
		}
		return x
	})
	c.tier.Drop(o.body.file.entry)
}

// promoted bounds the body that is read into memory before it is answered with.
// What is larger is read as it goes out.
const promoted = 1 << 20

// A filed body is on disk.
type filed struct {
	store *disk.Store
	entry *disk.Entry
}

// filedStream returns a stream that is complete, on disk.
func filedStream(s *disk.Store, e *disk.Entry, size int64, trailer http.Header) *stream {
	return &stream{n: size, full: true, done: true, trailer: trailer, file: &filed{s, e}}
}

func (b *filed) read(first, size, all int64) (io.ReadCloser, error) {
	body, err := b.store.ReadBody(b.entry, all)
	if err != nil {
		return nil, err
	}
	if size < 0 {
		size = all - first
	}
	if err := body.From(first, size); err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// recall returns what is on disk for a request, and nil if nothing is. What is
// small is in memory afterwards.
func (c *Cache) recall(q *Request, key string) *object {
	if c.tier == nil || len(c.tier.Find(hashOf(key))) == 0 {
		return nil
	}
	f := c.loosen(q) // hears of purges that come while the disk is read
	defer c.land(f)
	for _, found := range slices.Backward(c.tier.Find(hashOf(key))) {
		o := c.tier.object(found)
		if o == nil || !o.selector.matches(q.Header, o.header.Get("Content-Language")) {
			continue
		}
		c.tier.Used(found.Entry)
		c.metrics.recalled.Inc()
		if o.body.file != nil {
			return o
		}
		return c.promote(f, q, key, o)
	}
	return nil
}

// object returns what an entry is, with its body if that is small.
func (t *tier) object(found disk.Found) *object {
	if o, ok := found.Held.(*object); ok {
		c := *o
		c.on, c.soft = found.Entry, found.Soft
		return &c
	}
	head, body, err := t.Read(found.Entry)
	if err != nil {
		return nil
	}
	defer body.Close()
	o, _, trailer, err := parseRecord(head)
	if err != nil || o.received.After(t.now().Add(time.Second)) { // nobody can tell how old it is
		t.Drop(found.Entry)
		return nil
	}
	o.on, o.soft = found.Entry, found.Soft
	if body.Size > promoted {
		o.body = filedStream(t.Store, found.Entry, body.Size, trailer)
		return o
	}
	b := make([]byte, body.Size)
	if err := body.From(0, body.Size); err != nil {
		return nil
	}
	if _, err := io.ReadFull(body, b); err != nil {
		return nil
	}
	o.body = wholeStream([][]byte{b}, trailer)
	return o
}

// promote puts what was on disk into memory, unless it was purged meanwhile, or
// memory has something newer.
func (c *Cache) promote(f *flight, q *Request, key string, o *object) *object {
	c.mu.Lock()
	defer c.mu.Unlock()
	if newer, _ := c.store.get(key).pick(q); newer != nil {
		return newer
	}
	for _, p := range f.purges {
		switch {
		case !p.concerns(o):
		case !p.Soft:
			return nil
		default:
			o = o.softened(c.deps.Now())
		}
	}
	c.store.put(key, o)
	return o
}

// evicted puts what memory has no room for on disk.
func (t *tier) evicted(key string, r *resource) {
	for _, o := range slices.Backward(r.variants) {
		if o.on != nil && t.Lives(o.on) || !t.wants(o) {
			continue
		}
		size, _ := o.body.whole()
		t.Offer(disk.Item{
			Label: label(key, o), Soft: o.soft, Held: o, HeadSize: o.headSize(), BodySize: size,
			Head: func() []byte { return record(key, o) },
			Body: o.body.writeTo,
		})
	}
}

// Bounds of what is put on disk: names are kept in memory.
const (
	longestPath = 4 << 10
	longestHead = 128 << 10
)

// wants reports whether an object may be of use from disk.
func (t *tier) wants(o *object) bool {
	size, whole := o.body.whole()
	if o.part() || !whole || o.unsure || o.body.file != nil || size > t.largest || len(o.path) > longestPath || o.headSize() > longestHead {
		return false
	}
	return o.ageAt(t.now(), false) < o.life.d || hasValidator(o.header) || o.directives.ifError.set || o.directives.whileRevalidate.set
}

// headSize is how long an object's record is, at most.
func (o *object) headSize() int64 {
	n := int64(512 + len(o.host) + len(o.path))
	for _, h := range []http.Header{o.header, o.body.trailers(), o.announced} {
		for name, values := range h {
			n += int64(len(name)) + 20
			for _, v := range values {
				n += int64(len(v)) + 10
			}
		}
	}
	for _, t := range o.tags {
		n += int64(len(t)) + 10
	}
	for _, x := range o.selector {
		n += int64(len(x.name)+len(x.value)) + 20
	}
	for _, ts := range []int{len(o.version), len(o.told)} {
		n += int64(ts) * 256
	}
	return n
}

// supersede tells the disk that memory is about to have something newer.
func (c *Cache) supersede(key string, o *object) {
	if c.tier == nil {
		return
	}
	if f := o.body.file; f != nil && o.on == nil && c.tier.Rehead(f.entry, o, o.headSize(), func() []byte { return record(key, o) }) {
		o.on = f.entry
	}
	c.tier.Supersede(label(key, o), o.on)
}

// forget drops what is on disk of an object that does not hold any more.
func (c *Cache) forget(o *object) {
	if c.tier != nil && o.on != nil {
		c.tier.Drop(o.on)
	}
}

// purge does a purge to what is on disk, and returns how much that changed
// beside what memory had.
func (t *tier) purge(p Purge, now time.Time, counted map[*disk.Entry]bool) (n int) {
	d := disk.Purge{Path: p.Path, Tag: strings.ToLower(p.Tag), Prefix: p.Prefix, Matches: func(l disk.Label) bool {
		return p.concerns(&object{host: l.Host, path: l.Path, tags: l.Tags})
	}}
	if p.Soft {
		d.Soft = now
	}
	for _, e := range t.Purge(d) {
		if !counted[e] {
			n++
		}
	}
	return n
}

// divert returns resp's body with a copy of it that goes to disk as it comes by:
// it is too large for memory. It returns nil if it cannot.
func (c *Cache) divert(q *Request, key string, o *object, resp *http.Response) io.ReadCloser {
	if c.tier == nil || resp.ContentLength > c.tier.largest || len(resp.Trailer) > 0 || o.part() || len(o.path) > longestPath || o.headSize() > longestHead {
		return nil
	}
	sink := c.tier.Create(label(key, o), o.headSize(), resp.ContentLength)
	if sink == nil {
		return nil
	}
	f := c.loosen(q)
	kept := *o
	kept.body = wholeStream(nil, nil)
	sink.Start(func() []byte { return record(key, &kept) }, func(publish func(soft time.Time) bool) {
		defer c.land(f)
		if publish != nil {
			c.publish(f, key, &kept, publish)
		}
	})
	return &diverted{ReadCloser: resp.Body, sink: sink, left: resp.ContentLength}
}

// publish lets what was written be found, unless a purge came meanwhile.
func (c *Cache) publish(f *flight, key string, o *object, publish func(soft time.Time) bool) {
	c.mu.Lock()
	defer c.mu.Unlock() // a purge that comes now finds it
	var soft time.Time
	for _, p := range f.purges {
		switch {
		case !p.concerns(o):
		case !p.Soft:
			return
		default:
			soft = c.deps.Now()
		}
	}
	if publish(soft) {
		c.metrics.stored.Inc()
		c.store.change(key, func(x *object) *object { // it is older
			if x.selector.equal(o.selector) && x.began.Before(o.began) {
				return nil
			}
			return x
		})
	}
}

// A diverted body is copied to disk as it is read.
type diverted struct {
	io.ReadCloser
	sink *disk.Sink
	left int64
}

func (d *diverted) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	d.sink.Offer(b[:n])
	d.left -= int64(n)
	switch {
	case err == io.EOF && d.left == 0:
		d.sink.Finish()
	case err != nil:
		d.sink.GiveUp()
	}
	return n, err
}

// Close implements io.Closer. Who closes a body that he has read may not have
// seen its end.
func (d *diverted) Close() error {
	if d.left == 0 {
		d.sink.Finish()
	} else {
		d.sink.GiveUp()
	}
	return d.ReadCloser.Close()
}

// DiskIdle reports whether all that was there on disk is known, and all that was
// to go there is written.
func (c *Cache) DiskIdle() bool { return c.tier == nil || !c.tier.Pending() }
