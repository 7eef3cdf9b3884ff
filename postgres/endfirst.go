package postgres

import (
	"meridian/postgres/classify"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A Query of several statements may begin with COMMIT or ROLLBACK, or in a block that has
// failed with PREPARE TRANSACTION, which is then the same. The rest is not of
// the block that this ends: it may write, though the block was READ ONLY and is on the
// standby, or had failed before it was begun anywhere. The block ends where it is; then
// the primary is sent the Query as it is, so that the rest is what PostgreSQL makes of
// it, and the client does not see that there was no block.

// endFirst ends the block if the group at hand is such a Query. It reports whether
// that was all.
func (c *client) endFirst() (done bool, err error) {
	if len(c.group.Messages) != 1 {
		return false, nil
	}
	m := &c.group.Messages[0]
	if m.Kind != 'Q' || m.Verdict == nil || m.Ended {
		return false, nil
	}
	prepares := m.Verdict.Count > 1 && classify.IsPrepared(m.Text)
	switch {
	case !m.Verdict.Ends && !prepares:
		return false, nil
	case c.inBroken():
		c.mu.Lock()
		c.broken, c.out = false, wire.Builder(c.out).Complete("ROLLBACK")
		c.mu.Unlock()
	case c.block == onNear && (!prepares || c.near.tracker.Status == 'E'):
		if done, err = c.endNear(prepares || classify.IsRollback(m.Text), true); done || err != nil {
			return done, err
		}
	default:
		return false, nil
	}
	if m.Ended = true; prepares { // without a block PostgreSQL would prepare the script's
		m.Text = classify.AsRollback(m.Text)
		m.Frame = wire.Frame(wire.Builder(nil).Query(string(m.Text)))
	}
	return false, nil
}

// endNear ends the block on the standby. It reports whether that failed, which the
// client is told; shown says that it is told of the end, too.
func (c *client) endNear(rollback, shown bool) (failed bool, err error) {
	sql := "COMMIT"
	if rollback {
		sql = "ROLLBACK"
	}
	c.nearBusy.Store(true)
	defer c.nearBusy.Store(false)
	n := c.near
	c.mu.Lock()
	out := n.tracker.Encode(nil, session.Message{Kind: 'Q', Frame: wire.Frame(wire.Builder(nil).Query(sql)), Verdict: &classify.Verdict{Block: classify.End, Count: 1}})
	c.mu.Unlock()
	if _, err := n.backend.Conn.Write(out); err != nil {
		return false, c.blockLost(err)
	}
	for !n.tracker.Idle() {
		f, err := n.backend.Reader.Frame()
		if err != nil {
			return false, c.blockLost(err)
		}
		failed = failed || f.Type() == 'E'
		c.ended(f, shown)
	}
	c.block, c.begin = nowhere, begun{}
	if failed {
		c.mu.Lock()
		c.readyLocked()
		c.mu.Unlock()
		c.endGroup()
	}
	return failed, nil
}

// ended takes what the standby says of the end of a block.
func (c *client) ended(f wire.Frame, shown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	show := c.near.tracker.Reply(f)
	switch {
	case f.Type() == 'S':
		c.reports = reported(c.reports, f)
	case show && f.Type() != 'Z' && (shown || f.Type() == 'E'):
		c.out = append(c.out, f...)
	}
}

// endPrepared ends a block on the standby that has failed, if the group at hand is
// PREPARE TRANSACTION: PostgreSQL rolls back, and a standby refuses the words.
func (c *client) endPrepared() (done bool, err error) {
	if c.block != onNear || c.near.tracker.Status != 'E' || !c.group.Ended || c.group.Sent > 0 || !surely(c.group.Messages) {
		return false, nil
	}
	for _, m := range c.group.Messages {
		if m.Verdict == nil || m.Verdict.Count > 1 || !classify.IsPrepared(m.Text) {
			continue
		}
		if failed, err := c.endNear(true, false); failed || err != nil {
			return true, err
		}
		c.endAs("ROLLBACK")
		return true, nil
	}
	return false, nil
}
