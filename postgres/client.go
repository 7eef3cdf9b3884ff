package postgres

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A client is one client's connection and its session, which stands on up to
// two backends: near, the local standby, where groups run one after the other
// and replies are held until it is sure that they stay; and main, the primary,
// where groups flow without waiting and a goroutine brings the replies.
type client struct {
	idleness
	p      *Proxy
	conn   net.Conn
	rd     *wire.Reader
	log    *slog.Logger
	env    *env // nil for people
	role   string
	params []wire.Param
	base   meridian.Consistency // until the session says something else
	own    bool                 // base is what the client itself said at its start
	key    wire.Key             // what cancels it
	spared uint32               // its number, unless that is its process's

	// Used by the client's own goroutine alone.
	group    session.Group
	placed   bool // the group at hand goes straight to main
	retried  bool // the standby's backend was lost under the group at hand
	skipping bool // the group at hand failed: everything up to its Sync is passed over
	copies   bool // the last message was COPY data
	hold     []byte
	released released       // what the client has seen of the group at hand
	behind   session.Behind // what of the group at hand was run on the standby, and taken out of it
	block    place
	meter    meter
	credit   func()               // for the trip that the group at hand is, or nil
	begin    begun                // of the open block
	at       *replica             // on which the group at hand reads, where it does
	avoid    *replica             // that lost the group at hand
	alone    stand                // of people's sessions
	mode     meridian.Consistency // what the group at hand is promised
	reads    bool                 // it reads, which is when that matters
	nearBusy atomic.Bool
	atHand   atomic.Bool // the group at hand is not placed yet
	running  atomic.Bool // the standby's PostgreSQL was sent what it owes an answer
	moving   *held       // the wait of what was kept, until a primary takes the session
	again    []kept      // groups of a lost stream that are to be sent again; guarded by mu
	errand   atomic.Bool
	mainPID  atomic.Uint32           // of its process on another region's primary, as that last said
	signals  signaled                // what the group at hand signals
	doomed   atomic.Bool             // somebody may have ended its server process
	double   atomic.Pointer[standIn] // that somebody signals in its place
	aim      atomic.Pointer[client]  // that it signaled last, where that was one
	marks    marks

	wmu   sync.Mutex // serialises writes to conn; taken before mu
	spare []byte

	mu         sync.Mutex // guards what follows
	out        []byte     // replies on their way to the client
	reports    []byte     // what goes out before the next ReadyForQuery: see abandonNear
	state      *session.State
	near       *near
	main       *upstream
	floor      meridian.Token // the newest that the session wrote or was shown
	spareGroup session.Group
	waiting    chan struct{} // closed by a cancel request; nil if no group is held
	canceling  chan struct{} // closed once the cancel request that is on its way is done; nil if none is
	cut        bool          // what runs on the standby was canceled there

	broken bool // the block that it stands in was never begun: it has failed

	fatal error // why the client must be let go once out is sent
}

// A begun is how the open block was begun.
type begun struct {
	sql     string // "" outside a block
	movable bool
	steady  bool // one snapshot for the whole block
	viewed  bool // something was read in it
	looked  bool // its transaction has had a snapshot
	lazy    bool // it is not READ ONLY: it moves when it writes
}

// A released counts what the client has seen of a group that goes on.
type released struct {
	frames int  // that only describe
	data   bool // results: the group cannot move any more

	held     int // as frames, still held back
	heldData bool
}

// errEnd ends a session in an orderly way.
var errEnd = errors.New("the client said goodbye")

// run serves the session until the client leaves, or breaks the protocol.
func (c *client) run(ctx context.Context) {
	defer c.log.Debug("session ended")
	var err error
	attend := c.attends(ctx, &err)
	for {
		if !c.rd.Ready() {
			if c.flushAll() != nil {
				return
			}
			c.giveBack()
			attend()
		}
		if err == nil {
			err = c.next(ctx)
		}
		if err == nil && c.errand.Load() {
			err = c.errands(ctx)
		}
		if err != nil {
			c.ends(ctx, err)
			return
		}
	}
}

