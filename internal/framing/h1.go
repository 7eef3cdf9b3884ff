package framing

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An H1 is a connection of HTTP/1.1, as net/http's server should see it. Each
// line of a head is looked at before it is handed out; where a message can be
// read in two ways, something stands in its place that net/http answers with 400
// and the end of the connection. A body that breaks its framing is an error.
type H1 struct {
	Secure
	cfg Config

	// Reading, by one goroutine at a time.
	in      []byte          // what was read and not looked at
	seen    int             // bytes of it that hold no end of a line
	out     []byte          // what is handed out before anything is read
	buf     *[readSize]byte // where in and out lie; nil: elsewhere, or nowhere
	first   [1]byte
	state   state
	left    int64 // bytes of a body, or of a chunk, that pass as they are
	msg     message
	heads   int       // that were handed out whole
	skipped bool      // an empty line before the request
	err     error     // for ever
	began   time.Time // when the first byte of the newest head came
	slow    bool      // that was told

	idle idling

	upgrading atomic.Bool // the newest request asked for another protocol
	raw       atomic.Bool // what comes is no HTTP: the protocol was switched, or net/http must refuse it anyway
	spoiled   bool

	owed     atomic.Bool // the newest request said Expect, and its body has not been read to its end
	answered atomic.Bool // it was
}

// NewH1 returns a connection whose handshake is over.
func NewH1(c Secure, cfg Config) *H1 { return &H1{Secure: c, cfg: cfg} }

// A state is what the next line of a connection is.
type state int

const (
	inRequestLine state = iota
	inHeader
	inChunkSize
	inChunkEnd // the line break after a chunk
	inTrailer
)

// ErrMalformed is what is read in place of a body that breaks its framing.
var ErrMalformed = errors.New("the body breaks its framing")

// Broken reports whether the body of a request ended with err because it breaks
// its framing. Of trailers, and of a body of HTTP/2 that ends short of its
// Content-Length (RFC 9113, section 8.1.1), net/http says so in words of its own.
func Broken(err error) bool {
	var trailers textproto.ProtocolError
	return errors.Is(err, ErrMalformed) || errors.As(err, &trailers) || err != nil && strings.Contains(err.Error(), "request declared a Content-Length of")
}

// readSize is how much is read at once where lines are looked at, in bytes.
const readSize = 4 << 10

// buffers are those of connections that read a head, or lines of a body.
var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// pour moves what there is room for from out to p. An empty out keeps no memory.
func pour(p []byte, out *[]byte) int {
	n := copy(p, *out)
	if *out = (*out)[n:]; len(*out) == 0 {
		*out = nil
	}
	return n
}

// Read hands out what the client sent, line by line, and bodies as they come.
func (c *H1) Read(p []byte) (int, error) {
	if c.idle.now && (len(c.in)+len(c.out) > 0 || c.state != inRequestLine) {
		c.idle.now = false // the next request has come already
		c.Secure.SetReadDeadline(c.idle.asked)
	}
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case len(c.out) > 0:
			n := pour(p, &c.out)
			c.keepNothing()
			return n, nil
		case c.err != nil:
			return 0, c.err
		case c.raw.Load() || c.left > 0:
			return c.through(p)
		case c.idle.now:
			if err := c.await(); err != nil {
				return 0, err
			}
		}
		if c.line() {
			continue
		}
		if err := c.fill(); err != nil {
			return 0, c.ended(err)
		}
	}
}

// through hands out bytes as they are.
func (c *H1) through(p []byte) (n int, err error) {
	if c.left > 0 && int64(len(p)) > c.left {
		p = p[:c.left]
	}
	if len(c.in) > 0 {
		n = copy(p, c.in)
		c.consume(n)
	} else {
		n, err = c.Secure.Read(p)
	}
	if c.left > 0 {
		if c.left -= int64(n); c.left == 0 && c.state == inRequestLine {
			c.owed.Store(false)
		}
	}
	return n, err
}

func (c *H1) consume(n int) {
	if c.in = c.in[n:]; len(c.in) == 0 {
		c.in = nil
	}
	c.keepNothing()
}

// keepNothing gives the buffer back once nothing is in it.
func (c *H1) keepNothing() {
	if c.buf != nil && len(c.in) == 0 && len(c.out) == 0 {
		buffers.Put(c.buf)
		c.in, c.buf = nil, nil
	}
}

