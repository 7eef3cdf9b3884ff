package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meridian/postgres/pgtest"
)

// A deafConn does not read while it is deaf, and says when a write has failed.
type deafConn struct {
	net.Conn
	deaf   *atomic.Bool
	parked chan struct{} // closed once a read waits because of it
	failed chan struct{} // closed once a write has failed
	once   [2]*sync.Once
	until  atomic.Pointer[time.Time]
}

func (c *deafConn) SetReadDeadline(t time.Time) error { c.until.Store(&t); return nil }
func (c *deafConn) SetDeadline(t time.Time) error {
	c.until.Store(&t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *deafConn) Read(b []byte) (int, error) {
	const step = 2 * time.Millisecond
	for {
		if c.deaf.Load() {
			c.once[0].Do(func() { close(c.parked) })
			pause(context.Background(), step)
			continue
		}
		if err := c.Conn.SetReadDeadline(time.Now().Add(step)); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(b)
		if t := c.until.Load(); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || t != nil && !t.IsZero() && time.Now().After(*t) {
			return n, err
		}
	}
}

func (c *deafConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.once[1].Do(func() { close(c.failed) })
	}
	return n, err
}

// TestTheLastWordsOfAServerAreHeard has a session of the primary's region send a
// statement to a server process that was ended, before its proxy has read why: the
// client is told in PostgreSQL's words, and its session ends.
func TestTheLastWordsOfAServerAreHeard(t *testing.T) {
	var deaf, wraps atomic.Bool
	parked, failed := make(chan struct{}), make(chan struct{})
	once := [2]*sync.Once{{}, {}}
	w := newWorld(t, func(c *Config, d *Deps) {
		if c.Region != iad {
			return
		}
		local := (*pgtest.Server).Dial
		d.Local = func(ctx context.Context) (net.Conn, error) {
			conn, err := local(pair.primary, ctx)
			if err == nil && wraps.Load() {
				conn = &deafConn{Conn: conn, deaf: &deaf, parked: parked, failed: failed, once: once}
			}
			return conn, err
		}
	})
	w.iad.pool.Flush()
	wraps.Store(true)
	c, root := w.connect(dsn(w.iad)), w.superuser(pair.primary)
	pid := get[int](w, c, "select pg_backend_pid()")
	wraps.Store(false)
	deaf.Store(true)
	<-parked
	w.exec(root, "select pg_terminate_backend("+strconv.Itoa(pid)+")")
	w.eventually("its process is gone", func() bool {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) // and so its end of the connection is closed
	})
	done := background(c, "select 1")
	<-failed
	deaf.Store(false)
	if err := <-done; state(err) != "57P01" || !c.IsClosed() {
		t.Errorf("%v; closed: %t", err, c.IsClosed())
	}
}

// TestWhoIsEndedWithAllOthersIsToldSo ends all connections to the primary, the
// proxy's own among them, as an operator does before a maintenance.
func TestWhoIsEndedWithAllOthersIsToldSo(t *testing.T) {
	w := newWorld(t)
	root := w.superuser(pair.primary)
	for range 5 {
		c := w.connect(dsn(w.iad))
		w.exec(c, "select 1")
		w.exec(root, "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")
		if _, err := c.Exec(t.Context(), "select 1"); state(err) != "57P01" {
			t.Errorf("%v", err)
		}
	}
}
