package framing

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What a server of net/http knows of a connection that has no stream is: the
// client's settings, both windows of the connection, the highest stream, and the
// two tables of HPACK. A new one is told of all that as by a client, in frames
// that this one never sent, and what it answers to them is kept from the client.
// Its own table begins empty, which the client need not know: entries are counted
// from the newest one, and the oldest ones go first (RFC 7541, section 2.3.2).

// A said is what the client has said that a new server must know.
type said struct {
	settings []byte // of known identifiers, the last of each
	acks     int    // of our SETTINGS
	last     uint32 // the highest stream
	taken    int64  // bytes of DATA
	away     bool   // GOAWAY
	odd      bool   // something that is not kept
	sized    bool   // it has set the size of its table
	size     uint64 // to this
	table    []byte // while it rests: a block of headers that makes its table
}

// hear notes the head of a frame.
func (s *said) hear(f frame) {
	switch f.typ {
	case http2.FrameHeaders:
		s.last = max(s.last, f.stream)
	case http2.FrameData:
		s.taken += int64(f.length)
	case http2.FrameGoAway:
		s.away = true
	case http2.FrameSettings:
		if f.flags.Has(http2.FlagSettingsAck) {
			s.acks++
		}
	}
}

// highestSetting is the highest identifier of a setting that net/http may know
// (RFC 9218, section 2.1).
const highestSetting = 9

// set notes settings.
func (s *said) set(p []byte) {
	all := s.settings
	for ; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) <= highestSetting {
			all = append(all, p[:6]...)
		}
	}
	s.settings = lastOfEach(all)
}

// resize notes the sizes of the client's table that a block begins with.
func (s *said) resize(block []byte) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		n, rest, ok := varint(block, 5)
		if !ok { // it goes on in the next frame
			s.odd = true
			return
		}
		s.sized, s.size, block = true, n, rest
	}
}

// varint reads an integer with a prefix of so many bits (RFC 7541, section 5.1).
func varint(p []byte, bits int) (n uint64, rest []byte, ok bool) {
	full := uint64(1)<<bits - 1
	n, p = uint64(p[0])&full, p[1:]
	if n < full {
		return n, p, true
	}
	for shift := 0; len(p) > 0 && shift < 28; shift += 7 {
		b := p[0]
		p = p[1:]
		if n += uint64(b&0x7f) << shift; b < 0x80 {
			return n, p, true
		}
	}
	return 0, nil, false
}

// appendVarint appends an integer, with flags before its prefix.
func appendVarint(p []byte, flags byte, bits int, n uint64) []byte {
	full := uint64(1)<<bits - 1
	if n < full {
		return append(p, flags|byte(n))
	}
	p = append(p, flags|byte(full))
	for n -= full; n >= 0x80; n >>= 7 {
		p = append(p, byte(n)|0x80)
	}
	return append(p, byte(n))
}

// firstDynamic is the index of the newest entry of a table (RFC 7541, section 2.3.3).
const firstDynamic = 62

// sleep writes the client's table down, and gives its decoder up.
func (s *said) sleep(decoder **hpack.Decoder) {
	if *decoder == nil {
		return
	}
	var entries []hpack.HeaderField
	d := *decoder
	*decoder = nil
	d.SetEmitFunc(func(f hpack.HeaderField) { entries = append(entries, f) })
	for i := uint64(firstDynamic); ; i++ {
		if _, err := d.Write(appendVarint(nil, 0x80, 7, i)); err != nil {
			break
		}
	}
	var block []byte
	if s.sized {
		block = appendVarint(block, 0x20, 5, s.size)
	}
	for i := len(entries) - 1; i >= 0; i-- {
		block = append(block, 0x40) // literal, to be indexed, with a new name
		block = append(appendVarint(block, 0, 7, uint64(len(entries[i].Name))), entries[i].Name...)
		block = append(appendVarint(block, 0, 7, uint64(len(entries[i].Value))), entries[i].Value...)
	}
	s.table = bytes.Clone(block)
}

// marker is what the last frame of what a new server is told carries, a PING.
var marker = [8]byte{'a', 't', ' ', 'r', 'e', 's', 't', 0xff}

// revive has a new server told what the last one knew, before the client is heard.
// Where the client's window is less than what a connection begins with, a request
// of our own first spends the difference: its response goes nowhere. Its headers
// must leave no trace in the server's table either, which has no room till then.
func (c *H2) revive() {
	room := c.given.Load() - c.writes.data.Load()
	spend := max(0, initialWindow-room)
	var first, then bytes.Buffer
	fr := http2.NewFramer(&first, nil)
	fr.AllowIllegalWrites = true
	if spend > 0 {
		fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		fr.WriteSettingsAck()
		c.told(fr, []byte{0x82, 0x87, 0x84, 0x01, 1, 'x'}) // GET https://x/
		fr = http2.NewFramer(&then, nil)
		c.writeSettings(fr)
	} else {
		c.writeSettings(fr)
		fr.WriteSettingsAck()
		if room > initialWindow {
			fr.WriteWindowUpdate(0, uint32(room-initialWindow))
		}
		c.told(fr, []byte{0x82}) // refused, for want of a path
	}
	fr.WritePing(false, marker)
	c.out, c.later, c.greeted = first.Bytes(), then.Bytes(), true
	c.rest.spend = spend
	c.rest.reviving.Store(true)
	c.hush(spend > 0)
}

