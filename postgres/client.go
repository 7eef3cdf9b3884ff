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
	"meridian/internal/loop"
	"meridian/postgres/classify"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A client is one client's connection and its session, which stands on up to
// two backends: near, the local standby, where groups run one after the other
// and replies are held until it is sure that they stay; and main, the primary,
// where groups flow without waiting and a goroutine brings the replies.
type client struct {
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
	released released // what the client has seen of the group at hand
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
	state      *session.State
	near       *near
	main       *upstream
	floor      meridian.Token // the newest that the session wrote or was shown
	spareGroup session.Group
	waiting    chan struct{} // closed by a cancel request; nil if no group is held
	canceling  chan struct{} // closed once the cancel request that is on its way is done; nil if none is
	cut        bool          // what runs on the standby was canceled there

	fatal error // why the client must be let go once out is sent
}

// A begun is how the open block was begun.
type begun struct {
	sql     string // "" outside a block
	movable bool
	steady  bool // one snapshot for the whole block
	viewed  bool // something was read in it
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

// attends returns what serves the session, for as long as its groups come whole
// and flow to a backend on the local primary, without the client's own goroutine.
func (c *client) attends(ctx context.Context, err *error) func() {
	conn, ok := c.conn.(interface{ ReadNow([]byte) (int, error) })
	if !ok || c.p.cfg.TransactionPooling {
		return func() {}
	}
	read := conn.ReadNow
	take := func() bool {
		if *err = c.rd.Fill(read); *err != nil {
			nothing := *err == loop.ErrNothing
			*err = nil // next meets it again
			return nothing
		}
		for *err == nil && c.rd.Ready() {
			*err = c.next(ctx)
		}
		return *err == nil && c.flows()
	}
	send := func() bool {
		if c.flushAll() != nil {
			*err = errEnd
		}
		return *err == nil
	}
	return func() {
		if !c.flows() {
			return
		}
		if loop.Attend(c.conn, take, send); *err == nil && !c.rd.Ready() {
			send() // what was taken before what is left
		}
	}
}

// flows reports whether all that the client said is done or on its way to the
// local primary, where what it says next most likely goes as well. COPY data is
// more than a socket takes at once.
func (c *client) flows() bool {
	return c.main != nil && c.main.backend != nil && c.near == nil && c.rd.Buffered() == 0 && len(c.group.Messages) == 0 &&
		!c.placed && !c.skipping && !c.copies && !c.errand.Load()
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
	c.mu.Lock()
	if c.fatal != nil || c.canceling != nil && !c.atHand.Load() {
		c.mu.Unlock()
		if err := c.ready(); err != nil {
			return err
		}
		c.mu.Lock()
	}
	if c.skipping {
		c.mu.Unlock()
		return c.skip(f)
	}
	if len(c.group.Messages) == 0 && !c.placed && c.idleLocked() {
		c.state.Settle()
	}
	m, err := c.state.Read(f)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if c.placed {
		c.send(ctx, c.translate(ctx, m))
		return nil
	}
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
	return len(c.again) == 0 && (c.main == nil || c.main.dead && !c.main.moved && c.main.resolving == nil || !c.main.dead && c.main.tracker.Quiet())
}

// skip passes over what follows an error of the proxy's own, up to the Sync.
func (c *client) skip(f wire.Frame) error {
	if f.Type() != 'S' {
		return nil
	}
	c.skipping = false
	c.group.Reset()
	c.mu.Lock()
	c.out = wire.Builder(c.out).Ready('I')
	c.mu.Unlock()
	return nil
}

// place finds a backend for the group at hand and runs it there.
func (c *client) place(ctx context.Context) error {
	defer c.atHand.Store(false)
	if e := c.reckon(ctx); e != nil {
		return c.fail(e)
	}
	if err := c.condemned(ctx); err != nil {
		return err
	}
	v := c.view()
	c.mode, c.reads = v.Mode, v.Reads
	d := route(v)
	if c.goesOn() {
		d = routeDecision{toNear, "it goes on there"}
	}
	c.signal()
	c.credit = c.trip(v, d)
	if d.Do == doMove || d.Do == toMain || d.Do == toNear {
		c.p.metrics.routed(d.Do)
	}
	switch d.Do {
	case toNear:
		if v.Lapsed {
			c.leaveMain()
		}
		return c.runNear(ctx, v.Verdict)
	case doFold:
		if c.group.Sent > 0 { // a part of it was answered
			break
		}
		if err := c.reachable(ctx); err != nil { // better now than within the block
			return c.notSent(err)
		}
		c.fold()
		return nil
	case doEmpty:
		c.endEmpty()
		return nil
	case doMove:
		if err := c.leaveNear(); err != nil {
			return err
		}
	case doFail:
		return c.failBlock(ctx, stateReadOnly, d.Why)
	}
	if v.Here && !v.Lapsed {
		c.leaveStandby()
	}
	return c.runMain(ctx, d.Why)
}

// view collects what routing needs to know.
func (c *client) view() routeView {
	_, here := c.p.primary()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := routeView{Here: here, Lapsed: c.p.lapsed(), Pinned: c.state.Pinned, Busy: !c.idleLocked(), Block: c.blockLocked(), Movable: c.begin.movable,
		Oversize: c.group.Size() > c.p.cfg.Hold, Lazy: c.state.Lazy(), Began: c.begin.lazy}
	v.Failed = v.Block == onNear && c.near != nil && c.near.tracker.Status == 'E'
	n := 0
	for _, m := range c.group.Messages {
		if m.Kind == 'E' || m.Verdict != nil && m.Kind != 'P' {
			n++
			one := c.state.Resolve(m.Verdict)
			v.Verdict = stricter(v.Verdict, one)
			c.promiseLocked(&v, m.Verdict, one)
		} else if c.views(m) {
			c.promiseLocked(&v, m.Stmt.Verdict, c.state.Resolve(m.Stmt.Verdict))
		}
	}
	if n > 1 && v.Sets {
		v.Verdict = changesPromise
	}
	if c.signals.near && v.Verdict != nil {
		v.Verdict, v.Reads = signalsHere, false // whatever it was promised: a process is on one server alone
	}
	v.Single = n == 1 && v.Verdict.Count == 1
	return v
}

// views reports whether a message that runs nothing takes the one view that the
// open block keeps: PostgreSQL needs a snapshot to parse a statement, and to bind
// its parameters.
func (c *client) views(m session.Message) bool {
	return c.begin.steady && !c.begin.viewed && m.Stmt != nil && reads(m.Stmt.Verdict)
}

// signalsHere is the verdict on what signals sessions that stand on the standby.
var signalsHere = &classify.Verdict{Where: classify.Standby, Why: "it signals a process of this server", Count: 1}

// blockLocked returns where a block is open. The primary may have opened or
// closed one since.
func (c *client) blockLocked() place {
	if c.block == onNear || c.block == deferred {
		return c.block
	}
	if c.main != nil && !c.main.dead && c.main.tracker.Status != 'I' {
		return onMain
	}
	return nowhere
}

var unknownPortal = &classify.Verdict{Where: classify.Either, Why: "a portal that is not known here", Block: classify.Inside, Count: 1}

// stricter joins the verdicts of a group's statements.
func stricter(a, b *classify.Verdict) *classify.Verdict {
	if b == nil {
		b = unknownPortal
	}
	switch {
	case a == nil:
		return b
	case a.Where == classify.Primary:
		return a
	case b.Where == classify.Primary:
		return b
	case a.Plain:
		return b
	}
	return a
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
	c.out = wire.Builder(c.out).Error(e)
	if c.group.Ended {
		c.out = wire.Builder(c.out).Ready('I')
	} else {
		c.skipping = true
	}
	c.endGroup()
	return nil
}

// endGroup makes room for the next group.
func (c *client) endGroup() {
	c.settle()
	c.group.Reset()
	c.placed, c.retried, c.avoid, c.released = false, false, nil, released{}
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
