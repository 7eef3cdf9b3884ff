package framing

import (
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A block is a block of headers that is being read: HEADERS, and CONTINUATION
// frames after it.
type block struct {
	open   bool
	frames int
	bytes  int // as they came
	size   int // unpacked: names and values, and 32 bytes for each field (RFC 9113, section 6.5.2)
	fields fields
}

// Bounds of a block beside Config.Header: CONTINUATION frames, and how many times larger than
// the limit of headers it may be unpacked.
const (
	maxContinuations = 32
	maxUnpacked      = 8
)

// headers looks into a HEADERS or CONTINUATION frame. The table of HPACK must
// be kept in step with net/http's, so that every block is unpacked.
func (c *H2) headers(f frame) error {
	b := &c.block
	if f.typ == http2.FrameHeaders {
		*b = block{open: true, fields: fields{ends: f.flags.Has(http2.FlagHeadersEndStream)}}
	}
	b.frames++
	if b.bytes += f.length; b.frames > maxContinuations || b.bytes > 2*c.cfg.Header+MaxFrame {
		return c.end(Headers, "a block of headers that does not end")
	}
	at := len(c.out)
	c.out = append(c.out, c.head[:]...)
	c.out = append(c.out, make([]byte, f.length)...)
	if err := c.full(c.out[at+9:]); err != nil {
		return err
	}
	fragment, ok := f.fragment(c.out[at+9:])
	if !ok || !b.open { // net/http refuses it
		return nil
	}
	if b.frames == 1 {
		c.said.resize(fragment)
	}
	if !c.unpack(fragment, f.flags.Has(http2.FlagHeadersEndHeaders)) {
		return nil
	}
	if b.size > maxUnpacked*c.cfg.Header {
		return c.end(Headers, "a block of headers that is far larger unpacked")
	}
	if !f.flags.Has(http2.FlagHeadersEndHeaders) {
		return nil
	}
	b.open = false
	if why := b.fields.verdict(); why != "" {
		if c.cfg.Tell != nil {
			c.cfg.Tell(Malformed, why)
		}
		c.out[at+4] &^= byte(http2.FlagHeadersEndHeaders)
		c.out = append(c.out, spoiled(f.stream)...)
	}
	return nil
}

// spoiled is a CONTINUATION frame that makes a malformed message of whatever
// came before it: its one field is a pseudo-header that nobody knows, literal and
// never indexed (RFC 7541, section 6.2.3). Net/http resets such a stream with
// PROTOCOL_ERROR.
func spoiled(stream uint32) []byte {
	return []byte{
		0, 0, 5, byte(http2.FrameContinuation), byte(http2.FlagContinuationEndHeaders), byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream),
		0x10, 2, ':', 'x', 0,
	}
}

// fragment returns the part of a payload that belongs to the block.
func (f frame) fragment(p []byte) ([]byte, bool) {
	if f.typ != http2.FrameHeaders {
		return p, true
	}
	pad := 0
	if f.flags.Has(http2.FlagHeadersPadded) {
		if len(p) == 0 {
			return nil, false
		}
		pad, p = int(p[0]), p[1:]
	}
	if f.flags.Has(http2.FlagHeadersPriority) {
		if len(p) < 5 {
			return nil, false
		}
		p = p[5:]
	}
	if pad > len(p) {
		return nil, false
	}
	return p[:len(p)-pad], true
}

// unpack feeds the decoder. It returns false for what cannot be unpacked:
// net/http finds that too, and ends the connection.
func (c *H2) unpack(fragment []byte, last bool) bool {
	if c.hpack == nil {
		c.hpack = hpack.NewDecoder(tableSize, nil)
		c.hpack.SetMaxStringLength(4 * c.cfg.Header)
		c.hpack.SetEmitFunc(func(f hpack.HeaderField) {
			c.block.size += int(f.Size())
			c.block.fields.add(f.Name, f.Value)
		})
	}
	if _, err := c.hpack.Write(fragment); err != nil {
		c.block.open = false
		return false
	}
	if last && c.hpack.Close() != nil {
		c.block.open = false
		return false
	}
	return true
}

// tableSize is HPACK's table of net/http's server, in bytes.
const tableSize = 4096

// fields is what makes one request of a block, or two.
type fields struct {
	lengths   int
	length    string
	ends      bool // nothing follows the block
	hosts     int
	authority string
	host      string
	why       string
}

// add looks at one field.
func (f *fields) add(name, value string) {
	if strings.HasPrefix(name, ":") {
		if name == ":authority" {
			f.authority = value
		}
		return
	}
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		f.why = "a header of HTTP/1.1's connections (RFC 9113, section 8.2.2)"
	case "te":
		if value != "trailers" {
			f.why = "te is not trailers (RFC 9113, section 8.2.2)"
		}
	case "content-length":
		if f.lengths++; f.lengths > 1 || !digits(value) {
			f.why = "content-length is not one number"
		}
		f.length = strings.TrimLeft(value, "0")
	case "host":
		f.hosts++
		f.host = value
	}
	if Disguised(name) {
		f.why = disguised
	}
}

// verdict returns why the message is malformed, or "".
func (f *fields) verdict() string {
	switch {
	case f.why != "":
		return f.why
	case f.hosts > 1 || f.hosts == 1 && f.authority != "" && !strings.EqualFold(f.host, f.authority):
		return "two hosts (RFC 9113, section 8.3.1)"
	case f.ends && f.length != "":
		return "a content-length and no body (RFC 9113, section 8.1.1)"
	}
	return ""
}

// digits reports whether s is a number of bytes as a Content-Length has it.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) < 19
}