// hush begins to keep from the client what the server says, in two steps if the
// first is to spend.
func (c *H2) hush(spends bool) {
	h := &hush{owed: c.said.taken - c.writes.granted}
	told := newGate()
	c.quiet = []*gate{told}
	if spends {
		spent := newGate()
		h.stream, h.spent = c.said.last, spent.pass
		c.quiet = []*gate{spent, told}
	}
	h.over = func() {
		c.rest.reviving.Store(false)
		told.pass()
	}
	c.writes.mu.Lock()
	defer c.writes.mu.Unlock()
	c.writes.hush = h
}

// Spends returns how many bytes the handler must write and nothing else, if the
// request is not the client's.
func (c *H2) Spends() (n int64, ours bool) { return c.rest.spend, c.rest.reviving.Load() }

// writeSettings writes those of the client, and that of its table even if it never
// said so: the server may have been told otherwise.
func (c *H2) writeSettings(fr *http2.Framer) {
	table := []byte{0, byte(http2.SettingHeaderTableSize), 0, 0, tableSize >> 8, tableSize & 0xff}
	fr.WriteRawFrame(http2.FrameSettings, 0, 0, lastOfEach(append(table, c.said.settings...)))
}

// told writes headers that bring a server to the client's table, and to its highest
// stream. The first are refused before they count as a stream, for a pseudo-header
// after a field.
func (c *H2) told(fr *http2.Framer, request []byte) {
	if c.said.last == 0 {
		return
	}
	write := func(stream uint32, block []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: true, EndHeaders: true})
	}
	if table := c.said.table; len(table) > 0 {
		c.unpack(table, true)
		sizes := 0 // come first in a block
		for sizes < len(table) && table[sizes]&0xe0 == 0x20 {
			_, rest, _ := varint(table[sizes:], 5)
			sizes = len(table) - len(rest)
		}
		write(noStream, slices.Concat(table[:sizes], []byte{0x10, 1, 'x', 0, 0x10, 2, ':', 'x', 0}, table[sizes:]))
		c.said.table = nil
	}
	write(c.said.last, request)
}

// noStream is one that no client opens: what a server refuses of it concerns no other.
const noStream = 2

// A gate is passed once.
type gate struct {
	open chan struct{}
	once sync.Once
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) pass() { g.once.Do(func() { close(g.open) }) }

// A hush keeps from the client what a new server says until it is as the last one
// was.
type hush struct {
	stream uint32 // 0, or that of the request that spends
	spent  func() // is called when it has
	over   func() // is called when the server is as the last one was
	owed   int64  // what the last server had left in its client's window, less than it began with
	buf    []byte
}

// hear takes what is written, and returns what goes to the client, and whether the
// server is as the last one was.
func (h *hush) hear(p []byte) (out []byte, over bool) {
	h.buf = append(h.buf, p...)
	for len(h.buf) >= 9 {
		n := 9 + int(h.buf[0])<<16 + int(h.buf[1])<<8 + int(h.buf[2])
		if len(h.buf) < n {
			break
		}
		f := h.buf[:n]
		h.buf = h.buf[n:]
		switch typ, stream := http2.FrameType(f[3]), binary.BigEndian.Uint32(f[5:]); {
		case typ == http2.FrameGoAway:
			out = append(out, f...)
		case typ == http2.FrameWindowUpdate && n == 13 && stream == 0:
			out = append(out, h.grant(int64(binary.BigEndian.Uint32(f[9:])))...)
		case typ == http2.FrameData && stream == h.stream && h.spent != nil && http2.Flags(f[4]).Has(http2.FlagDataEndStream):
			h.spent()
		case typ == http2.FramePing && string(f[9:]) == string(marker[:]):
			return append(out, h.buf...), true
		}
	}
	return out, false
}

// grant returns the frame by which a client's window becomes what a server that
// grants n believes it to be.
func (h *hush) grant(n int64) []byte {
	if n += h.owed; n <= 0 {
		return nil
	}
	return binary.BigEndian.AppendUint32([]byte{0, 0, 4, byte(http2.FrameWindowUpdate), 0, 0, 0, 0, 0}, uint32(n))
}

// whisper writes what the client has not heard. The caller holds mu.
func (w *writes) whisper(to net.Conn, p []byte) error {
	out, over := w.hush.hear(p)
	if over {
		w.hush.over()
		w.hush = nil
	}
	if len(out) == 0 {
		return nil
	}
	n, err := to.Write(out)
	w.sent += n
	w.follow(out[:n])
	return err
}
