package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"meridian"
	"meridian/internal/framing"
)

// A budget bounds the bytes of bodies that are held at once.
type budget struct {
	limit int64
	held  atomic.Int64
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// take reserves n bytes and reports whether they were to be had.
func (b *budget) take(n int64) bool {
	if b.held.Add(n) <= b.limit {
		return true
	}
	b.held.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.held.Add(-n) }

// A share is what one request holds of the budget.
type share struct {
	*budget
	n int64
}

func (s *share) grow(n int64) error {
	if !s.take(n) {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("bodies in flight hold all of %d bytes", s.limit))
	}
	s.n += n
	return nil
}

func (s *share) release() {
	s.give(s.n)
	s.n = 0
}

// readAll reads at most limit bytes from r within the budget. It reserves
// before it reads: what is known to come at once, else piece by piece.
func (s *share) readAll(r io.Reader, known, limit int64) ([]byte, error) {
	if known > limit {
		return nil, tooLarge(limit)
	}
	const piece = 32 << 10
	buf := []byte(nil)
	if known > 0 {
		if err := s.grow(known); err != nil {
			return nil, err
		}
		buf = make([]byte, 0, known+1) // one more, to see the end without growing
	}
	for {
		if len(buf) == cap(buf) {
			n := max(piece, int64(cap(buf)))
			if err := s.grow(n); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, int64(cap(buf))+n), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

func tooLarge(limit int64) error {
	return meridian.WithKind(meridian.TooLarge, fmt.Errorf("the body has more than %d bytes", limit))
}

// requestBody reads the body of a request. A body that breaks off is the
// caller's doing.
func (s *share) requestBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	b, err := s.readAll(r.Body, r.ContentLength, limit)
	switch {
	case err == nil || kindOf(err) != meridian.Internal:
		return b, err
	case r.Context().Err() != nil && !framing.Broken(err): // which ends the connection, and so the context
		return nil, meridian.WithKind(meridian.Canceled, fmt.Errorf("read body: %w", err))
	}
	return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("read body: %w", err))
}
