package postgres

import (
	"context"
	"slices"
	"time"

	"meridian"
	"meridian/postgres/classify"
)

// touch tells the ledger that the group at hand may write, before anything of it
// is sent. What is not whole yet may bring a write with its rest.
func (c *client) touch(ctx context.Context) error {
	if c.env == nil || c.p.untouching || len(c.env.untouched()) == 0 || !c.mayWrite() {
		return nil
	}
	c.p.loops.Slow()
	ctx, cancel := context.WithTimeout(ctx, touchWithin)
	defer cancel()
	err := c.env.touch(ctx)
	switch {
	case err == nil:
		return nil
	case meridian.KindOf(err) == meridian.Forbidden:
		return &finalError{errUnclaimed(err.Error())}
	}
	return errShut(err.Error())
}

// touchWithin bounds one attempt at telling the ledger.
const touchWithin = 5 * time.Second

func (c *client) mayWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.group.Messages) > 0 && !c.group.Ended {
		return true
	}
	for _, m := range c.group.Messages {
		if m.Kind != 'Q' && m.Kind != 'F' && m.Kind != 'E' {
			continue
		}
		if v := c.state.Resolve(m.Verdict); v == nil || v.Writes || v.Block == classify.Scripted {
			return true
		}
	}
	return false
}

// touch tells those for whom the environment works that something is about to be
// sent that may write. What it is told counts for what is sent from now on.
func (e *env) touch(ctx context.Context) error {
	for _, w := range e.untouched() {
		if err := e.touchOne(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) untouched() (out []*work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.inFlight {
		if w.reads.Touch != nil && !w.touched {
			out = append(out, w)
		}
	}
	return out
}

// touchOne tells of one invocation, once: the ledger refuses who tells it of what
// has been answered meanwhile. Another connection's write waits for who is telling.
func (e *env) touchOne(ctx context.Context, w *work) error {
	select {
	case w.telling <- struct{}{}:
		defer func() { <-w.telling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !e.owes(w) {
		return nil
	}
	t, err := w.reads.Touch.Touch(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	w.reads.Claim, w.touched = w.reads.Claim.Join(t), true
	return nil
}

// owes reports whether it is still to be told of an invocation, which is in flight.
func (e *env) owes(w *work) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !w.touched && slices.Contains(e.inFlight, w)
}