// next takes the client's next message.
func (c *client) next(ctx context.Context) error {
	waits := c.waitsForMore()
	f, err := c.rd.Frame()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case err == nil:
		if waits {
			c.noDeadline()
		}
		return c.message(ctx, f)
	case late && waits:
		c.noDeadline()
		return c.place(ctx)
	case late && c.errand.Load():
		return nil
	}
	return err
}

// ends tells the client why the session ends, where it does not know.
func (c *client) ends(ctx context.Context, err error) {
	var gone *fatalError
	switch {
	case errors.As(err, &gone):
		c.goodbye(gone.e)
	case errors.Is(err, wire.ErrProtocol):
		c.goodbye(&wire.Error{Code: stateProtocol, Message: "meridian: " + err.Error()})
	case ctx.Err() != nil:
		c.goodbye(&wire.Error{Code: stateShutdown, Message: "meridian: the proxy is shutting down"})
	}
}

// partial is how long a group that has not ended is held back for the rest of
// it. PostgreSQL reads what it is sent at once: its statement_timeout runs from
// a group's first message.
const partial = 10 * time.Millisecond

// waitsForMore bounds the wait for the rest of a group that is held back, and
// reports whether it does.
func (c *client) waitsForMore() bool {
	if len(c.group.Messages) == c.group.Sent || c.placed || c.skipping || c.rd.Ready() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.errand.Load() {
		c.conn.SetReadDeadline(time.Now().Add(partial))
	}
	return true
}

// noDeadline lets the client take its time again.
func (c *client) noDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.errand.Load() {
		c.conn.SetReadDeadline(noDeadline)
	}
}

// A fatalError ends the session with words to the client.
type fatalError struct{ e *wire.Error }

func (f *fatalError) Error() string { return f.e.Message }

func (c *client) goodbye(e *wire.Error) {
	e.Severity = "FATAL"
	c.mu.Lock()
	c.out = wire.Builder(c.out).Error(e)
	c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(time.Second))
	c.flush()
}

// message takes one message of the client.
func (c *client) message(ctx context.Context, f wire.Frame) error {
	c.use()
	switch f.Type() {
	case 'Q', 'P', 'B':
		c.p.heed(f.Body())
	case 'X':
		return errEnd
	case 'd', 'c', 'f':
		c.copies = true
		return c.copyData(ctx, f)
	}
	c.copies = false
	m, taken, err := c.read(f)
	if err != nil || !taken {
		return err
	}
	if !c.placed && c.parts(m) {
		if err := c.place(ctx); err != nil {
			return err
		}
		if c.skipping {
			c.skip(f)
			return nil
		}
	}
	if c.placed {
		c.send(ctx, c.translate(ctx, m))
		return nil
	}
	return c.gather(ctx, m)
}

// read takes a message up into the session's state, unless it is passed over:
// behind an error of the proxy's own, or a Flush where nothing waits.
func (c *client) read(f wire.Frame) (m session.Message, taken bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fatal != nil || c.canceling != nil && !c.atHand.Load() {
		c.mu.Unlock()
		err = c.ready()
		c.mu.Lock()
	}
	first := len(c.group.Messages) == 0 && !c.placed
	switch {
	case err != nil:
		return m, false, err
	case c.skipping:
		c.skipLocked(f)
		return m, false, nil
	case first && f.Type() == 'H': // what came before goes out anyway
		return m, false, nil
	case first && c.idleLocked():
		c.settleLocked()
	}
	m, err = c.state.Read(f)
	return m, err == nil, err
}

// gather adds a message to the group at hand, and places the group once it is
// whole, or as much of it as waits for an answer or is held.
func (c *client) gather(ctx context.Context, m session.Message) error {
	c.atHand.Store(true)
	c.group.Add(c.translate(ctx, m))
	if c.group.Ended || m.Kind == 'H' || c.group.Size() > c.p.cfg.Hold {
		return c.place(ctx)
	}
	return nil
}

