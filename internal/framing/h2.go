package framing

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Config is what both kinds of connection need to know.
type Config struct {
	Header int // bytes of names and values that a request may have; more of them are the handler's to refuse, many more are cut off

	// Slow is how long a head may take before the end of reading is taken for the
	// client's slowness.
	Slow time.Duration

	// Park takes a connection of HTTP/1.1 that was idle for ParkAfter, in place of
	// its being closed, and may hand it to a server again when bytes come. Until then
	// it may wait as long as net/http would have. Nil: such connections are net/http's.
	Park      func(c *H1, until time.Time)
	ParkAfter time.Duration

	// Rest is Park for HTTP/2. Idle is how long such a connection may be idle in all;
	// 0: for ever.
	Rest func(c *H2, until time.Time)
	Idle time.Duration

	Now func() time.Time // nil means time.Now
	// Tell hears once of a connection for what it is ended, or of a message for
	// what it is refused.
	Tell func(k Kind, why string)
}

func (c Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// Secure is a connection after its handshake, as *tls.Conn is.
type Secure interface {
	net.Conn
	ConnectionState() tls.ConnectionState
}

// An H2 is a connection of HTTP/2, as net/http's server should see it.
type H2 struct {
	Secure
	cfg Config

	// Reading, by one goroutine.
	greeted bool   // the client's preface has come
	pass    int    // bytes of a payload that pass as they are
	out     []byte // what is handed out before anything is read
	block   block
	hpack   *hpack.Decoder // nil until there are headers
	spent   map[Kind]*Budget
	head    [9]byte
	pad     [1]byte // how much of a frame of DATA is padding

	stream atomic.Int64 // the window that the client gives a stream to begin with
	given  atomic.Int64 // of the connection, with all that it added
	writes writes

	said  said
	rest  rest
	quiet []*gate // that open while net/http is brought to where it was
	later []byte  // what it is told after the first of two
}

// NewH2 returns a connection whose handshake is over. It begins after the
// client's preface.
func NewH2(c Secure, cfg Config) *H2 {
	h := &H2{Secure: c, cfg: cfg}
	h.stream.Store(initialWindow)
	h.given.Store(initialWindow)
	return h
}

// initialWindow is that of streams and connections (RFC 9113, section 6.9.2).
const initialWindow = 1<<16 - 1

// ample room in a connection's window has space for the ends of as many
// responses as may end at once.
const ample = 1 << 20

// Narrow reports whether the client may have left no room for the end of a
// response that has so many bytes.
func (c *H2) Narrow(bytes int64) bool {
	return c.stream.Load() < bytes+(8<<10) || c.given.Load()-c.writes.data.Load() < ample
}

// errEnded is what net/http reads after the connection was ended.
var errEnded = errors.New("the connection was ended")

// Read hands out what the client sent, frame by frame.
func (c *H2) Read(p []byte) (int, error) {
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case len(c.out) > 0:
			return pour(p, &c.out), nil
		case len(c.quiet) > 0:
			<-c.quiet[0].open
			c.quiet, c.out, c.later = c.quiet[1:], c.later, nil
			continue
		case !c.greeted:
			if err := c.greet(); err != nil {
				return 0, err
			}
		case c.pass > 0:
			n, err := c.patient(p[:min(len(p), c.pass)], false)
			c.pass -= n
			return n, err
		}
		if err := c.frame(); err != nil {
			return 0, err
		}
	}
}

// greet reads the client's preface, which net/http takes for read (RFC 9113,
// section 3.4).
func (c *H2) greet() error {
	preface := make([]byte, len(http2.ClientPreface))
	if err := c.full(preface); err != nil {
		return err
	}
	if c.greeted = string(preface) == http2.ClientPreface; !c.greeted {
		return errEnded
	}
	return nil
}

// frame reads the head of a frame, and its payload where that must be looked at.
func (c *H2) frame() error {
	n, err := c.patient(c.head[:], true)
	if err == nil {
		err = c.full(c.head[n:])
	}
	if err != nil {
		return err
	}
	f := frame{
		length: int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2]), typ: http2.FrameType(c.head[3]), flags: http2.Flags(c.head[4]),
		stream: binary.BigEndian.Uint32(c.head[5:]) & (1<<31 - 1),
	}
	if f.length > MaxFrame { // net/http says FRAME_SIZE_ERROR
		c.out = append(c.out, c.head[:]...)
		return nil
	}
	padded := f.typ == http2.FrameData && f.flags.Has(http2.FlagDataPadded) && f.length > 0
	if padded {
		if err := c.full(c.pad[:]); err != nil {
			return err
		}
		f.void = f.length == 1+int(c.pad[0])
	}
	if k := f.costs(); k != "" && !c.spend(k) {
		return c.end(k, "more "+string(k)+" than any client needs")
	}
	for range c.writes.made.Swap(0) {
		if !c.spend(Resets) {
			return c.end(Resets, "more streams that had to be reset than any client needs")
		}
	}
	c.said.hear(f)
	switch f.typ {
	case http2.FrameHeaders, http2.FrameContinuation:
		return c.headers(f)
	case http2.FrameSettings:
		return c.settings(f)
	case http2.FrameWindowUpdate:
		if f.stream == 0 && f.length == 4 {
			return c.window()
		}
	}
	c.out = append(c.out, c.head[:]...)
	if c.pass = f.length; padded {
		c.out, c.pass = append(c.out, c.pad[0]), f.length-1
	}
	return nil
}

