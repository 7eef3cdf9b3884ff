package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// In a secondary's region a client is told a number at its login that is no
// process's (told); pg_backend_pid() tells that of its process on the
// primary. Where either is given to pg_terminate_backend or pg_cancel_backend,
// the proxy puts that process's in its place which is the session's on the
// server where it stands. PostgreSQL judges who may do that.

// numbered is the least of these numbers.
const numbered = 1 << 30

// signaled is what the group at hand signals.
type signaled struct {
	targets []*client
	near    bool     // all of them stand on the standby: so the statement runs there
	on      *replica // which, then
	ends    bool     // it may end them

	standIns []*standIn
}

var terminates = []byte("pg_terminate_backend")

// translate puts processes in the place of sessions' numbers in a message that
// signals them.
func (c *client) translate(ctx context.Context, m session.Message) session.Message {
	switch {
	case m.Kind == 'Q' && m.Verdict != nil && m.Verdict.Signals:
		c.signals.ends = c.signals.ends || bytes.Contains(m.Text, terminates)
		text := c.inText(ctx, m.Text)
		m.Frame = wire.Frame(wire.Builder(nil).Query(string(text)))
		m.Text = m.Frame.Body()[:len(text)]
	case m.Kind == 'B' && m.Stmt != nil && m.Stmt.Verdict.Signals:
		c.signals.ends = c.signals.ends || bytes.Contains(m.Stmt.Text, terminates)
		if text := c.inText(ctx, m.Stmt.Text); m.Stmt.Frame != nil && !bytes.Equal(text, m.Stmt.Text) {
			c.mu.Lock()
			m.Stmt = c.state.Instead(m.Stmt, text)
			c.mu.Unlock()
		}
		if body, ok := c.inBind(ctx, m.Frame.Body()); ok {
			m.Frame = wire.Frame(wire.Builder(nil).Message('B', body))
		}
	}
	return m
}

// inText translates the decimal numbers of a text.
func (c *client) inText(ctx context.Context, text []byte) (out []byte) {
	for i := 0; i < len(text); {
		j := i
		for j < len(text) && text[j] >= '0' && text[j] <= '9' {
			j++
		}
		if j == i {
			out = append(out, text[i])
			i++
			continue
		}
		if n, err := strconv.ParseUint(string(text[i:j]), 10, 32); err == nil {
			if pid := c.process(ctx, uint32(n)); pid != 0 {
				out = strconv.AppendUint(out, uint64(pid), 10)
				i = j
				continue
			}
		}
		out = append(out, text[i:j]...)
		i = j
	}
	return out
}

// inBind translates the arguments of a Bind: numbers in text, and numbers of
// four bytes, which may stand in an array.
func (c *client) inBind(ctx context.Context, body []byte) ([]byte, bool) {
	portal, stmt, err := wire.ParseBind(body)
	at := len(portal) + len(stmt) + 2
	if err != nil || len(body) < at+2 {
		return nil, false
	}
	formats := int(binary.BigEndian.Uint16(body[at:]))
	head := at + 2 + 2*formats
	if len(body) < head+2 {
		return nil, false
	}
	out, rest := bytes.Clone(body[:head+2]), body[head+2:]
	for i := range int(binary.BigEndian.Uint16(body[head:])) {
		if len(rest) < 4 {
			return nil, false
		}
		n := int(int32(binary.BigEndian.Uint32(rest)))
		if n < 0 {
			out, rest = append(out, rest[:4]...), rest[4:]
			continue
		}
		if len(rest) < 4+n {
			return nil, false
		}
		arg := rest[4 : 4+n]
		format := 0
		if formats > 0 {
			format = int(binary.BigEndian.Uint16(body[at+2+2*min(i, formats-1):]))
		}
		if format == 1 {
			arg = c.inBinary(ctx, arg)
		} else {
			arg = c.inText(ctx, arg)
		}
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(arg))), arg...)
		rest = rest[4+n:]
	}
	return append(out, rest...), true
}

func (c *client) inBinary(ctx context.Context, arg []byte) []byte {
	out := bytes.Clone(arg)
	for i := 0; i+4 <= len(out); i += 4 {
		if pid := c.process(ctx, binary.BigEndian.Uint32(out[i:])); pid != 0 {
			binary.BigEndian.PutUint32(out[i:], pid)
		}
	}
	return out
}

// named returns the session that was told that number, or whose process on the
// primary has it; or nil.
func (p *Proxy) named(number uint32) *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, s := range p.sessions {
		if number >= numbered && k.PID == number || number < numbered && s.mainPID.Load() == number {
			return s
		}
	}
	return nil
}

// process returns the process of the session with that number, or 0. Sessions
// that stand on both servers are taken where they work, or have written.
func (c *client) process(ctx context.Context, number uint32) uint32 {
	target := c.p.named(number)
	if target == nil || number == 0 {
		return 0
	}
	c.met(target)
	c.mu.Lock()
	free := !c.placed && c.blockLocked() == nowhere && c.idleLocked() && c.state.Pinned == ""
	c.mu.Unlock()
	number, asks := c.processOf(target, free)
	if !asks {
		return number
	}
	if target == c {
		return c.ownProcess(ctx)
	}
	s := c.standIn(ctx, target)
	if s == nil {
		return 0
	}
	target.double.Store(s)
	c.signals.targets, c.signals.near = append(c.signals.targets, target), false
	c.signals.standIns = append(c.signals.standIns, s)
	return s.process
}

