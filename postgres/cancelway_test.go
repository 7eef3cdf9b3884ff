package postgres

import (
	"bytes"
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian"
)

// cancels reports whether a cancel request of some session is on its way.
func (p *Proxy) cancels() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		c.mu.Lock()
		on := c.canceling != nil
		c.mu.Unlock()
		if on {
			return true
		}
	}
	return false
}

// beforeRegions returns a way to other regions behind the turnstile.
func (s *turnstile) beforeRegions(dial func(context.Context, meridian.Region) (net.Conn, error)) func(context.Context, meridian.Region) (net.Conn, error) {
	return func(ctx context.Context, to meridian.Region) (net.Conn, error) {
		return s.before(func(ctx context.Context) (net.Conn, error) { return dial(ctx, to) })(ctx)
	}
}

// TestACancelFindsWhatIsOnItsWay cancels a statement that its proxy has, and no
// PostgreSQL yet: its stream is being opened, or a server process of the
// primary's, or its bytes are not read. It never runs to its end. Control: where
// the request waits for nothing, PostgreSQL drops it.
func TestACancelFindsWhatIsOnItsWay(t *testing.T) {
	for name, hasty := range map[string]bool{"": false, "control": true} {
		for _, place := range []string{"the stream is opened", "a server process is started", "its bytes are kept back", "here, its bytes are kept back", "on the standby, its bytes are kept back"} {
			t.Run(place+" "+name, func(t *testing.T) { cancelOnItsWay(t, place, hasty) })
		}
	}
}

func cancelOnItsWay(t *testing.T, place string, hasty bool) {
	var gate turnstile
	w := newWorld(t, func(c *Config, d *Deps) {
		switch {
		case place == "the stream is opened" && c.Region == dub:
			d.Remote = gate.beforeRegions(d.Remote)
		case place == "a server process is started" && c.Region == iad:
			d.Local = gate.before(d.Local)
		case place == "on the standby, its bytes are kept back" && c.Region == dub, c.Region == iad && (place == "its bytes are kept back" || place == "here, its bytes are kept back"):
			d.Local = gate.keepsWrites(d.Local)
		}
	})
	w.iad.cancelHasty, w.dub.cancelHasty = hasty, hasty
	p, long := w.dub, "60" // the machine may be busy
	if hasty {
		long = "0.3"
	}
	sleep := "select pg_sleep(" + long + "), pg_advisory_unlock_all()"
	switch place {
	case "here, its bytes are kept back":
		p = w.iad
	case "on the standby, its bytes are kept back":
		sleep = "select pg_sleep(" + long + ")"
	}
	c := w.connect(dsn(p))
	if place == "its bytes are kept back" { // its server process is there
		w.exec(c, "select pg_advisory_unlock_all()")
	}
	open := gate.close()
	defer open()
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), sleep, pgx.QueryExecModeSimpleProtocol)
		done <- err
	}()
	w.eventually("the statement is on its way", gate.waiting)
	canceled := make(chan error, 1)
	go func() { canceled <- c.PgConn().CancelRequest(context.Background()) }()
	if !hasty {
		w.eventually("the request is, too", p.cancels)
		open()
	}
	if err := <-canceled; err != nil {
		t.Error(err)
	}
	open()
	if err := <-done; (state(err) != "57014") != hasty {
		t.Errorf("the statement: %v", err)
	}
	// Control: nothing else is canceled.
	if get[int](w, c, "select 1") != 1 {
		t.Error("the session is of no more use")
	}
}

// A fullConn keeps the statement back that sleeps until its turnstile opens.
type fullConn struct {
	net.Conn
	s *turnstile
}

func (c *fullConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

func (c *fullConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("pg_sleep")) {
		c.s.pass()
	}
	return c.Conn.Write(b)
}

// keepsWrites returns dial, where the turnstile stands before what is written.
func (s *turnstile) keepsWrites(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		return &fullConn{conn, s}, err
	}
}