// ready waits while a cancel request is on its way, and returns why the session
// must end, if it must.
func (c *client) ready() error {
	c.mu.Lock()
	err, cancels := c.fatal, c.canceling
	c.mu.Unlock()
	if err == nil {
		if cancels != nil && c.main != nil { // it may wait for what is to be canceled
			c.main.flush()
		}
		c.p.spent(cancels)
	}
	return err
}

// idleLocked reports whether the primary owes nothing.
func (c *client) idleLocked() bool {
	return len(c.again) == 0 && (c.main == nil || c.main.dead && !c.main.moved && c.main.resolving == nil ||
		!c.main.dead && c.main.tracker.Quiet() && !c.main.tracker.Skipping())
}

// settleLocked forgets what was only expected, and the portals of transactions
// that are over: all that the client sent is answered.
func (c *client) settleLocked() {
	c.state.Settle()
	if c.blockLocked() == nowhere {
		c.state.EndPortals()
	}
}

// skip passes over what follows an error of the proxy's own, up to the Sync.
func (c *client) skip(f wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipLocked(f)
}

func (c *client) skipLocked(f wire.Frame) {
	if f.Type() != 'S' {
		return
	}
	c.skipping = false
	c.group.Reset()
	c.readyLocked()
}

// flushAll sends what waits to the primary and to the client.
func (c *client) flushAll() error {
	if c.main != nil {
		c.main.flush()
	}
	return c.flush()
}

// flush sends replies to the client, in the order in which they were put out.
func (c *client) flush() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.mu.Lock()
	out := c.out
	c.out = c.spare[:0]
	c.mu.Unlock()
	c.spare = out
	if cap(c.spare) > 1<<20 {
		c.spare = nil
	}
	if len(out) == 0 {
		return nil
	}
	_, err := c.conn.Write(out)
	return err
}

// fail answers the group at hand with an error of the proxy's own.
func (c *client) fail(e *wire.Error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(e)
	return nil
}

func (c *client) failLocked(e *wire.Error) {
	c.out = wire.Builder(c.out).Error(e)
	if c.group.Ended {
		c.readyLocked()
	} else {
		c.skipping = true
	}
	c.endGroup()
}

// readyLocked puts out the end of a group that the proxy itself has failed.
func (c *client) readyLocked() {
	c.reportLocked()
	status := byte('I')
	if c.block == onNear || c.broken { // which has failed
		status = 'E'
	}
	c.out = wire.Builder(c.out).Ready(status)
}

// reportLocked puts out what PostgreSQL reports at the end of a group.
func (c *client) reportLocked() {
	if len(c.reports) > 0 {
		c.out, c.reports = append(c.out, c.reports...), nil
	}
}

// endGroup makes room for the next group.
func (c *client) endGroup() {
	c.settle()
	c.group.Reset()
	c.placed, c.retried, c.avoid, c.released, c.behind = false, false, nil, released{}, session.Nothing
}

// away notes that the primary could not be reached for a statement.
func (c *client) away(why string) {
	c.p.metrics.away.Inc()
	c.env.note(func(o *meridian.Observation) { o.PrimaryAway = why })
}

// asked returns what the session's reads must not be older than.
func (c *client) asked() meridian.Token {
	c.mu.Lock()
	f := c.floor
	c.mu.Unlock()
	if c.env != nil {
		f = newest(f, c.env.floor())
	}
	return c.p.history(f)
}

// closeBackends gives both backends back.
func (c *client) closeBackends() {
	c.mu.Lock()
	n, m, cancels := c.near, c.main, c.canceling
	c.near, c.main = nil, nil
	c.mu.Unlock()
	c.settle()
	c.p.spent(cancels) // before others get the backends
	if n != nil {
		n.backend.Release(!c.nearBusy.Load() && n.tracker.Idle() && n.tracker.Status == 'I')
	}
	if m != nil {
		m.close()
	}
}
