package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// errSilent is why a request is moved that waits on a silent connection.
var errSilent = errors.New("nothing is heard from the region")

// listenEvery is how often ears are asked whether they still hear.
const listenEvery = 25 * time.Millisecond

// An ear notes when a connection was last heard. A connection that stands is
// never quiet for long: net/http pings it whenever it was quiet for a while,
// requests or not. So silence alone is evidence, and no request need be lost to
// find out.
type ear struct {
	net.Conn
	heard atomic.Int64  // unix nanoseconds
	spoke chan struct{} // closed with the first byte, or with the connection's end before that
	once  sync.Once     // closes it
	mute  error         // of a connection that ended before its first byte
	pulse *pulse        // of all connections to the region

	mu   sync.Mutex // guards what follows
	hope hope       // lost when the connection falls silent
}

func newEar(c net.Conn, p *pulse, now time.Time) *ear {
	e := &ear{Conn: c, pulse: p, spoke: make(chan struct{}), hope: newHope()}
	e.heard.Store(now.UnixNano())
	return e
}

func (e *ear) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	e.once.Do(func() {
		if n == 0 {
			e.mute = cmp.Or(err, io.ErrUnexpectedEOF)
		}
		close(e.spoke)
	})
	if n > 0 {
		now := time.Now()
		e.heard.Store(now.UnixNano())
		e.pulse.beat(now)
	}
	return n, err
}

// silence returns for how long the connection was not heard, of the time since
// the edge itself last stood still.
func (e *ear) silence(now, awake time.Time) time.Duration {
	heard := time.Unix(0, e.heard.Load())
	if awake.After(heard) {
		heard = awake
	}
	return now.Sub(heard)
}

// listen notes whether the connection is silent.
func (e *ear) listen(deaf bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hope.set(!deaf)
}

// whileHeard returns a context that ends when the connection falls silent.
func (e *ear) whileHeard() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hope.ctx
}

func (e *ear) silent() bool { return e.whileHeard().Err() != nil }

// A hope is a context that ends when something is given up, and another one when
// that is there again.
type hope struct {
	ctx  context.Context
	lose context.CancelFunc
}

func newHope() (h hope) {
	h.ctx, h.lose = context.WithCancel(context.Background())
	return h
}

// set gives the hope up, or makes it anew.
func (h *hope) set(hopeful bool) {
	switch lost := h.ctx.Err() != nil; {
	case !hopeful:
		h.lose()
	case lost:
		*h = newHope()
	}
}

// Patience is how long a region's connection may be silent: what a ping needs
// that goes after every, with a margin, and never less than floor.
func Patience(floor, every, rtt time.Duration) time.Duration {
	return max(floor, every+rtt+rtt/4+50*time.Millisecond)
}

// fastest is the shortest pause between the end of one ping and the next.
const fastest = 50 * time.Millisecond

// Pace is how soon a connection that is quiet is pinged: on a long path sooner than
// every, so that its silence is a proof no later than floor, if that can be.
func Pace(floor, every, rtt time.Duration) time.Duration {
	return min(every, max(fastest, floor-50*time.Millisecond-rtt-rtt/4))
}

// hint reports whether the region is too quiet for what it is asked, and says
// so: a crowd of requests waits, for longer than the way takes, and nothing at
// all is heard. Who is wary takes half of that silence for a hint, however short
// the others wait.
func (l *link) hint(now time.Time, wary bool) (why string, ok bool) {
	silence, quiet := l.sense.pulse.quiet(now, wary)
	if !quiet || !wary && l.sense.age(now) < l.rtt() {
		return "", false
	}
	return fmt.Sprintf("was not heard for %s, which is unusual", ms(silence)), true
}

// listen asks all ears, and tells the circuit when the region as a whole fell
// silent or is heard again.
func (l *link) listen(now time.Time) {
	if now.Sub(l.listened) > 4*listenEvery {
		l.awake = now // this process stood still: silence before proves nothing
	}
	l.listened = now
	rtt, patience := l.rtt(), time.Duration(0)
	l.mu.Lock()
	silent, lost, open, newest := 0, 0, 0, int64(0)
	for _, c := range l.conns {
		if c.Err() != nil {
			continue
		}
		open++
		newest = max(newest, c.ear.heard.Load())
		own := Patience(l.cfg.Silence, c.every, rtt)
		patience = max(patience, own)
		silence := c.ear.silence(now, l.awake)
		c.ear.listen(silence >= own)
		if silence >= own {
			silent++
		}
		if silence >= own+lull {
			lost++
		}
	}
	l.hope.set(open == 0 || lost < open)
	l.mu.Unlock()
	switch all := open > 0 && silent == open; {
	case all && !l.hushed.Load():
		l.hushed.Store(true)
		l.memory.silent(l.region, fmt.Sprintf("is silent for %v", patience.Round(time.Millisecond)), now)
	case l.hushed.Load() && silent < open:
		l.hushed.Store(false)
		l.sense.returned(now)
		l.memory.spoke(l.region, now)
	case newest > 0:
		if c := l.memory.circuit(l.region); c.Phase == Doubted && time.Unix(0, newest).After(c.Since.Add(l.rtt())) {
			l.memory.spoke(l.region, now) // what was heard left the region after the rumour did
		}
	}
}
