package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// A stream is a body that one writes and many read, each at its own pace, while
// it is written and after. Once it has grown past its limit it is kept no
// longer than its readers need it, and the writer waits for the slowest.
type stream struct {
	limit int64

	mu      sync.Mutex // guards what follows
	wake    chan struct{}
	chunks  [][]byte
	gone    int   // chunks that were dropped before the first of chunks
	n       int64 // bytes written
	over    bool  // the limit is passed
	full    bool  // all of it is written
	done    bool  // readers know so
	err     error // why it ended early; nil if it is whole
	trailer http.Header
	readers map[*reader]struct{}
	file    *filed // where it is, in place of chunks; nil: in memory
}

var (
	errNobody = errors.New("nobody reads it any more")
	errGone   = errors.New("its beginning is not kept")
)

const (
	minChunk = 4 << 10
	maxChunk = 64 << 10
)

// newStream returns a stream for a body of size bytes, or -1, of which limit
// bytes are kept.
func newStream(size, limit int64) *stream {
	s := &stream{limit: limit, readers: map[*reader]struct{}{}}
	if size > 0 && size <= maxChunk {
		s.chunks = [][]byte{make([]byte, 0, size)}
	}
	return s
}

// wholeStream returns a stream that is complete.
func wholeStream(chunks [][]byte, trailer http.Header) *stream {
	s := &stream{chunks: chunks, full: true, done: true, trailer: trailer}
	for _, c := range chunks {
		s.n += int64(len(c))
	}
	return s
}

// write adds b. It waits while the slowest reader is far behind a stream that is
// not kept.
func (s *stream) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(b)
	if s.n > s.limit {
		s.over = true
	}
	s.signal()
	for s.over {
		if len(s.readers) == 0 {
			return errNobody
		}
		s.drop()
		if len(s.chunks) <= 16 {
			return nil
		}
		wait := s.waiting()
		s.mu.Unlock()
		<-wait
		s.mu.Lock()
	}
	return nil
}

// append copies b to the end. What is there is never moved: readers may look at
// it without the lock.
func (s *stream) append(b []byte) {
	s.n += int64(len(b))
	for len(b) > 0 {
		last := len(s.chunks) - 1
		if last < 0 || len(s.chunks[last]) == cap(s.chunks[last]) {
			size := minChunk
			if last >= 0 {
				size = min(max(2*cap(s.chunks[last]), minChunk), maxChunk)
			}
			s.chunks = append(s.chunks, make([]byte, 0, size))
			last++
		}
		c := s.chunks[last]
		k := copy(c[len(c):cap(c)], b)
		s.chunks[last], b = c[:len(c)+k], b[k:]
	}
}

// drop forgets the chunks that all have read.
func (s *stream) drop() {
	least := s.gone + len(s.chunks) - 1
	for r := range s.readers {
		least = min(least, r.chunk)
	}
	if k := least - s.gone; k > 0 {
		s.chunks = append([][]byte(nil), s.chunks[k:]...)
		s.gone = least
	}
}

// fill says that all is written, to who asks; readers do not hear of it yet.
func (s *stream) fill(trailer http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.trailer = true, trailer
}

// compact returns the stream, or a copy of it that takes no more memory than it
// has bytes, where the difference matters. The stream is full.
func (s *stream) compact() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := 0
	for _, c := range s.chunks {
		room += cap(c)
	}
	if int64(room) <= s.n+s.n/8+256 {
		return s
	}
	all := make([]byte, 0, s.n)
	for _, c := range s.chunks {
		all = append(all, c...)
	}
	return wholeStream([][]byte{all}, s.trailer)
}

// writeTo writes a body that is whole.
func (s *stream) writeTo(w io.Writer) error {
	for _, c := range s.chunks { // nobody writes to it any more
		if _, err := w.Write(c); err != nil {
			return err
		}
	}
	return nil
}

// end says that the body is whole, or why it is not.
func (s *stream) end(err error, trailer http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.err, s.trailer = true, err, trailer
	s.signal()
}

// whole reports whether all of the body is here, and how long it is.
func (s *stream) whole() (size int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.full && s.err == nil && !s.over
}

// broken reports whether the body ended early, or can no longer be read from its
// beginning.
func (s *stream) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil || s.gone > 0
}

// length returns how much of the body is here.
func (s *stream) length() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// kept returns how much of the body is in memory, and how much came.
func (s *stream) kept() (kept, all int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		return s.n, s.n
	}
	for _, c := range s.chunks {
		kept += int64(len(c))
	}
	return kept, s.n
}

// unkeep lets the stream keep no more than its readers need.
func (s *stream) unkeep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = 0
}

// trailers returns what came after the body, once it has ended.
func (s *stream) trailers() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trailer
}

func (s *stream) waiting() <-chan struct{} {
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	return s.wake
}

func (s *stream) signal() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// A reader reads a stream from some byte on.
type reader struct {
	s     *stream
	ctx   context.Context
	chunk int   // guarded by s.mu
	off   int   // in that chunk
	skip  int64 // bytes that are passed over first
	left  int64 // bytes to read; -1: all
}

// read returns a reader of size bytes from first on, or of all if size is -1.
// Not all of them need be here yet.
func (s *stream) read(ctx context.Context, first, size int64) (io.ReadCloser, error) {
	if s.file != nil {
		return s.file.read(first, size, s.n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone > 0 {
		return nil, errGone
	}
	r := &reader{s: s, ctx: ctx, skip: first, left: size}
	if !s.done {
		s.readers[r] = struct{}{}
	}
	return r, nil
}

// next returns bytes that were not read yet; it waits for some.
func (r *reader) next() ([]byte, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for {
		if i := r.chunk - r.s.gone; i < len(r.s.chunks) {
			c := r.s.chunks[i]
			k := min(r.skip, int64(len(c)-r.off))
			r.off, r.skip = r.off+int(k), r.skip-k
			if r.off < len(c) {
				return c[r.off:], nil
			}
			if i+1 < len(r.s.chunks) {
				r.chunk, r.off = r.chunk+1, 0
				if r.s.over {
					r.s.signal() // the writer may wait for this
				}
				continue
			}
		}
		switch {
		case r.s.err != nil:
			return nil, r.s.err
		case r.s.done:
			return nil, io.EOF
		}
		wait := r.s.waiting()
		r.s.mu.Unlock()
		select {
		case <-wait:
		case <-r.ctx.Done():
			r.s.mu.Lock()
			return nil, context.Cause(r.ctx)
		}
		r.s.mu.Lock()
	}
}

// took notes how much of what next returned was used.
func (r *reader) took(n int) {
	r.off += n
	if r.left > 0 {
		r.left -= int64(n)
	}
}

func (r *reader) cut(b []byte) []byte {
	if r.left >= 0 && int64(len(b)) > r.left {
		return b[:r.left]
	}
	return b
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	b, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, r.cut(b))
	r.took(n)
	return n, nil
}

// WriteTo implements io.WriterTo: what is stored goes out uncopied.
func (r *reader) WriteTo(w io.Writer) (total int64, err error) {
	for r.left != 0 {
		b, err := r.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(r.cut(b))
		r.took(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	delete(r.s.readers, r)
	r.s.signal()
	return nil
}