// ownProcess returns the session's own process on the primary, or 0.
func (c *client) ownProcess(ctx context.Context) uint32 {
	if _, here := c.p.primary(); here || c.ensureMain(ctx) != nil {
		return 0
	}
	within, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout)
	defer cancel()
	if _, err := c.main.welcome(within); err != nil {
		return 0
	}
	return c.main.pid
}

// processOf returns the process of a session, or that it needs a stand-in on the
// primary. free says that the statement at hand may run on the standby.
func (c *client) processOf(target *client, free bool) (process uint32, asks bool) {
	target.mu.Lock()
	defer target.mu.Unlock()
	first := len(c.signals.targets) == 0
	n, u := target.near, target.main
	switch {
	case n != nil && free && (c.signals.on == nil || c.signals.on == n.on) && (u == nil || u.dead || target.nearBusy.Load()):
		c.signals.on = n.on
		c.signals.targets, c.signals.near = append(c.signals.targets, target), first || c.signals.near
		return n.backend.Key.PID, false
	case u != nil && !u.dead && u.pid != 0:
		c.signals.targets, c.signals.near = append(c.signals.targets, target), false
		return u.pid, false
	}
	return 0, n != nil && (u == nil || u.dead)
}

// met waits until it is known which process a session gets that is on its way to
// the primary: it may run what is to be ended.
func (c *client) met(target *client) {
	target.mu.Lock()
	u := target.main
	knows := u == nil || u.dead || u.pid != 0
	target.mu.Unlock()
	if knows || c.p.hasty {
		return
	}
	if c.main != nil { // who is waited for may wait for this session
		c.main.flush()
	}
	late := time.NewTimer(c.p.cfg.PrimaryTimeout)
	defer late.Stop()
	c.p.loops.Slow()
	select {
	case <-u.hello:
	case <-u.done:
	case <-late.C:
	}
}

// judged reports whether an error of the standby is PostgreSQL's word on who may
// signal its processes: no other server says anything else.
func (s *signaled) judged(e *wire.Error) bool { return s.near && strings.HasPrefix(e.Code, "42") }

// signal says that the sessions which the group at hand signals may end by it.
func (c *client) signal() {
	for _, t := range c.signals.targets {
		t.doomed.Store(c.signals.ends)
	}
	if len(c.signals.targets) == 1 {
		c.aim.Store(c.signals.targets[0])
	}
}

// spares lets the one session that was aimed at go on at once where PostgreSQL
// says that this one may not signal it.
func (c *client) spares(e *wire.Error) {
	ends := strings.Contains(e.Others, "Rpg_terminate_backend\x00")
	if e.Code != "42501" || !ends && !strings.Contains(e.Others, "Rpg_cancel_backend\x00") {
		return
	}
	if t := c.aim.Swap(nil); t != nil {
		if ends {
			t.doomed.Store(false)
		}
		if s := t.double.Load(); s != nil {
			s.spare()
		}
	}
}

// signalled lets them look, once it has run.
func (c *client) signalled() {
	was := c.signals
	c.signals = signaled{}
	for _, t := range was.targets {
		if t == c || !was.ends {
			continue
		}
		t.mu.Lock()
		t.pokeLocked()
		t.mu.Unlock()
	}
}

// ending is how long a server process may take to end once it was told.
const ending = time.Second

// sentenced returns the error that ends a session whose server process on the
// standby somebody ended while it was at rest.
func (c *client) sentenced(ctx context.Context) error {
	if !c.doomed.Load() || c.near == nil || c.nearBusy.Load() {
		return nil
	}
	for until := time.Now().Add(ending); c.near.backend.Quiet() && ctx.Err() == nil; pause(ctx, time.Millisecond) {
		if time.Now().After(until) { // PostgreSQL did not allow it
			c.doomed.Store(false)
			return nil
		}
	}
	c.near.backend.Conn.SetReadDeadline(time.Now().Add(ending))
	for {
		f, err := c.near.backend.Reader.Frame()
		if err != nil {
			return c.executed(err)
		}
		if f.Type() != 'E' {
			continue
		}
		if e, err := wire.ParseError(f.Body()); err == nil {
			return c.executed(e)
		}
	}
}

// condemned waits for the end of a session whose server process on the primary
// somebody was about to end: nothing else of it runs, on either server. It
// returns why the session must end, if it must.
func (c *client) condemned(ctx context.Context) error {
	if !c.doomed.Load() {
		return nil
	}
	var done chan struct{}
	c.mu.Lock()
	if c.main != nil {
		done = c.main.done
	}
	c.mu.Unlock()
	s := c.double.Swap(nil)
	if s != nil {
		done = s.done
	}
	if done == nil {
		return nil
	}
	late := time.NewTimer(ending)
	defer late.Stop()
	c.p.loops.Slow()
	select {
	case <-done:
	case <-late.C: // PostgreSQL did not allow it
		c.doomed.Store(false)
	case <-ctx.Done():
	}
	if s != nil {
		return c.sentenced(ctx)
	}
	return c.ready()
}

// executed returns the error that ends the session, in PostgreSQL's words if
// there are any.
func (c *client) executed(err error) error {
	c.closeNear()
	var e *wire.Error
	if !errors.As(err, &e) {
		e = &wire.Error{Code: stateShutdown, Message: "terminating connection due to administrator command"}
	}
	return &fatalError{e}
}
