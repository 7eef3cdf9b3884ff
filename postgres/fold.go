package postgres

import (
	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// fold answers BEGIN and keeps it for the flight of the block's first
// statement, which saves a round trip to the primary. It is done only for a
// BEGIN in which nothing can fail.
func (c *client) fold() {
	for _, m := range c.group.Messages {
		if m.Text != nil {
			c.begin = begun{sql: string(m.Text)}
		}
	}
	c.block = deferred
	c.answer(classify.BeginTag([]byte(c.begin.sql)), 'T')
}

// endEmpty answers COMMIT or ROLLBACK of a block whose BEGIN was never sent.
func (c *client) endEmpty() {
	tag := "COMMIT"
	for _, m := range c.group.Messages {
		if v := m.Verdict; v != nil && classify.IsRollback(m.Text) {
			tag = "ROLLBACK"
		}
	}
	c.block, c.begin = nowhere, begun{}
	c.answer(tag, 'I')
}

// answer plays the backend for the group at hand: one statement without
// parameters and rows.
func (c *client) answer(tag string, status byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := wire.Builder(c.out)
	for _, m := range c.group.Messages {
		switch m.Kind {
		case 'Q':
			out = out.Complete(tag).Ready(status)
		case 'P':
			out = out.Message('1')
			c.state.Confirm(m.Stmt)
		case 'B':
			out = out.Message('2')
		case 'C':
			out = out.Message('3')
		case 'D':
			if m.Frame.Body()[0] == 'S' {
				out = out.Message('t', []byte{0, 0})
			}
			out = out.Message('n')
		case 'E':
			out = out.Complete(tag)
		case 'S':
			out = out.Ready(status)
		}
	}
	c.out = out
	c.state.EndPortals()
	c.endGroup()
}
