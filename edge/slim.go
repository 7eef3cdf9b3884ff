package edge

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A slimmer takes from a connection of crypto/tls the buffers that its handshake
// and its largest record left: some 4 KiB of the 10 that it holds at rest, and
// nothing gives them up. Where they lie it learns from their names and types; in
// a Go that has others it takes nothing.
type slimmer struct {
	known           bool
	raw, hand, text uintptr // bytes.Buffer twice, and the bytes.Reader over what was read of raw
}

func newSlimmer() (s slimmer) {
	t := reflect.TypeFor[tls.Conn]()
	at := func(name string, want reflect.Type) uintptr {
		f, ok := t.FieldByName(name)
		s.known = s.known && ok && f.Type == want
		return f.Offset
	}
	s.known = true
	s.raw, s.hand = at("rawInput", reflect.TypeFor[bytes.Buffer]()), at("hand", reflect.TypeFor[bytes.Buffer]())
	s.text = at("input", reflect.TypeFor[bytes.Reader]())
	return s
}

// take takes the buffers of a connection that nobody reads now, unless there is
// something in them.
func (s slimmer) take(c *tls.Conn) {
	if !s.known {
		return
	}
	raw, hand := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), s.raw)), (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), s.hand))
	text := (*bytes.Reader)(unsafe.Add(unsafe.Pointer(c), s.text))
	if raw.Len()+hand.Len()+text.Len() == 0 {
		*raw, *hand, *text = bytes.Buffer{}, bytes.Buffer{}, bytes.Reader{}
	}
}
