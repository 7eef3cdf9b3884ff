package postgres

import "meridian/postgres/classify"

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
		switch m.Kind {
		case 'E', 'D', 'C', 'H', 'S':
		case 'P', 'B':
			if m.Stmt == nil || m.Stmt.Verdict.Where == classify.Primary {
				return false
			}
		default:
			return false
		}
	}
	return true
}
