package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"meridian"
	"meridian/internal/loop"
	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// replies brings what the primary answers to the client until the connection
// ends.
func (u *upstream) replies(ctx context.Context) {
	defer close(u.done)
	defer func() { u.c.mainPID.CompareAndSwap(u.pid, 0) }()
	var err error
	attend := u.attends(ctx, &err)
	for {
		if !u.rd.Ready() {
			attend()
		}
		much := false
		if err == nil {
			much, err = u.next(ctx)
		}
		if err != nil {
			u.lost(ctx, err)
			return
		}
		if much || !u.rd.Ready() {
			u.show()
		}
	}
}

// attends returns what brings the answers that come whole and are not long,
// without that goroutine, where the session stands on a loop.
func (u *upstream) attends(ctx context.Context, err *error) func() {
	conn, ok := u.conn.(interface{ ReadNow([]byte) (int, error) })
	if !ok {
		return func() {}
	}
	read := conn.ReadNow
	take := func() bool {
		if *err = u.rd.Fill(read); *err != nil {
			nothing := *err == loop.ErrNothing
			*err = nil // next meets it again
			return nothing
		}
		much := false
		for *err == nil && !much && u.rd.Ready() {
			much, *err = u.next(ctx)
		}
		return *err == nil && !much && u.rd.Buffered() == 0
	}
	send := func() bool { u.show(); return true }
	return func() {
		if u.rd.Buffered() > 0 {
			return
		}
		if loop.Attend(u.conn, take, send); *err == nil && !u.rd.Ready() {
			send() // what was taken before what is left
		}
	}
}

// show sends the client what there is for it.
func (u *upstream) show() {
	if u.c.flush() != nil {
		u.conn.Close()
	}
}