// MaxFrame is the largest payload that is announced (RFC 9113, section 6.5.2).
const MaxFrame = 16 << 10

// A frame is the head of one.
type frame struct {
	length int
	typ    http2.FrameType
	flags  http2.Flags
	stream uint32
	void   bool // DATA that is padding alone
}

// costs returns the kind by which a frame is counted, or "".
func (f frame) costs() Kind {
	switch f.typ {
	case http2.FrameData:
		if (f.length == 0 || f.void) && !f.flags.Has(http2.FlagDataEndStream) {
			return Empties
		}
		return ""
	case http2.FrameHeaders, http2.FrameContinuation:
		return ""
	case http2.FrameRSTStream:
		return Resets
	case http2.FramePing:
		return Pings
	case http2.FrameSettings:
		return Settings
	case http2.FrameWindowUpdate:
		return Windows
	}
	return Others
}

func (c *H2) spend(k Kind) bool {
	b := c.spent[k]
	if b == nil {
		if c.spent == nil {
			c.spent = map[Kind]*Budget{}
		}
		b = &Budget{}
		c.spent[k] = b
	}
	switch k {
	case Windows:
		b.Earn(c.writes.earned())
	case Pings:
		b.Earn(c.writes.probes())
	}
	return b.Spend(allowances[k], c.cfg.now())
}

// settings passes a SETTINGS frame on without what it says more than once: the
// last word counts (RFC 9113, section 6.5.3), and net/http takes one only.
func (c *H2) settings(f frame) error {
	p := make([]byte, f.length)
	if err := c.full(p); err != nil {
		return err
	}
	if len(p)%6 == 0 {
		p = lastOfEach(p)
		if !f.flags.Has(http2.FlagSettingsAck) {
			c.said.set(p)
		}
		for i := 0; i < len(p) && !f.flags.Has(http2.FlagSettingsAck); i += 6 {
			if http2.SettingID(binary.BigEndian.Uint16(p[i:])) == http2.SettingInitialWindowSize {
				c.stream.Store(int64(binary.BigEndian.Uint32(p[i+2:])))
			}
		}
	}
	c.head[0], c.head[1], c.head[2] = byte(len(p)>>16), byte(len(p)>>8), byte(len(p))
	c.out = append(append(c.out, c.head[:]...), p...)
	return nil
}

// window passes on what the client adds to the connection's window.
func (c *H2) window() error {
	var p [4]byte
	if err := c.full(p[:]); err != nil {
		return err
	}
	c.given.Add(int64(binary.BigEndian.Uint32(p[:]) & (1<<31 - 1)))
	c.out = append(append(c.out, c.head[:]...), p[:]...)
	return nil
}

// lastOfEach leaves of settings with one identifier the last.
func lastOfEach(p []byte) []byte {
	out := p[:0:0]
	for i := 0; i < len(p); i += 6 {
		again := false
		for j := i + 6; j < len(p) && !again; j += 6 {
			again = p[i] == p[j] && p[i+1] == p[j+1]
		}
		if !again {
			out = append(out, p[i:i+6]...)
		}
	}
	return out
}

// parting is how much is taken still of a client that was told to go.
const parting = 64 << 10

// end ends the connection with GOAWAY, ENHANCE_YOUR_CALM. What the client has sent
// meanwhile is taken, up to a bound, or the system would say that the connection
// broke, and GOAWAY might be lost: a client of gRPC that hears it asks less often.
func (c *H2) end(k Kind, why string) error {
	if c.cfg.Tell != nil {
		c.cfg.Tell(k, why)
	}
	c.writes.end(c.Secure, http2.ErrCodeEnhanceYourCalm)
	c.Secure.SetReadDeadline(time.Now().Add(farewell))
	io.CopyN(io.Discard, c.Secure, parting)
	return errEnded
}

// Write passes on what net/http says.
func (c *H2) Write(p []byte) (int, error) { return c.writes.write(c.Secure, p) }
