package postgres

import (
	"bytes"
	"strings"

	"meridian/postgres/classify"
	"meridian/postgres/session"
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

// surely reports whether messages are those of one statement, as drivers send them,
// and fit each other: if the statement cannot fail, none of them can.
func surely(group []session.Message) bool {
	const order = "PBDECS" // each may be missing
	at := 0
	var st *session.Statement
	var portal []byte
	for _, m := range group {
		if m.Kind == 'Q' {
			return len(group) == 1
		}
		if m.Kind == 'H' {
			continue
		}
		i, body := strings.IndexByte(order[at:], m.Kind), m.Frame.Body()
		if i < 0 || m.Taken != nil {
			return false
		}
		at += i
		switch {
		case m.Kind == 'B':
			portal = body[:bytes.IndexByte(body, 0)+1]
			if !bare(body) {
				return false
			}
		case m.Kind == 'E' && (portal == nil || !bytes.HasPrefix(body, portal)),
			m.Kind == 'D' && body[0] == 'P' && !bytes.Equal(body[1:], portal):
			return false
		}
		if names := m.Kind == 'B' || m.Kind == 'D' && body[0] == 'S'; names && (m.Stmt == nil || st != nil && m.Stmt != st) {
			return false
		}
		if m.Stmt != nil {
			st = m.Stmt
		}
	}
	return true
}

// bare reports whether a Bind has no parameters.
func bare(body []byte) bool {
	portal, stmt, err := wire.ParseBind(body)
	if err != nil {
		return false
	}
	rest := body[len(portal)+len(stmt)+2:]
	return bytes.HasPrefix(rest, []byte{0, 0, 0, 0}) || len(rest) > 5 && bytes.HasPrefix(rest, []byte{0, 1}) && rest[4] == 0 && rest[5] == 0
}

// endEmpty answers COMMIT or ROLLBACK of a block whose BEGIN was never sent.
func (c *client) endEmpty() {
	tag := "COMMIT"
	for _, m := range c.group.Messages {
		if v := m.Verdict; v != nil && classify.IsRollback(m.Text) {
			tag = "ROLLBACK"
		}
	}
	c.endAs(tag)
}

// endAs answers the end of a block that no backend has.
func (c *client) endAs(tag string) {
	c.block, c.begin = nowhere, begun{}
	c.answer(tag, 'I')
}

// answer plays the backend for the group at hand: one statement without
// parameters and rows.
func (c *client) answer(tag string, status byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answerLocked(c.group.Messages, tag, status)
	c.state.EndPortals()
	c.endGroup()
}

func (c *client) answerLocked(messages []session.Message, tag string, status byte) {
	out := wire.Builder(c.out)
	for _, m := range messages {
		switch m.Kind {
		case 'Q':
			out = out.Complete(tag).Ready(status)
			c.state.DropUnnamed(m)
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
}
