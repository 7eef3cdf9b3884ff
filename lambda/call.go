package lambda

import (
	"context"
	"sync"
	"time"

	"meridian"
)

// A call is one invocation on its way through.
type call struct {
	inv     meridian.Invocation
	ctx     context.Context // the span's, for the database; never canceled
	xray    string
	arrived time.Time
	done    chan struct{} // closed once the result stands in answer and err

	// Guarded by the fleet's mutex.
	id       string       // as the process knows it, once it was handed out
	env      *environment // which has it
	deadline time.Time    // by which the function must answer
	timer    *time.Timer  // fires then
	late     bool         // it has fired
	cold     bool         // it waited for a process to start
	why      string       // where it went, and why

	mu       sync.Mutex // guards what follows
	ends     []func() meridian.Observation
	finished bool
	answer   []byte
	observed meridian.Observation
	err      error
}

// begin tells the environment's databases of the invocation. It does nothing
// if the call has been finished meanwhile.
func (c *call) begin(e *environment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	for _, a := range e.attached {
		floor := meridian.Tokens(c.inv.Floor).Of(a.name)
		c.ends = append(c.ends, a.db.Begin(c.ctx, e.name, floor, c.inv.Reads))
	}
}

// finish sets the result and lets the caller go. Only the first one counts.
func (c *call) finish(answer []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	c.finished, c.answer, c.err = true, answer, err
	c.end()
	close(c.done)
}

// end ends what begin began, and joins what was observed.
func (c *call) end() {
	for _, end := range c.ends {
		o := end()
		if c.observed.Token.IsZero() {
			c.observed.Token = o.Token
		}
		if c.observed.PrimaryAway == "" {
			c.observed.PrimaryAway = o.PrimaryAway
		}
		if c.observed.Stale == "" {
			c.observed.Stale = o.Stale
		}
		c.observed.Local += o.Local
		c.observed.Forwarded += o.Forwarded
		c.observed.Trips += o.Trips
		c.observed.Shared = c.observed.Shared || o.Shared
		c.observed.Waited += o.Waited
	}
	c.ends = nil
}
