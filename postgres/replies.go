package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"meridian"
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
	c.out = append(c.out, u.tracker.Owed()...)
	if u.quiet != nil && (f.Type() == 'W' || u.tracker.Awaits() || u.tracker.Quiet()) {
		defer u.quieted()
	}
	switch t := f.Type(); {
	case t == 'C' && u.backend != nil && settles(f.Body()):
		u.settles = true
	case t == 'Z' && show:
		c.reportLocked()
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
		u.mid = u.mid || u.tracker.Skipping()
		if over := overtime(f); over != nil && show && u.canceled.Load() {
			f, u.overtime = over, true
		}
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
	if u.tracker.Passed() {
		u.pass()
	}
	if u.tracker.Status == 'I' && u.settles {
		u.settles = false
		u.c.p.pool.Renew()
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

// pass forgets the groups that were passed over with the one that is answered.
func (u *upstream) pass() {
	n := u.tracker.Groups()
	if u.mid && !u.tracker.Open() {
		n++
	}
	for len(u.flights) > n {
		u.flights[0].end()
		u.flights = u.flights[1:]
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
	case wire.FrameLend:
		u.lentLocked()
		return nil
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

// errLate ends the connection of a success that may not be relayed.
var errLate = errors.New("its answer came after another region had become the primary")
