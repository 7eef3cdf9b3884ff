package cache

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// keepPost stores the answer to a POST for those who GET it.
func (c *Cache) keepPost(ctx context.Context, q *Request, f *flight, resp *http.Response) *Response {
	get := *q
	get.Header = without(q.Header, conditions...)
	f.key = keyOf(q)
	o, v := c.object(f, &get, resp, c.deps.Now())
	if !v.ok || resp.ContentLength < 0 || resp.ContentLength > c.cfg.Object {
		return c.direct(resp, note{fwd: "method"}, Bypass, "method")
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil {
		o.body = wholeStream([][]byte{body}, nil)
		c.keep(f, f.key, o)
	}
	resp.Body = &replay{body, err}
	return c.direct(resp, note{fwd: "method", stored: err == nil}, Bypass, "method")
}

// A replay is a body that was read, with the error that ended it.
type replay struct {
	rest []byte
	err  error
}

func (p *replay) Read(b []byte) (int, error) {
	n := copy(b, p.rest)
	if p.rest = p.rest[n:]; n > 0 || p.err == nil && len(b) == 0 {
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return 0, io.EOF
}

func (p *replay) Close() error { return nil }

// A last body ends the flight that it came by when it is closed.
type last struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *last) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// pump moves a flight's body to those who read it, and stores it once it is
// whole.
func (c *Cache) pump(f *flight, resp *http.Response) {
	defer resp.Body.Close()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	s, held := f.obj.body, int64(0)
	defer func() { c.carry(-held) }()
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			f.moved.Store(c.deps.Now().UnixNano())
			if werr := s.write((*buf)[:n]); werr != nil {
				err = werr
			}
			kept, all := s.kept()
			if c.carry(kept-held) > c.cfg.Flying {
				s.unkeep()
			}
			if held = kept; all > c.cfg.Object && all-int64(n) <= c.cfg.Object {
				c.mark(c.passes, f.key, c.cfg.PassFor) // the next ones would wait for each other's slowest
			}
		}
		switch {
		case err == io.EOF:
			c.complete(f, resp.Trailer)
			return
		case err != nil:
			s.end(err, nil)
			return
		}
	}
}

// complete stores an object whose body is whole. It does so before readers are
// told, so that who has read it finds it stored.
func (c *Cache) complete(f *flight, trailer http.Header) {
	o := *f.obj
	o.version, o.told = late(o.version, trailer[headerTokens]), newer(o.told, trailer[headerTokens])
	o.unsure = false
	s := o.body
	more := o.part() && s.length() > o.span.size() // than its Content-Range says: which bytes they are nobody knows
	if o.part() && o.size >= 0 {
		o.span.end = o.span.first + s.length()
	}
	if o.part() && o.span == (span{0, o.size}) && !more {
		o.unpart()
	}
	s.fill(trailer)
	if _, ok := s.whole(); ok && !more {
		o.body = s.compact()
		c.keep(f, f.key, &o)
	}
	s.end(nil, trailer)
}

// carry counts bytes of bodies that are on their way.
func (c *Cache) carry(n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying += n
	return c.flying
}
