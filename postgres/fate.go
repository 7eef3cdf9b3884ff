package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// A Horizon is what a successor found in its log of the time before a fork. It
// is kept when that log is long gone.
type Horizon struct {
	Timeline uint32       `json:"timeline"`          // that ended at the fork
	Since    meridian.LSN `json:"since"`             // a handle that was sent before it may be missing
	Handles  []string     `json:"handles,omitempty"` // of the transactions that are part of the history
}

// atMost is how many handles a Horizon holds. Only those matter whose commit
// came before the fork and was acknowledged with a position past it, which are
// the very last.
const atMost = 1024

// Horizon returns what a log says of the time before the fork at which a
// timeline ended.
func (o Outcomes) Horizon(f Fork) Horizon {
	h := Horizon{Timeline: f.Timeline, Since: min(o.Since, f.LSN)}
	for handle, at := range o.Handles {
		if at < f.LSN {
			h.Handles = append(h.Handles, handle)
		}
	}
	slices.SortFunc(h.Handles, func(a, b string) int { return int(int64(o.Handles[b]) - int64(o.Handles[a])) })
	if len(h.Handles) > atMost {
		h.Since = max(h.Since, o.Handles[h.Handles[atMost]]+1)
		h.Handles = h.Handles[:atMost]
	}
	slices.Sort(h.Handles)
	return h
}

// sentAt returns where the log was, at the least, when a handle was sent. It
// stands in the handle.
func sentAt(handle string) meridian.LSN {
	if len(handle) != handleSize {
		return 0
	}
	at, err := strconv.ParseUint(handle[:16], 16, 64)
	if err != nil {
		return 0
	}
	return meridian.LSN(at)
}

// handleSize is how many hexadecimal digits a handle has: a position and 64
// random bits.
const handleSize = 32

// decideFate says what became of what a token names, where the database is on
// timeline now, as far as is known. h is the horizon of the end of the token's
// timeline, nil if there is none yet. A write is lost only if it would have to
// stand in the horizon.
func decideFate(t meridian.Token, now uint32, forks []Fork, h *Horizon, noHorizon bool) meridian.Fate {
	i := slices.IndexFunc(forks, func(f Fork) bool { return f.Timeline == t.Timeline })
	if f, ok := skipped(forks, t.Timeline); ok {
		return decideSkipped(t, f)
	}
	if i < 0 && t.Timeline < now && t.Handle != "" {
		return meridian.Fate{Is: meridian.Sought, Why: fmt.Sprintf("where timeline %d ended, and whether write %s is part of it, is not known yet", t.Timeline, t.Handle)}
	}
	if i < 0 || t.LSN <= forks[i].LSN {
		return meridian.Fate{Is: meridian.Valid, Why: "its position is part of the history"}
	}
	end := forks[i]
	fresh := meridian.Token{Database: t.Database, System: t.System, Timeline: end.next(), LSN: end.LSN}
	over := fmt.Sprintf("the history of timeline %d ended at %s", t.Timeline, end.LSN)
	named := fmt.Sprintf("write %s", t.Handle)
	switch {
	case t.Handle == "":
		return meridian.Fate{Is: meridian.ReadOnly, Why: over + ", and its bearer wrote nothing", Fresh: fresh}
	case t.Wrote <= end.LSN:
		return meridian.Fate{Is: meridian.Committed, Why: over + ", after " + named, Fresh: fresh}
	case h == nil && end.Planned:
		return meridian.Fate{Is: meridian.Unknown, Why: fmt.Sprintf("nobody has heard of %s: %s, in a planned move", named, over), Fresh: fresh}
	case h == nil:
		return meridian.Fate{Is: meridian.Sought, Why: named + " is being looked for: " + over}
	case slices.Contains(h.Handles, t.Handle):
		return meridian.Fate{Is: meridian.Committed, Why: over + ", and " + named + " is part of it", Fresh: fresh}
	case h.Since <= sentAt(t.Handle) || noHorizon:
		return meridian.Fate{Is: meridian.Lost, Why: named + " is lost with an old primary: " + over + ", and it is not in it", Fresh: fresh}
	}
	return meridian.Fate{Is: meridian.Unknown, Why: fmt.Sprintf("nobody can tell whether %s is lost: %s, and of what came before %s the log is gone", named, over, h.Since), Fresh: fresh}
}

// Fate says what became of what a token of this database names, as far as this
// region has heard. It asks nobody.
func (p *Proxy) Fate(t meridian.Token) meridian.Fate {
	return p.fate(t, p.watch.known().served)
}