// next takes the next message. much says that there is much for the client.
func (u *upstream) next(ctx context.Context) (much bool, err error) {
	c := u.c
	f, err := u.rd.Frame()
	if err != nil {
		return false, err
	}
	if u.backend != nil && !c.p.mayRelay(ctx, f.Type()) {
		u.conn.Close()
		return false, errLate
	}
	if u.backend != nil && !u.holder.pass(ctx, c.p, u.rd, f, u.tells(f)) {
		u.conn.Close()
		return false, errUnconfirmed
	}
	if f.Type() == 'A' && u.backend != nil {
		c.p.senders.names(string(c.p.cfg.Region), f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Type() < ' ' {
		err = u.private(f)
	} else {
		u.reply(ctx, f)
	}
	return len(c.out) > full, err
}

// tells reports whether a message of the local PostgreSQL may tell of a commit.
func (u *upstream) tells(f wire.Frame) bool {
	if f.Type() != 'C' && f.Type() != 'Z' {
		return false
	}
	u.c.mu.Lock()
	defer u.c.mu.Unlock()
	if u.tracker.Unseen() {
		return false // it tells the client nothing
	}
	if _, wrote := u.tracker.Pending(); wrote {
		u.wrote = true
	}
	return u.wrote && commits(f, u.tracker.Status)
}

// reply takes one of PostgreSQL's messages.
func (u *upstream) reply(ctx context.Context, f wire.Frame) {
	c := u.c
	f = u.tracker.Words(f)
	show := u.tracker.Reply(f)
	switch t := f.Type(); {
	case t == 'Z' && show:
		u.finish(f)
	case t == 'Z':
		u.rest()
	case t == 'E':
		e, err := wire.ParseError(f.Body())
		if err == nil {
			c.spares(e)
		}
		if !show && err == nil && e.Fatal() && (c.doomed.Load() || c.p.ended(ctx, e.Code, u.backend != nil)) {
			show = true
		}
		u.last = show && (err != nil || e.Fatal())
	case show && u.suppress > 0 && strings.IndexByte("123ntT", t) >= 0:
		u.suppress--
		return
	case t == 'S':
		if name, value, err := wire.ParseParameter(f.Body()); err == nil && honest(name, value) != value {
			return
		}
	}
	if show {
		c.out = append(c.out, f...)
	}
}

// finish takes the end of a group.
func (u *upstream) finish(f wire.Frame) {
	u.suppress, u.wrote = 0, false
	if len(u.flights) > 0 {
		g := u.flights[0]
		g.end()
		if g.credit != nil {
			g.credit() // before the client can end the invocation
		}
		u.wroteLocked(g.mark)
		if u.flights[0] = (flight{}); len(u.flights) == 1 {
			u.flights = u.flights[:0] // so that it need not grow again
		} else {
			u.flights = u.flights[1:]
		}
	}
	if u.tracker.Status == 'I' && u.tracker.TookDDL() {
		if u.backend != nil {
			u.c.p.catalogue.defined()
		} else {
			u.c.p.catalogue.changed(u.at)
		}
	}
	u.rest()
	if u.backend != nil {
		return
	}
	u.trim()
	if u.told != u.c.immovable() {
		u.c.pokeLocked()
	}
}

// rest is called when the backend may owe nothing any more.
func (u *upstream) rest() {
	if u.c.givesBackLocked(u) {
		u.c.pokeLocked()
	}
	if u.backend != nil {
		u.c.p.gate.settled()
	}
}

// private takes one of the primary's proxy's own frames.
func (u *upstream) private(f wire.Frame) error {
	switch f.Type() {
	case wire.FrameWelcome:
		u.params = append([]byte(nil), f.Body()...)
		u.pid, u.timeline = numberOf(u.params, paramProcess), numberOf(u.params, paramTimeline)
		u.c.mainPID.Store(u.pid)
		select {
		case <-u.hello:
		default:
			close(u.hello)
		}
		return nil
	case wire.FrameRefuse:
		u.refusal = &wire.Refusal{}
		err := wire.ParseJSON(f.Body(), u.refusal)
		if err == nil && u.refusal.Returns {
			u.c.p.probe.awaitReturn(u.region)
		}
		return err
	case wire.FramePosition:
		pos, err := wire.ParsePosition(f.Body())
		if err != nil {
			return err
		}
		u.at = u.c.p.token(pos)
		u.c.floor = newest(u.c.floor, u.at)
		if u.c.env != nil {
			u.c.env.saw(u.at)
		}
		return nil
	}
	return fmt.Errorf("frame %#x from %s: %w", f.Type(), u.region, wire.ErrProtocol)
}

// paramProcess and paramTimeline name the server process, and the timeline on
// which its server is, among a backend's parameters, between proxies.
const (
	paramProcess  = "meridian.process"
	paramTimeline = "meridian.timeline"
)

// numberOf returns the number that the parameters give a name, or 0.
func numberOf(params []byte, wanted string) (number uint32) {
	pool.Parameters(params, func(name, value string) {
		if n, err := strconv.ParseUint(value, 10, 32); name == wanted && err == nil {
			number = uint32(n)
		}
	})
	return number
}

// token makes a token of what a proxy or PostgreSQL says.
func (p *Proxy) token(pos wire.Position) meridian.Token {
	return meridian.Token{Database: p.cfg.Database, System: pos.System, Timeline: pos.Timeline, LSN: meridian.LSN(pos.LSN)}
}

// lost answers for what the lost primary owes. What was sent and not answered
// is in doubt if it may have written. A session that cannot go on as if
// nothing were (a block was open, it was pinned) ends.
func (u *upstream) lost(ctx context.Context, cause error) {
	c := u.c
	c.mu.Lock()
	if c.main != u || u.dead { // it was closed on purpose
		c.mu.Unlock()
		return
	}
	groups, wrote := u.tracker.Pending()
	wrote = wrote || u.wrote
	if wrote && u.backend != nil {
		c.p.watch.leaks()
	}
	u.dead = true
	if u.moved = u.movesLocked(); u.moved {
		c.pokeLocked()
	}
	owed := groups > 0 || u.tracker.Open() || u.tracker.Skipping() || u.mid
	flights := u.flights
	for _, g := range flights {
		g.end()
	}
	u.flights = nil
	if u.moved {
		c.mu.Unlock()
		return
	}
	answered := false
	if wrote && u.doubtsLocked(flights, groups) {
		u.resolving = make(chan struct{})
		timeline := u.timeline
		c.mu.Unlock()
		answers := u.resolve(ctx, flights, timeline)
		c.mu.Lock()
		u.settleLocked(flights, answers, cause)
		groups, wrote = u.tracker.Pending()
		owed, answered = false, true
		close(u.resolving)
		u.resolving = nil
	}
	executed := u.refusal != nil && u.refusal.Ended
	ends := u.tracker.Status != 'I' || c.immovable() != "" || u.last || executed
	e := u.verdict(cause, wrote)
	if ends && u.refusal != nil && u.refusal.Away {
		e = u.cannotMove()
	}
	switch {
	case ends && u.last:
		c.fatal = errEnd // PostgreSQL's own last words are on their way
	case ends:
		c.fatal = errEnd
		e.Severity = "FATAL"
		c.out = wire.Builder(c.out).Error(e)
	case owed:
		for range groups {
			c.out = wire.Builder(c.out).Error(e).Ready('I')
		}
		if u.tracker.Open() || u.mid && u.tracker.Idle() && !u.tracker.Skipping() {
			c.out = wire.Builder(c.out).Error(e)
		}
	}
	c.mu.Unlock()
	if (owed || answered) && u.backend == nil {
		c.away(e.Message)
	}
	if !owed && !ends && !answered {
		return
	}
	c.conn.SetWriteDeadline(time.Now().Add(time.Second))
	err := c.flush()
	if ends || err != nil {
		c.conn.Close()
		return
	}
	c.conn.SetWriteDeadline(time.Time{})
}

// cannotMove returns what a session is told that the primary gives back, and no
// other can take. The caller holds c.mu.
func (u *upstream) cannotMove() *wire.Error {
	why := u.c.immovable()
	if why == "" {
		why = openTransaction
	}
	e := errMoving(why)
	e.Message = "meridian: terminating connection: " + u.refusal.Message
	return e
}

// ended reports whether a server process's last words, at rest, are for its
// client: its time was up, or, in the primary's region, where the client has
// been told the process's id, somebody ended it. If PostgreSQL as a whole stops
// the session may go on elsewhere.
func (p *Proxy) ended(ctx context.Context, code string, here bool) bool {
	if code != stateShutdown && code != "57P02" && code != "57P03" {
		return true
	}
	if !here || p.gate.paused.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := p.watch.sample(ctx)
	return err == nil
}

// errLate ends the connection of a success that may not be relayed.
var errLate = errors.New("its answer came after another region had become the primary")

// verdict returns what the client is told of statements that were sent.
func (u *upstream) verdict(cause error, wrote bool) *wire.Error {
	e := &wire.Error{Severity: "ERROR", Code: stateConnection, Message: fmt.Sprintf("meridian: the connection to the primary in %s was lost: %v", u.region, cause)}
	switch {
	case u.refusal != nil && u.refusal.Ended:
		e.Code, e.Message, e.Others = u.refusal.Code, u.refusal.Message, u.refusal.Others
	case u.refusal != nil: // nothing was run
		e.Code, e.Message = u.refusal.Code, "meridian: "+string(u.region)+" refused: "+u.refusal.Message
	case wrote:
		e.Code = stateInDoubt
		e.Hint = "The statement may or may not have been carried out."
	}
	return e
}
