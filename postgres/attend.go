package postgres

import (
	"context"

	"meridian/internal/loop"
)

// attends returns what serves the session, for as long as its groups come whole
// and flow to a backend on the local primary, without the client's own goroutine.
func (c *client) attends(ctx context.Context, err *error) func() {
	conn, ok := c.conn.(interface{ ReadNow([]byte) (int, error) })
	if !ok || c.p.cfg.TransactionPooling {
		return func() {}
	}
	read := conn.ReadNow
	take := func() bool {
		if *err = c.rd.Fill(read); *err != nil {
			nothing := *err == loop.ErrNothing
			*err = nil // next meets it again
			return nothing
		}
		for *err == nil && c.rd.Ready() {
			*err = c.next(ctx)
		}
		return *err == nil && c.flows()
	}
	send := func() bool {
		if c.flushAll() != nil {
			*err = errEnd
		}
		return *err == nil
	}
	return func() {
		if !c.flows() {
			return
		}
		if loop.Attend(c.conn, take, send); *err == nil && !c.rd.Ready() {
			send() // what was taken before what is left
		}
	}
}

// flows reports whether all that the client said is done or on its way to the
// local primary, where what it says next most likely goes as well. COPY data is
// more than a socket takes at once.
func (c *client) flows() bool {
	return c.main != nil && c.main.backend != nil && c.near == nil && c.rd.Buffered() == 0 && len(c.group.Messages) == 0 &&
		!c.placed && !c.skipping && !c.copies && !c.errand.Load()
}

// attends returns what brings the answers that come whole and are not long,
// without that goroutine, where the session stands on a loop.
func (u *upstream) attends(ctx context.Context, err *error) func() {
	conn, ok := u.conn.(interface{ ReadNow([]byte) (int, error) })
	if !ok {
		return func() {}
	}
	read := conn.ReadNow
	take := func() bool {
		if *err = u.rd.Fill(read); *err != nil {
			nothing := *err == loop.ErrNothing
			*err = nil // next meets it again
			return nothing
		}
		much := false
		for *err == nil && !much && u.rd.Ready() {
			much, *err = u.next(ctx)
		}
		return *err == nil && !much && u.rd.Buffered() == 0
	}
	send := func() bool { u.show(); return true }
	return func() {
		if u.rd.Buffered() > 0 {
			return
		}
		if loop.Attend(u.conn, take, send); *err == nil && !u.rd.Ready() {
			send() // what was taken before what is left
		}
	}
}
