package postgres

import (
	"context"
	"fmt"
	"time"

	"meridian/postgres/wire"
)

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
	d := u.dieLocked()
	if u.moved {
		c.mu.Unlock()
		return
	}
	if d.wrote && u.doubtsLocked(d.flights, d.groups) {
		u.resolveLocked(ctx, &d, cause)
	}
	e, ends := u.lastWordsLocked(d, cause)
	c.mu.Unlock()
	if (d.owed || d.answered) && u.backend == nil {
		c.away(e.Message)
	}
	if d.owed || ends || d.answered {
		c.tellLost(ends)
	}
}

// A debt is what a primary owes that is lost.
type debt struct {
	groups   int
	flights  []flight
	wrote    bool // it may have
	owed     bool // the client waits for something
	answered bool // all of it, by what became of the writes
	begun    bool // the client stands in a block that was to be begun there
}

// dieLocked notes that the primary is lost, and returns what it owes. A session
// that goes on elsewhere is sent there again: it is owed nothing.
func (u *upstream) dieLocked() debt {
	c := u.c
	groups, wrote := u.tracker.Pending()
	wrote = wrote || u.wrote
	if wrote && u.backend != nil {
		c.p.watch.leaks()
	}
	u.dead = true
	if u.moved = u.movesLocked(); u.moved {
		c.pokeLocked()
	}
	d := debt{groups: groups, flights: u.flights, wrote: wrote, begun: u.tracker.Begun(), owed: groups > 0 || u.tracker.Open() || u.tracker.Skipping() || u.mid}
	for _, g := range d.flights {
		g.end()
	}
	u.flights = nil
	return d
}

// resolveLocked asks what became of the writes in doubt, and answers for them. It
// gives c.mu up meanwhile.
func (u *upstream) resolveLocked(ctx context.Context, d *debt, cause error) {
	u.resolving = make(chan struct{})
	timeline := u.timeline
	u.c.mu.Unlock()
	answers := u.resolve(ctx, d.flights, timeline)
	u.c.mu.Lock()
	u.settleLocked(d.flights, answers, cause)
	d.groups, d.wrote = u.tracker.Pending()
	d.owed, d.answered = false, true
	close(u.resolving)
	u.resolving = nil
}

// lastWordsLocked puts out what the client is told, and reports whether its
// session ends.
func (u *upstream) lastWordsLocked(d debt, cause error) (e *wire.Error, ends bool) {
	c := u.c
	executed := u.refusal != nil && u.refusal.Ended
	ends = u.tracker.Status != 'I' || d.begun && d.answered || c.immovable() != "" || u.last || executed
	e = u.verdict(cause, d.wrote)
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
	case d.owed:
		c.broken = d.begun
		for range d.groups {
			c.out = wire.Builder(c.out).Error(e)
			c.readyLocked()
		}
		if u.tracker.Open() || u.mid && u.tracker.Idle() && !u.tracker.Skipping() {
			c.out = wire.Builder(c.out).Error(e)
		}
	}
	return e, ends
}

// tellLost sends what was put out, to a client that may read no more, and lets it go
// if its session ends.
func (c *client) tellLost(ends bool) {
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
	if err != nil {
		_, err = p.watch.sample(ctx) // its connection may have been ended with the client's
	}
	return err == nil
}

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