// fate is Fate where the database is seen to have come to a position.
func (p *Proxy) fate(t, now meridian.Token) meridian.Fate {
	if p.deps.Handed != nil && now.Timeline == t.Timeline+1 && p.deps.Handed() {
		// All that was acknowledged before is part of what was handed over,
		// whether its fork is told yet or not.
		now.Timeline = t.Timeline
	}
	if own := now.System; p.deps.Forks == nil || t.IsZero() || own != 0 && own != t.System {
		return meridian.Fate{Is: meridian.Valid, Why: "it is of no history that is known here"}
	}
	forks := p.deps.Forks()
	f := decideFate(t, now.Timeline, forks, nil, p.noHorizon)
	if f.Is == meridian.Sought && p.deps.Horizon != nil {
		f = decideFate(t, now.Timeline, forks, p.deps.Horizon(t.Timeline), p.noHorizon)
	}
	if p.criesWolf && !f.Fresh.IsZero() {
		f.Is = meridian.Lost
	}
	return f
}

// reckon says what the session must hear of its last write before it goes on,
// once: nil if that is as it was told.
func (c *client) reckon(ctx context.Context) *wire.Error {
	if c.env != nil || c.group.Sent > 0 {
		return nil // a function's caller has a token of its own
	}
	c.mu.Lock()
	t, rests := c.floor, c.blockLocked() == nowhere && c.idleLocked()
	c.mu.Unlock()
	if t.Handle == "" || !rests {
		return nil
	}
	f := c.p.Fate(t)
	for began := time.Now(); f.Is == meridian.Sought && time.Since(began) < c.p.cfg.DoubtBudget && ctx.Err() == nil; f = c.p.Fate(t) {
		pause(ctx, doubtRetry)
	}
	if f.Fresh.IsZero() && f.Is != meridian.Sought {
		return nil
	}
	c.mu.Lock()
	if f.Is == meridian.Sought {
		c.floor.Handle, c.floor.Wrote = "", 0
	} else {
		c.floor = f.Fresh
	}
	c.mu.Unlock()
	switch f.Is {
	case meridian.Lost:
		c.p.metrics.lost.Inc()
		return &wire.Error{Severity: "ERROR", Code: stateLostWrite, Message: "meridian: " + f.Why,
			Detail: "Handle " + t.Handle + ".", Hint: "Nothing of this statement was carried out. It may be sent again, and is answered as the history is now."}
	case meridian.Unknown, meridian.Sought:
		return &wire.Error{Severity: "ERROR", Code: stateInDoubt, Message: "meridian: " + f.Why,
			Detail: "Handle " + t.Handle + ".", Hint: "Nothing of this statement was carried out. It may be sent again."}
	}
	return nil
}

// wroteLocked notes the write of a group that was answered, by its handle.
func (u *upstream) wroteLocked(k mark) {
	if k.where == noMark || !u.tracker.Committed() || u.backend != nil && u.timeline == 0 {
		return
	}
	c, t := u.c, u.at
	if u.backend != nil { // the position is sampled at the invocation's end
		t = meridian.Token{System: c.p.watch.known().served.System, Timeline: u.timeline}
	}
	t.Handle, t.Wrote = k.handle, t.LSN
	if c.env != nil {
		c.env.wrote(t)
	} else {
		c.floor = newest(c.floor, t)
	}
}

// wrote notes the write of a connection, of which only the handle and the
// timeline are known if its position is 0.
func (e *env) wrote(t meridian.Token) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.inFlight {
		w.wrote = t
	}
}

// name returns the token of an invocation's end with its caller's last write:
// the invocation's own, or else the one that its caller came with. If another
// timeline has begun since that write, and it may be lost, the caller gets the
// write's own token: it hears of it when it comes back.
func (p *Proxy) name(t meridian.Token, w *work) meridian.Token {
	last := w.wrote
	switch {
	case last.Handle == "":
		last = w.floor
	case last.System == 0: // the sample was just being taken anew
		last.System = t.System
	}
	switch {
	case last.Handle == "" || last.System != t.System:
		return t
	case last.Timeline == t.Timeline:
		if last.Wrote == 0 {
			last.Wrote = t.LSN
		}
		t.Handle, t.Wrote = last.Handle, last.Wrote
		return t
	case last.Wrote == 0 && p.deps.Forks != nil:
		// A planned move hands over all that was acknowledged. After any other it is
		// past the end, so that the handle is looked for.
		if end := p.endOf(last.Timeline, t.LSN); !end.Planned {
			last.LSN, last.Wrote = end.LSN+1, end.LSN+1
		}
	}
	if f := p.fate(last, t); last.Wrote > 0 && (f.Is == meridian.Lost || f.Is == meridian.Sought || f.Is == meridian.Unknown) {
		last.Database = t.Database
		return last
	}
	return t
}
