package postgres

// Transaction pooling: between transactions a session holds no backend. What
// makes the next one the session's own is what makes a backend on another
// server that: its settings are set again, its prepared statements are prepared
// where they are used (package session). The pool discards all that one client
// left before the next one gets the backend.

// givesBackLocked reports whether the session's backend on the primary is given
// back now: nothing is open there, and nothing that only it has.
func (c *client) givesBackLocked(u *upstream) bool {
	return c.p.cfg.TransactionPooling && u != nil && u.freeLocked()
}

// freeLocked reports whether another backend would do as well for what comes next.
func (u *upstream) freeLocked() bool {
	return !u.dead && u.tracker.Idle() && u.tracker.Status == 'I' && !u.mid && len(u.c.again) == 0 && u.c.immovable() == ""
}

// giveBack gives the backends back that the session does not need until the
// client's next message.
func (c *client) giveBack() {
	if !c.p.cfg.TransactionPooling || len(c.group.Messages) > 0 || c.placed || c.skipping {
		return
	}
	c.mu.Lock()
	u, n := c.main, c.near
	if c.givesBackLocked(u) {
		c.main = nil
	} else {
		u = nil
	}
	if n != nil && c.block != onNear && n.tracker.Idle() && n.tracker.Status == 'I' {
		c.near = nil
	} else {
		n = nil
	}
	cancels := c.canceling
	c.mu.Unlock()
	if u != nil || n != nil {
		c.p.spent(cancels)
	}
	if u != nil {
		u.close()
	}
	if n != nil {
		n.backend.Release(true)
	}
}