// fill reads more. An idle connection waits for its first byte without a
// buffer; TLS has the rest of the record at hand.
func (c *H1) fill() error {
	if len(c.in) == 0 {
		n, err := c.Secure.Read(c.first[:])
		if n == 0 {
			return err
		}
		c.buf = buffers.Get().(*[readSize]byte)
		if c.in = append(c.buf[:0], c.first[0]); c.state == inRequestLine {
			c.began = c.cfg.now()
		}
		return nil
	}
	if cap(c.in)-len(c.in) < readSize/2 {
		c.in = append(make([]byte, 0, 2*cap(c.in)+readSize), c.in...)
		if c.buf != nil {
			buffers.Put(c.buf)
			c.buf = nil
		}
	}
	n, err := c.Secure.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// ended turns the end of what is read into what net/http should hear of it.
func (c *H1) ended(err error) error {
	half := c.state == inHeader || c.state == inRequestLine && len(c.in) > 0 // the rest is the handler's to wait for
	if half && !c.slow && timedOut(err) && c.cfg.now().Sub(c.began) >= c.cfg.Slow && c.cfg.Tell != nil {
		c.slow = true // net/http also lets reads time out to end them
		c.cfg.Tell(Slow, "a head that did not come in time")
	}
	if err == io.EOF && c.state != inRequestLine {
		return io.ErrUnexpectedEOF
	}
	return err
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// line looks at one line and hands it out. It returns false if no whole line was
// read yet. The next one waits: net/http reads the first byte of the next request
// while it answers this one, and what that head says must not count before.
func (c *H1) line() bool {
	i := bytes.IndexByte(c.in[c.seen:], '\n')
	if i < 0 {
		c.seen = len(c.in)
		if len(c.in) <= c.longest() {
			return false
		}
		if c.state != inRequestLine && c.state != inHeader {
			c.refuse("a line of a body that does not end")
			return true
		}
		c.raw.Store(true) // net/http holds less than this, and answers 431
		return true
	}
	i += c.seen
	c.seen = 0
	text := c.in[:i+1]
	if c.state == inRequestLine && string(text) == "\r\n" && !c.skipped { // RFC 9112, section 2.2
		c.skipped = true
		c.consume(2)
		return true
	}
	if why := c.look(text); why != "" {
		c.refuse(why)
		return true
	}
	c.out = text // nothing is read before that is handed out
	c.consume(i + 1)
	return true
}

// longest is how long a line may be before net/http must have refused it.
func (c *H1) longest() int { return 2*c.cfg.Header + 8<<10 }

// look judges a line and moves to the next state. It returns why the line must
// not pass, or "".
func (c *H1) look(text []byte) (why string) {
	text, ok := bytes.CutSuffix(text, []byte("\r\n"))
	if !ok {
		return "a line that ends with a bare LF"
	}
	switch c.state {
	case inRequestLine:
		c.msg = message{}
		c.state = inHeader
		return c.msg.requestLine(text)
	case inHeader:
		if len(text) > 0 {
			return c.msg.header(text)
		}
		return c.body()
	case inChunkSize:
		if c.left, why = chunkSize(text); why != "" {
			return why
		}
		if c.state = inChunkEnd; c.left == 0 {
			c.state = inTrailer
		}
	case inChunkEnd:
		c.state = inChunkSize
		if len(text) > 0 {
			return "a chunk that is longer than it says"
		}
	case inTrailer:
		if len(text) > 0 {
			return trailer(text)
		}
		c.owed.Store(false)
		c.next()
	}
	return ""
}

// body finds out what follows a head.
func (c *H1) body() (why string) {
	if why := c.msg.verdict(); why != "" {
		return why
	}
	c.heads++
	c.upgrading.Store(c.msg.upgrade)
	c.owed.Store(c.msg.expect && (c.msg.chunked || c.msg.length > 0))
	c.answered.Store(false)
	switch {
	case c.msg.chunked:
		c.state = inChunkSize
	default:
		c.left = c.msg.length
		c.next()
	}
	return ""
}

func (c *H1) next() {
	c.state, c.skipped = inRequestLine, false
}

// refuse makes net/http refuse what came. In a head and in trailers it reads
// something that is no HTTP; in a body nothing more.
func (c *H1) refuse(why string) {
	if c.cfg.Tell != nil {
		c.cfg.Tell(Malformed, why)
	}
	c.err, c.spoiled = ErrMalformed, true
	switch c.state {
	case inRequestLine:
		c.out = append(c.out, "!\r\n\r\n"...)
	case inHeader, inTrailer:
		c.out = append(c.out, "\x00:\r\n\r\n"...)
	}
	c.in = nil
}

// Write passes on what net/http says, and notices when it switches protocols or
// answers.
func (c *H1) Write(p []byte) (int, error) {
	if c.owed.Load() && bytes.HasPrefix(p, []byte("HTTP/1.")) && !bytes.HasPrefix(p[min(len(p), len("HTTP/1.1 ")):], []byte("1")) {
		c.answered.Store(true)
	}
	if c.upgrading.Load() && bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) {
		c.raw.Store(true)
	}
	return c.Secure.Write(p)
}

// CloseWrite tells the client that no more will be said.
func (c *H1) CloseWrite() error {
	if w, ok := c.Secure.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Bounds of what is read of a client that may still send what was refused, so that
// it reads the answer: a socket that is closed with bytes unread resets. Net/http
// sees to that itself, but not where a request says Expect: its body is another
// type then.
const (
	lingerFor   = 250 * time.Millisecond
	lingerBytes = 256 << 10
)

// Close implements net.Conn.
func (c *H1) Close() error {
	if c.idle.leave() {
		c.cfg.Park(c, c.idle.until)
		return nil
	}
	if c.spoiled || c.owed.Load() && c.answered.Load() {
		c.linger()
	}
	return c.Secure.Close()
}

// linger says that no more comes, and waits for the client to have read what did.
// Of one that sends on, no more is read after a while.
func (c *H1) linger() {
	until := time.Now().Add(lingerFor)
	c.CloseWrite()
	c.Secure.SetReadDeadline(until)
	if _, err := io.CopyN(io.Discard, c.Secure, lingerBytes); err == nil && !c.spoiled {
		time.Sleep(time.Until(until))
	}
}
