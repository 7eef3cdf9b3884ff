package edge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"meridian"
	"meridian/edge/origin"
)

// A body is a request's body that can be sent more than once: it keeps the
// first bytes as they pass, and forgets them once they are too many.
type body struct {
	src  io.Reader
	max  int64 // bytes that a client may send
	keep int64 // bytes that are kept

	reading sync.Mutex // held while src is read; taken before mu
	mu      sync.Mutex // guards what follows
	kept    []byte     // the first bytes, unless lost
	n       int64      // bytes read from src
	lost    bool       // more than keep were read
	err     error      // of src: io.EOF, or why it ended
}

var errLost = errors.New("the body was sent on already, and is too large to be kept")

// replayable reports whether a new reader would see the whole body.
func (b *body) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost
}

// reader returns a reader of the body from its start. A reader that is closed
// reads no more, and what it took from the client is kept for the next one.
func (b *body) reader() io.ReadCloser { return &replay{body: b} }

// hash reads the whole body, of at most keep bytes, and returns its SHA-256.
func (b *body) hash() ([]byte, error) {
	h := sha256.New()
	if _, err := io.Copy(h, b.reader()); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// ended reports whether the client sent all of it.
func (b *body) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// settle waits for the read under way, if there is one, of a request that is
// canceled: net/http cancels it a moment before it returns what is wrong with the
// body.
func (b *body) settle() {
	b.reading.Lock()
	defer b.reading.Unlock()
}

// failure returns why the client's body ended early, or nil.
func (b *body) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// A replay reads a body from its start.
type replay struct {
	*body
	off    int64
	closed bool // guarded by body.mu
}

// Read implements io.Reader. Its error, if it is not io.EOF, is an
// origin.BodyError.
func (p *replay) Read(out []byte) (int, error) {
	if n, done, err := p.again(out); done {
		return n, err
	}
	p.reading.Lock()
	defer p.reading.Unlock()
	if n, done, err := p.again(out); done { // another reader was faster
		return n, err
	}
	n, err := p.src.Read(out)
	return n, p.note(out[:n], err)
}

// again reads what was read from the client before; done is false if the next
// byte is still there.
func (p *replay) again(out []byte) (n int, done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, true, &origin.BodyError{Err: io.ErrClosedPipe}
	case p.off < p.n && p.lost:
		return 0, true, &origin.BodyError{Err: errLost}
	case p.off < p.n:
		n = copy(out, p.kept[p.off:])
		p.off += int64(n)
		return n, true, nil
	}
	return 0, p.err != nil, p.err
}

// note keeps what was just read, and returns what the read is to end with.
func (p *replay) note(b []byte, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n += int64(len(b))
	p.off += int64(len(b))
	switch {
	case p.n > p.keep:
		p.kept, p.lost = nil, true
	default:
		p.kept = append(p.kept, b...)
	}
	switch {
	case p.n > p.max:
		p.err = &origin.BodyError{Err: tooLarge(p.max)}
	case err != nil && err != io.EOF:
		p.err = &origin.BodyError{Err: meridian.WithKind(meridian.Canceled, fmt.Errorf("read the client's body: %w", err))}
	case err != nil:
		p.err = io.EOF
	}
	return p.err
}

// Close implements io.Closer. It does not wait for a Read in progress.
func (p *replay) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

func tooLarge(limit int64) error {
	return meridian.WithKind(meridian.TooLarge, fmt.Errorf("the body has more than %d bytes", limit))
}
