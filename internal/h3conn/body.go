package h3conn

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// Types of frames (RFC 9114, section 7.2).
const (
	typeData    = 0x0
	typeHeaders = 0x1
)

// misplaced are the types that no request stream may have: those of the control
// stream, of servers, of HTTP/2 (section 7.2.8), and of priorities (RFC 9218).
var misplaced = map[uint64]bool{0x2: true, 0x3: true, 0x4: true, 0x5: true, 0x6: true, 0x7: true, 0x8: true, 0x9: true, 0xd: true, 0xf0700: true, 0xf0701: true}

// A Breach is what a client sent that is no request. The connection is to end with
// Code if it is the connection's, and else the stream.
type Breach struct {
	Code       http3.ErrCode
	Connection bool
	Err        error
}

func (b *Breach) Error() string { return b.Err.Error() }
func (b *Breach) Unwrap() error { return b.Err }

// A Stream is what a body comes on.
type Stream interface {
	io.Reader
	Peek([]byte) (int, error)
}

// A Body reads quic-go's body of a request. It looks at the frames first, since to
// that one a FIN in the middle of a frame is the end of the body (section 7.1), and
// most types of frames may stand in it. Its error, where the client is at fault, is
// a Breach.
type Body struct {
	io.ReadCloser
	from  Stream
	left  uint64 // of the frame of DATA that is being read
	spare uint64 // bytes that may still come in frames that carry nothing
	ended bool   // by trailers
	err   error
}

// spare is how much may come in frames that carry nothing of a body, in bytes,
// beside as much as the body itself has.
const spare = 64 << 10

// Begin waits for the HEADERS frame that a request begins with, and leaves it to be
// read. Its error is a Breach; what else goes wrong is found by who reads on.
func Begin(from Stream) error {
	b := Body{from: from, spare: spare}
	for {
		typ, length, head, err := b.head()
		switch {
		case err != nil || typ == typeHeaders:
			return nil
		case misplaced[typ] || typ == typeData:
			return unexpected(typ)
		}
		if err := b.skip(uint64(head) + length); errors.As(err, new(*Breach)) {
			return err
		} else if err != nil {
			return nil
		}
	}
}

// NewBody returns a Body. Its stream is read up to the end of the HEADERS frame.
func NewBody(body io.ReadCloser, from Stream) *Body {
	return &Body{ReadCloser: body, from: from, spare: spare}
}

func (b *Body) Read(p []byte) (n int, err error) {
	for n == 0 && b.err == nil && len(p) > 0 {
		n, b.err = b.read(p)
	}
	return n, b.err
}

func (b *Body) read(p []byte) (int, error) {
	var typ uint64
	if b.left == 0 {
		var err error
		if typ, b.left, err = b.next(); err != nil {
			return 0, err
		}
	}
	if typ == typeHeaders {
		b.left = 0
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= min(uint64(n), b.left)
	b.spare += uint64(n)
	switch {
	case (err == io.EOF || err == io.ErrUnexpectedEOF) && (b.left > 0 || typ == typeHeaders):
		return n, truncated()
	case err == nil || err == io.EOF || b.gone(err):
		return n, err
	}
	return n, &Breach{Code: http3.ErrCodeMessageError, Err: err}
}

// next finds the next frame that quic-go is to read, of DATA or HEADERS, and skips
// those before it. At the end of the stream it finds none, nor is that an error.
func (b *Body) next() (typ, length uint64, err error) {
	for {
		var head int
		typ, length, head, err = b.head()
		switch {
		case err == io.EOF && head > 0:
			return 0, 0, truncated()
		case err != nil:
			return 0, 0, nil // which quic-go finds too
		case misplaced[typ] || b.ended && (typ == typeData || typ == typeHeaders):
			return 0, 0, unexpected(typ)
		case typ == typeHeaders:
			b.ended = true
			return typ, length, nil
		case typ == typeData && length > 0:
			return typ, length, nil
		}
		if err := b.skip(uint64(head) + length); err != nil {
			return 0, 0, err
		}
	}
}

// skip reads over a frame.
func (b *Body) skip(length uint64) error {
	if length > b.spare {
		return &Breach{http3.ErrCodeExcessiveLoad, true, errors.New("more frames that carry nothing than any client needs")}
	}
	b.spare -= length
	_, err := io.CopyN(io.Discard, b.from, int64(length))
	if err == io.EOF {
		return truncated()
	}
	return err
}

// head looks at the type and the length of a frame, and at no byte behind. read is
// how many bytes they have, or how many there are if the stream ends in them.
func (b *Body) head() (typ, length uint64, read int, err error) {
	var buf [16]byte
	var values [2]uint64
	for i := range values {
		end := read + 1
		if n, err := b.from.Peek(buf[:end]); err != nil {
			return 0, 0, n, err
		}
		end = read + 1<<(buf[read]>>6)
		if n, err := b.from.Peek(buf[:end]); err != nil {
			return 0, 0, n, err
		}
		values[i], _, _ = quicvarint.Parse(buf[read:end]) // it is whole
		read = end
	}
	return values[0], values[1], read, nil
}

// gone reports whether reading ended for what happened to the stream, and not for
// what it said.
func (b *Body) gone(err error) bool {
	var h *http3.Error
	var n net.Error
	var t *quic.TransportError
	return errors.As(err, &h) || errors.As(err, &n) || errors.As(err, &t)
}

func unexpected(typ uint64) error {
	return &Breach{http3.ErrCodeFrameUnexpected, true, fmt.Errorf("a frame of type %#x where none may be", typ)}
}

func truncated() error {
	return &Breach{http3.ErrCodeFrameError, true, errors.New("the stream ended in the middle of a frame")}
}
