package postgres

import (
	"errors"

	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// exchange sends the group at hand and holds its replies until it is answered.
// It returns the standby's refusal if the group may move.
func (n *near) exchange(c *client) (*refusal, error) {
	c.mu.Lock()
	n.out, c.cut = n.out[:0], false
	if c.group.Sent == 0 {
		c.state.Try()
		if n.tracker.Status != 'E' {
			n.out = n.tracker.Ahead(n.out, c.group.Messages)
		}
	}
	for i, m := range c.group.Messages[c.group.Sent:] {
		if c.group.Sent > 0 { // before, it was brought
			n.out = n.tracker.Bring(n.out, &c.group.Messages[c.group.Sent+i])
		}
		n.out = n.tracker.Encode(n.out, m)
	}
	c.mu.Unlock()
	c.group.Sent = len(c.group.Messages)
	if last := c.group.Messages[len(c.group.Messages)-1]; !c.group.Ended && last.Kind != 'H' {
		n.out = wire.Builder(n.out).Message('H')
	}
	sent := make(chan error, 1)
	defer c.running.Store(false)
	if len(n.out) <= atOnce {
		_, err := n.backend.Conn.Write(n.out)
		sent <- err
		c.running.Store(true)
	} else {
		c.running.Store(true)
		go func() { _, err := n.backend.Conn.Write(n.out); sent <- err }()
	}
	r, err := n.replies(c)
	if err != nil {
		n.backend.Conn.Close() // the writer ends with it
	}
	return r, errors.Join(err, <-sent)
}

// atOnce is what a socket takes while nobody reads at the other end: a longer
// flight is written while its replies are read, or both ends might wait.
const atOnce = 16 << 10

// replies reads until the group, or what was flushed of it, is answered.
func (n *near) replies(c *client) (*refusal, error) {
	for {
		if n.tracker.Skipping() {
			c.group.Ended = false // what would have ended it is passed over
		}
		if !c.group.Ended && n.tracker.Idle() {
			return nil, nil
		}
		f, err := n.backend.Reader.Frame()
		if err != nil {
			return nil, err
		}
		if f.Type() == 'E' {
			c.mu.Lock()
			f = n.tracker.Words(f)
			c.mu.Unlock()
		}
		if f.Type() == 'E' && !c.released.data && !n.tracker.Aside() {
			e, err := wire.ParseError(f.Body())
			if err != nil {
				return nil, err
			}
			if e.Fatal() {
				return nil, e
			}
			c.spares(e)
			if r := refused(e, c.block == onNear && !c.begin.lazy); r.moves && (c.block != onNear || c.begin.movable) && !c.signals.judged(e) {
				return &r, n.drain(c, f)
			}
		}
		c.mu.Lock()
		show := n.tracker.Reply(f)
		c.hold = append(c.hold, n.tracker.Owed()...)
		differs := n.tracker.Differs()
		c.mu.Unlock()
		if differs && !c.released.data {
			return &refusal{moves: c.block != onNear || c.begin.movable, why: "its columns are not those that the client was told"}, n.passOver(c)
		}
		if show {
			c.keep(f)
		}
		if f.Type() == 'Z' && n.tracker.Idle() {
			return nil, nil
		}
		if len(c.hold) > c.p.cfg.Hold {
			if why := c.showed(); why != "" {
				return nil, errShut(why)
			}
			c.put()
			if err := c.flush(); err != nil {
				return nil, err
			}
		}
	}
}

// drain reads away the rest of a group that the standby refused.
func (n *near) drain(c *client, f wire.Frame) error {
	c.mu.Lock()
	n.tracker.Reply(f)
	c.mu.Unlock()
	return n.passOver(c)
}

// passOver reads away the rest of a group, which is ended there.
func (n *near) passOver(c *client) error {
	if !c.group.Ended {
		if err := n.sync(c); err != nil {
			return err
		}
	}
	return n.settle(c)
}

// sync ends a group that the client has not ended.
func (n *near) sync(c *client) error {
	c.mu.Lock()
	sync := n.tracker.Encode(nil, session.Message{Kind: 'S', Frame: wire.Frame(wire.Builder(nil).Sync())})
	c.mu.Unlock()
	_, err := n.backend.Conn.Write(sync)
	return err
}

// settle reads to the end of what was sent and shows nobody, but for what changed of
// the parameters where the client has seen the success of what changed them.
func (n *near) settle(c *client) error {
	for {
		if n.tracker.Skipping() { // it passed over what ends the group
			if err := n.sync(c); err != nil {
				return err
			}
		}
		f, err := n.backend.Reader.Frame()
		if err != nil {
			return err
		}
		c.mu.Lock()
		n.tracker.Reply(f)
		done := f.Type() == 'Z' && n.tracker.Idle()
		if f.Type() == 'S' && c.released.data {
			c.reports = reported(c.reports, f)
		}
		c.mu.Unlock()
		if done {
			return nil
		}
	}
}

// keep holds a reply back.
func (c *client) keep(f wire.Frame) {
	if f.Type() == 'S' {
		c.hold = reported(c.hold, f)
		return
	}
	c.hold = append(c.hold, f...)
	switch f.Type() {
	case '1', '2', '3', 'n', 't', 'T':
		c.released.held++
	case 'D', 'C', 'I', 's', 'd', 'c', 'H', 'E', 'V':
		c.released.heldData = true
	}
}

// reported appends what a standby reports of a parameter, as the client should see it.
func reported(dst []byte, f wire.Frame) []byte {
	if name, value, err := wire.ParseParameter(f.Body()); err == nil && honest(name, value) != value {
		return wire.Builder(dst).Parameter(name, honest(name, value))
	}
	return append(dst, f...)
}

// put puts out what is held.
func (c *client) put() {
	c.mu.Lock()
	c.out = append(c.out, c.hold...)
	if c.group.Ended || c.released.heldData {
		c.state.Tried()
	}
	c.mu.Unlock()
	c.hold = c.hold[:0]
	c.released.frames += c.released.held
	c.released.data = c.released.data || c.released.heldData
	c.released.held, c.released.heldData = 0, false
}
