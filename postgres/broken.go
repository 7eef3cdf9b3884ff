package postgres

import (
	"slices"

	"meridian/postgres/classify"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A BEGIN is answered before it is sent. Where the primary is lost with it, the client
// stands in a block that nobody has. What it sends next must not run outside: the
// block has failed, as one does on PostgreSQL, up to its end.

// inBroken reports whether the client stands in such a block.
func (c *client) inBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// mends answers for the group at hand if the client stands in such a block.
func (c *client) mends() bool {
	if !c.inBroken() {
		return false
	}
	if c.endsAlone() {
		c.mu.Lock()
		c.broken = false
		c.mu.Unlock()
		c.endAs("ROLLBACK")
		return true
	}
	if n := endsFirst(c.group.Messages); n > 0 { // what follows is outside of it
		c.mu.Lock()
		c.broken, c.block, c.begin = false, nowhere, begun{}
		c.answerLocked(c.group.Messages[:n], "ROLLBACK", 'I')
		c.mu.Unlock()
		if c.group.Drop(n); len(c.group.Messages) > 0 {
			return false
		}
		c.endGroup()
		return true
	}
	c.fail(&wire.Error{Severity: "ERROR", Code: stateFailed, Message: "current transaction is aborted, commands ignored until end of transaction block"})
	return true
}

// endsAlone reports whether the group at hand is a COMMIT or ROLLBACK.
func (c *client) endsAlone() bool {
	n := 0
	for _, m := range c.group.Messages {
		switch v := m.Verdict; {
		case v == nil && m.Kind != 'E':
		case v == nil || v.Block != classify.End || !v.Foldable || v.Count != 1:
			return false
		default:
			n++
		}
	}
	return n == 1 && c.group.Ended && surely(c.group.Messages)
}

// endsFirst returns how many messages of a group are those of a COMMIT or ROLLBACK that
// comes first in it; 0: it begins with something else.
func endsFirst(group []session.Message) int {
	n := 1 + slices.IndexFunc(group, func(m session.Message) bool { return m.Kind == 'E' })
	if n == 0 || !surely(group[:n]) {
		return 0
	}
	if v := group[n-1].Verdict; v == nil || v.Block != classify.End || !v.Foldable || v.Count != 1 {
		return 0
	}
	return n
}
