package postgres

import (
	"context"
	"fmt"
	"time"

	"meridian"
	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// doubtsLocked reports whether it makes sense to ask what became of what was
// sent and not answered: the group that came last has a handle.
func (u *upstream) doubtsLocked(flights []flight, groups int) bool {
	n := len(flights)
	return u.c.p.cfg.DoubtBudget > 0 && u.refusal == nil && !u.last && n > 0 && n == groups && flights[n-1].mark.where != noMark
}

// settled waits until it is known what became of what the lost primary did not
// answer: whatever follows comes after that.
func (c *client) settled(ctx context.Context) error {
	c.mu.Lock()
	var wait chan struct{}
	if c.main != nil {
		wait = c.main.resolving
	}
	c.mu.Unlock()
	if wait == nil {
		return nil
	}
	c.p.loops.Slow()
	select {
	case <-wait:
		return c.ready()
	case <-ctx.Done():
		return meridian.WithKind(meridian.Canceled, fmt.Errorf("wait for the primary: %w", ctx.Err()))
	}
}

// resolve asks the primary of now what became of each transaction in flight,
// for as long as the budget allows. The server to which they were sent was on
// timeline, if that is not 0.
func (u *upstream) resolve(ctx context.Context, flights []flight, timeline uint32) map[string]wire.Doubted {
	answers := map[string]wire.Doubted{}
	p := u.c.p
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DoubtBudget)
	defer cancel()
	for _, f := range flights {
		if f.mark.where == noMark {
			continue
		}
		q := wire.Doubt{Handle: f.mark.handle, Timeline: timeline, Since: f.mark.since.LSN, SinceOn: f.mark.since.Timeline}
		for {
			a, err := p.outcome(ctx, q)
			if err == nil {
				answers[q.Handle] = a
				break
			}
			if ctx.Err() != nil {
				return answers
			}
			pause(ctx, doubtRetry)
		}
	}
	return answers
}

// doubtRetry is how often a primary is looked for that can answer.
const doubtRetry = 20 * time.Millisecond

// settleLocked answers the client for what was in doubt, in its order.
func (u *upstream) settleLocked(flights []flight, answers map[string]wire.Doubted, cause error) {
	for i, f := range flights {
		a, ok := answers[f.mark.handle]
		if j := i + 1; !ok && f.mark.where == noMark { // it may be part of a block that a later group commits
			for ; j < len(flights) && flights[j].mark.where == noMark; j++ {
			}
			if j < len(flights) && flights[j].mark.where != markFirst {
				a, ok = answers[flights[j].mark.handle]
			}
		}
		e := u.verdict(cause, true)
		switch {
		case ok && a.Outcome == string(meridian.Committed) && f.mark.completes:
			u.sawLocked(a, f.mark.handle)
			u.c.p.metrics.resolved("")
			u.c.out = u.tracker.Answer(u.c.out, "COMMIT")
			continue
		case ok && a.Outcome == string(meridian.Committed):
			u.sawLocked(a, f.mark.handle)
			e.Code, e.Hint = stateCommitted, "It was carried out. Do not send it again."
			e.Message = fmt.Sprintf("meridian: the transaction was committed, and its answer lost with the primary in %s", u.region)
			e.Detail = a.Why
		case ok && a.Outcome == string(meridian.Lost):
			e.Code, e.Hint = stateUndone, "Nothing of it was carried out. It may be sent again."
			e.Message = fmt.Sprintf("meridian: the transaction was lost with the primary in %s", u.region)
			e.Detail = "Handle " + f.mark.handle + ": " + a.Why
		case ok:
			e.Detail = a.Why
		}
		u.c.p.metrics.resolved(e.Code)
		u.c.out = u.tracker.Refuse(u.c.out, e)
	}
}

// sawLocked notes what the session must not miss from now on: a transaction
// that is part of the history before the fork.
func (u *upstream) sawLocked(a wire.Doubted, handle string) {
	t := u.c.p.token(wire.Position{System: u.c.p.watch.known().served.System, Timeline: a.Timeline, LSN: uint64(a.Fork)})
	if t.System == 0 {
		return
	}
	u.c.floor = newest(u.c.floor, t)
	if u.c.env != nil {
		u.c.env.saw(t)
	}
}

// completes reports whether the reply to a group is known in every byte once its
// transaction is known to be committed.
func completes(v markView, where whereMark) bool {
	s := v.Statements
	return (where == markAlone || where == markEnd) && len(s) == 1 && s[0].Block == classify.End && s[0].Foldable
}
