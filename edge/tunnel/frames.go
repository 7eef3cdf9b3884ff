package tunnel

import (
	"crypto/rand"
	"encoding/binary"
)

// GoingAway is the close code of an end that goes away (RFC 6455, section 7.4.1).
const GoingAway = 1001

// opClose is the opcode of a Close frame.
const opClose = 0x8

// Frames follows the frames of one direction of a connection (RFC 6455, section
// 5.2), by their headers. It judges nothing: that is for the ends.
type Frames struct {
	head   [14]byte
	have   int    // bytes of head
	left   uint64 // bytes of the payload that did not pass yet
	closed bool   // a Close frame began
}

// Feed takes the next bytes that passed.
func (f *Frames) Feed(b []byte) {
	for len(b) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(b)))
			f.left -= n
			b = b[n:]
			continue
		}
		f.head[f.have] = b[0]
		f.have++
		b = b[1:]
		if f.have >= 2 && f.have == f.size() {
			f.closed = f.closed || f.head[0]&0x0f == opClose
			f.left, f.have = f.payload(), 0
		}
	}
}

// size returns how long the header is, by its first two bytes.
func (f *Frames) size() int {
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// payload returns what a whole header says follows it.
func (f *Frames) payload() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}

// Between reports whether the last byte that passed ended a frame, so that a
// control frame may follow (RFC 6455, section 5.4), and none of the frames was
// the last.
func (f *Frames) Between() bool { return !f.inside() && !f.closed }

func (f *Frames) inside() bool { return f.have > 0 || f.left > 0 }

// Closed reports whether a Close frame passed, or began to.
func (f *Frames) Closed() bool { return f.closed }

// Close returns a Close frame: masked if it goes to an origin, as what clients
// send is (RFC 6455, section 5.3).
func Close(code uint16, masked bool) []byte {
	b := []byte{0x80 | opClose, 2, byte(code >> 8), byte(code)}
	if !masked {
		return b
	}
	out := append(b[:2:2], 0, 0, 0, 0, b[2], b[3])
	out[1] |= 0x80
	rand.Read(out[2:6])
	out[6] ^= out[2]
	out[7] ^= out[3]
	return out
}
