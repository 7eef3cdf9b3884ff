package postgres

import (
	"context"
	"fmt"
	"time"

	"meridian"
)

// When nobody can renew the right of the primary's region, as where the store
// has lost its majority, that region reads on as a standby would: plain reads
// run on the local PostgreSQL, and only in READ ONLY transactions. Writes, and
// reads that promise the newest data, wait for the right to come back.

// lapsed reports whether this region is the primary's and has no right to act
// as that at this instant, though no move is under way.
func (p *Proxy) lapsed() bool {
	_, here := p.primary()
	return here && !p.gate.paused.Load() && !p.gate.neverShut && !p.readsWait && !p.leased()
}

// sinceLapse returns for how long others may have committed what is not here;
// -1 if that is not known.
func (p *Proxy) sinceLapse() time.Duration {
	if p.deps.Lease == nil {
		return 0
	}
	until, _ := p.deps.Lease()
	if until == 0 {
		return -1
	}
	return max(0, p.deps.Boot()-until)
}

// exposed says why a read that ends now may have seen a commit that its
// standbys lack, which may be lost yet, or "". With the right to act a read
// waits for their word; without it they may not be reachable, and what must be
// known is that nothing is on its way.
func (p *Proxy) exposed() string {
	if p.deps.Lease == nil || len(p.demand().Quorums) == 0 || p.exposes {
		return ""
	}
	if why := p.watch.settled(); why != "" {
		return why
	}
	for _, s := range p.leavers() { // before the leaks: who ends meanwhile is counted there
		if s.runs() {
			return "a statement that was sent while the right to act was valid is not answered yet"
		}
	}
	if p.watch.leaky() {
		return "the standbys have not confirmed all that PostgreSQL of " + string(p.cfg.Region) + " may show"
	}
	return ""
}

// runs reports whether the local PostgreSQL, as the primary, owes the client an
// answer.
func (c *client) runs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	running, _, _ := c.standingLocked()
	return running
}

// runs reports the same of a session of another region's proxy.
func (s *peer) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed > 0 || s.mid
}

// A confirmed is the highest position that the standbys were seen to have, of
// what a demand wants: they have it when they are not heard of any more, too.
type confirmed struct {
	demand string
	id     meridian.Token // its system and timeline
	lsn    meridian.LSN
}

// keep returns up to where the log of s, which ends at at, is confirmed, or was
// seen to be. leaked is what w.leaked was before s was taken.
func (w *watch) keep(d Demand, s sample, at meridian.LSN, leaked uint64) meridian.LSN {
	now := d.confirmed(s.standbys, at)
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.meets(s) {
		w.healed = max(w.healed, leaked)
	}
	if len(d.Quorums) == 0 {
		w.confirmed = confirmed{}
		return now
	}
	c := confirmed{fmt.Sprint(d.Quorums), meridian.Token{System: s.seen.System, Timeline: s.seen.Timeline}, now}
	if c.demand == w.confirmed.demand && c.id == w.confirmed.id {
		c.lsn = max(c.lsn, w.confirmed.lsn)
	}
	w.confirmed = c
	return c.lsn
}

// leaks says that a commit may show which the standbys have not confirmed.
func (w *watch) leaks() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaked++
}

func (w *watch) leaky() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaked != w.healed
}

// readOnly keeps the group at hand from writing where the backend for reads is
// on the primary's PostgreSQL, which would let it. The session may have said
// something else since the last group.
func (c *client) readOnly() error {
	if !c.near.lapsed || c.block == onNear || c.p.writableReads {
		return nil
	}
	_, err := c.near.backend.Run("SET default_transaction_read_only = on")
	return err
}

// showed says why the replies at hand, which are held back still, may not be
// shown, or "".
func (c *client) showed() string {
	if !c.reads || !c.near.lapsed && !c.deposed() {
		return ""
	}
	return c.p.exposed()
}

// deposed reports whether the local PostgreSQL was seen to be a primary, though
// another region is the primary's by now: this one's is about to stop, and lets go
// of commits that wait for its standbys.
func (c *client) deposed() bool {
	_, here := c.p.primary()
	return !here && c.near.on.watch.primary()
}

// takeBack runs a group that was answered already on the primary, once there is
// one: its replies were not shown.
func (c *client) takeBack(ctx context.Context, why string) error {
	if c.block != onNear && c.near.tracker.Status != 'I' {
		c.closeNear()
	}
	if c.block == onNear && !c.begin.movable {
		c.hold, c.released.held, c.released.heldData = c.hold[:0], 0, false
		return c.failBlock(ctx, stateTooOld, why)
	}
	return c.moveRefused(ctx, &refusal{moves: true, why: why})
}

// leaveMain gives the session's backend on the primary back, if nothing is open
// there: the group at hand gets one for reads, and one is enough.
func (c *client) leaveMain() {
	c.mu.Lock()
	u := c.main
	clean := u != nil && !u.dead && u.backend != nil && u.tracker.Idle() && u.tracker.Status == 'I' && !u.mid && len(c.again) == 0 && c.immovable() == ""
	if clean {
		c.main = nil
	}
	c.mu.Unlock()
	if clean {
		u.close()
	}
}
