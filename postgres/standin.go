package postgres

import (
	"context"
	"net"
	"sync"
	"time"

	"meridian/postgres/wire"
)

// A session that has read and nothing else has no process on the primary. What
// signals it there, as in a transaction block, is given that of a stand-in: a
// session of the same role on the primary, which sleeps. PostgreSQL judges who
// may signal that; what becomes of it is done to the session.
type standIn struct {
	target   *client
	conn     net.Conn
	rd       *wire.Reader
	process  uint32
	settle   func()        // says that the statement which signals was answered, or will not run
	answered chan struct{} // closed by settle
	spare    func()        // says that PostgreSQL refused the signal
	spared   chan struct{} // closed by spare
	done     chan struct{} // closed once it is known what became of it
}

// standsIn is how long a stand-in stands at most.
const standsIn = time.Hour

// noticesLeaving has its sleep end soon after its connection has: PostgreSQL does
// not look by itself. Before version 14 it cannot, and it sleeps on.
const noticesLeaving = "SELECT pg_catalog.set_config(name, '500ms', false) FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'"

// standIn opens a stand-in, or returns nil.
func (c *client) standIn(ctx context.Context, target *client) *standIn {
	region, here := c.p.primary()
	if here || c.p.noStandIns {
		return nil
	}
	c.p.loops.Slow()
	within, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout)
	defer cancel()
	conn, err := c.p.deps.Remote(within, region)
	if err != nil {
		return nil
	}
	s := &standIn{target: target, conn: conn, rd: wire.NewReader(conn), answered: make(chan struct{}), spared: make(chan struct{}), done: make(chan struct{})}
	s.settle = sync.OnceFunc(func() { close(s.answered) })
	s.spare = sync.OnceFunc(func() { close(s.spared) })
	if s.process = s.open(c.p); s.process == 0 {
		conn.Close()
		return nil
	}
	c.p.standIns.Go(func() { s.run(ctx) }) // Run waits for it
	return s
}

// open returns its process, or 0.
func (s *standIn) open(p *Proxy) uint32 {
	s.conn.SetDeadline(time.Now().Add(p.cfg.PrimaryTimeout))
	h := wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeSession, From: string(p.cfg.Region), ID: secret(16), Who: s.target.who(),
		Role: s.target.role, Database: p.cfg.Database, Term: p.term(), State: wire.State{SQL: []string{noticesLeaving}}}
	out := wire.Builder(nil).JSON(wire.FrameHello, h)
	// What it says is sent at once, and it sleeps by then.
	out = out.Query("DO LANGUAGE plpgsql $$BEGIN RAISE INFO 'it stands'; PERFORM pg_catalog.pg_sleep(3600); END$$")
	if _, err := s.conn.Write(out); err != nil {
		return 0
	}
	process := uint32(0)
	for {
		f, err := s.rd.Frame()
		if err != nil {
			return 0
		}
		switch f.Type() {
		case wire.FrameWelcome:
			process = numberOf(f.Body(), paramProcess)
		case 'N':
			return process
		case 'E', 'Z', wire.FrameRefuse:
			return 0
		}
	}
}

// run waits for what becomes of it, for a moment longer than for the answer of
// the statement that signals it.
func (s *standIn) run(ctx context.Context) {
	defer close(s.done)
	said := make(chan string, 1)
	s.conn.SetDeadline(time.Now().Add(standsIn))
	go func() { said <- s.word() }()
	code := ""
	select {
	case code = <-said:
	case <-ctx.Done():
	case <-s.spared:
	case <-s.answered:
		late := time.NewTimer(ending)
		defer late.Stop()
		select {
		case code = <-said:
		case <-late.C: // it was signaled by no statement
		case <-s.spared:
		case <-ctx.Done():
		}
	}
	s.conn.Close()
	if code == "" {
		if s.target.double.CompareAndSwap(s, nil) {
			s.target.doomed.Store(false)
		}
		return
	}
	if code == stateCanceled {
		s.target.cancel(ctx)
		return
	}
	s.target.kill(ctx)
}

// word returns the SQLSTATE with which its sleep ends, or "".
func (s *standIn) word() string {
	for {
		f, err := s.rd.Frame()
		if err != nil {
			return ""
		}
		switch f.Type() {
		case 'E':
			if e, err := wire.ParseError(f.Body()); err == nil {
				return e.Code
			}
			return ""
		case 'Z', wire.FrameRefuse:
			return ""
		}
	}
}

// kill ends a session that stands on the standby alone.
func (c *client) kill(ctx context.Context) {
	c.doomed.Store(true)
	c.mu.Lock()
	n := c.near
	busy := n != nil && c.running.Load()
	if n != nil {
		n.backend.Conn.Close()
	}
	c.pokeLocked()
	c.mu.Unlock()
	if busy { // nobody reads what it says
		cancelAt(ctx, n.on.dial, n.backend)
	}
}

// settle lets the stand-ins of what was not sent go.
func (c *client) settle() {
	for _, s := range c.signals.standIns {
		s.settle()
	}
	c.signals = signaled{}
}

// settling returns end with the settling of stand-ins behind it.
func settling(end func(), standIns []*standIn) func() {
	if len(standIns) == 0 {
		return end
	}
	return func() {
		end()
		for _, s := range standIns {
			s.settle()
		}
	}
}
