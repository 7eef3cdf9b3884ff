package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// HeaderSize is the length of a message's type and length fields.
	HeaderSize = 5

	// MaxFrame is the longest message that a Reader takes. PostgreSQL's own
	// limit is 1 GiB less one byte.
	MaxFrame = 1<<30 - 1

	roomy = 16 << 10 // what a Reader starts with and shrinks back to
	huge  = 1 << 20  // a buffer over this is given up once it is empty
)

// A Frame is one whole message with its header. It is valid until the next
// call on the Reader that returned it.
type Frame []byte

// Type returns the message's type byte.
func (f Frame) Type() byte { return f[0] }

// Body returns what follows the header.
func (f Frame) Body() []byte { return f[HeaderSize:] }

// A Reader splits a stream into frames. It is not safe for concurrent use.
type Reader struct {
	// Limit is the longest message taken. Zero means MaxFrame; it is lower
	// until a stranger has proved who they are.
	Limit int

	src      io.Reader
	buf      []byte
	off, end int // buf[off:end] was read and not yet handed out
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Reset makes r read from src and keeps what is buffered: after a TLS
// handshake nothing may be left, which the caller checks with Buffered.
func (r *Reader) Reset(src io.Reader) { r.src = src }

// Buffered returns how many bytes were read and not yet handed out.
func (r *Reader) Buffered() int { return r.end - r.off }

// Ready reports whether Frame will return without reading from the source.
func (r *Reader) Ready() bool {
	if r.Buffered() < HeaderSize {
		return false
	}
	n := int64(binary.BigEndian.Uint32(r.buf[r.off+1:])) + 1
	return n < HeaderSize || n > r.limit() || int64(r.Buffered()) >= n
}

func (r *Reader) limit() int64 {
	if r.Limit == 0 {
		return MaxFrame
	}
	return int64(r.Limit)
}

// Fill reads once with read, which need not wait. Ready tells whether a whole
// message is there then; one that is longer than a few KiB takes Frame.
func (r *Reader) Fill(read func([]byte) (int, error)) error {
	r.room(HeaderSize)
	n, err := read(r.buf[r.end:])
	r.end += n
	return err
}

// Frame returns the next message. It returns io.EOF only between messages.
func (r *Reader) Frame() (Frame, error) {
	if err := r.fill(HeaderSize); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(r.buf[r.off+1:])) + 1
	if n < HeaderSize || n > r.limit() {
		return nil, fmt.Errorf("message %q of %d bytes: %w", r.buf[r.off], n-1, ErrProtocol)
	}
	return r.take(int(n))
}

// Untyped returns the next message of the start-up phase, which has a length
// and no type, without its length. At most limit bytes are taken.
func (r *Reader) Untyped(limit int) ([]byte, error) {
	if err := r.fill(4); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(r.buf[r.off:]))
	if n < 8 || n > int64(limit) {
		return nil, fmt.Errorf("start-up packet of %d bytes: %w", n, ErrProtocol)
	}
	b, err := r.take(int(n))
	if err != nil {
		return nil, err
	}
	return b[4:], nil
}

func (r *Reader) take(n int) ([]byte, error) {
	if err := r.fill(n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	f := r.buf[r.off : r.off+n : r.off+n]
	r.off += n
	return f, nil
}

// fill reads until n bytes are buffered. The buffer grows with the bytes that
// arrive, not with the length that a stranger claims.
func (r *Reader) fill(n int) error {
	for r.Buffered() < n {
		r.room(n)
		m, err := r.src.Read(r.buf[r.end:])
		r.end += m
		if err != nil && r.Buffered() < n {
			if err == io.EOF && r.Buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// room makes space for at least one more byte of a message of n bytes.
func (r *Reader) room(n int) {
	have := r.Buffered()
	switch {
	case have == 0 && (r.buf == nil || len(r.buf) > huge && n <= roomy):
		r.buf, r.off, r.end = make([]byte, roomy), 0, 0
	case have == 0:
		r.off, r.end = 0, 0
	case r.off > 0 && (r.end == len(r.buf) || r.off+n > len(r.buf)):
		copy(r.buf, r.buf[r.off:r.end])
		r.off, r.end = 0, have
	}
	if r.end == len(r.buf) {
		grown := make([]byte, min(2*len(r.buf), max(n, roomy)))
		if len(grown) <= len(r.buf) {
			grown = make([]byte, 2*len(r.buf))
		}
		r.end = copy(grown, r.buf[r.off:r.end])
		r.buf, r.off = grown, 0
	}
}
