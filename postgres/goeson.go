package postgres

import (
	"meridian/postgres/classify"
	"meridian/postgres/session"
)

// goesOn reports whether the group at hand goes on where it is: the client has
// seen results of it from the standby, and what follows fetches more from a
// portal that is open there, or reads. PostgreSQL runs a group in one
// transaction: what is read there later is as old as what was read first. After
// an error it passes over the rest.
func (c *client) goesOn() bool {
	if c.group.Sent == 0 || !c.released.data || c.near == nil {
		return false
	}
	if c.near.tracker.Skipping() {
		return true
	}
	for _, m := range c.group.Messages[c.group.Sent:] {
		if !mayGoOn(m) {
			return false
		}
	}
	return true
}

func mayGoOn(m session.Message) bool {
	switch m.Kind {
	case 'E', 'D', 'C', 'H', 'S':
		return true
	case 'P', 'B':
		return m.Stmt != nil && m.Stmt.Verdict.Where != classify.Primary && m.Stmt.Verdict.Block == classify.NoBlock && !m.Stmt.Verdict.Undone()
	}
	return false
}

// parts reports whether a message takes the rest of a group off the standby that
// would go on there without it: what came before it is sent there first, which may
// fetch from portals. Nor does what follows the end of a block belong to that block.
func (c *client) parts(m session.Message) bool {
	if c.block == onNear && c.endsBlock() {
		return m.Kind != 'S' && m.Kind != 'H'
	}
	return c.group.Sent > 0 && len(c.group.Messages) > c.group.Sent && !mayGoOn(m) && c.goesOn()
}

// endsBlock reports whether the group at hand ends with a COMMIT or ROLLBACK that is
// not sent.
func (c *client) endsBlock() bool {
	n := len(c.group.Messages)
	if n == c.group.Sent {
		return false
	}
	v := c.group.Messages[n-1].Verdict
	return v != nil && v.Block == classify.End && v.Foldable
}
