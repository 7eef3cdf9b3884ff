package pool

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/postgres/wire"
)

// A Backend is one connection to PostgreSQL, past its start-up.
type Backend struct {
	Conn   net.Conn
	Reader *wire.Reader
	Key    wire.Key // what cancels its work
	Params []byte   // the ParameterStatus and NoticeResponse messages of its start-up, raw

	pool  *Pool // nil if it counts against no cap
	key   string
	era   uint64
	since time.Time                 // idle since
	once  atomic.Pointer[sync.Once] // of who has it: the last one's may not have ended yet
}

// Connect dials PostgreSQL and logs in. It counts against no cap: the proxy's
// own few connections use it.
func Connect(ctx context.Context, dial func(context.Context) (net.Conn, error), role, database string, params []wire.Param) (*Backend, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	b := &Backend{Conn: conn, Reader: wire.NewReader(conn)}
	b.once.Store(new(sync.Once))
	err = b.startup(role, database, params)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("log in to PostgreSQL as %s: %w", role, err)
	}
	return b, nil
}

func (b *Backend) startup(role, database string, params []wire.Param) error {
	all := append([]wire.Param{{Name: "user", Value: role}, {Name: "database", Value: database}}, params...)
	if _, err := b.Conn.Write(wire.Builder(nil).Startup(all)); err != nil {
		return err
	}
	for {
		f, err := b.Reader.Frame()
		if err != nil {
			return err
		}
		switch f.Type() {
		case 'R':
			if len(f.Body()) < 4 || binary.BigEndian.Uint32(f.Body()) != 0 {
				return fmt.Errorf("PostgreSQL wants a password, the private socket should not: %w", wire.ErrProtocol)
			}
		case 'S', 'N':
			b.Params = append(b.Params, f...)
		case 'K':
			if len(f.Body()) < 8 {
				return wire.ErrProtocol
			}
			b.Key = wire.Key{PID: binary.BigEndian.Uint32(f.Body()), Secret: string(f.Body()[4:])}
		case 'E':
			e, err := wire.ParseError(f.Body())
			if err != nil {
				return err
			}
			return e
		case 'Z':
			return nil
		}
	}
}

// Run executes statements one after the other and returns the rows of the
// last, in text form. It stops at the first error, a *wire.Error if PostgreSQL
// sent it. The backend must be idle.
func (b *Backend) Run(sql ...string) (rows [][]string, err error) {
	for _, s := range sql {
		if rows, err = b.run(s); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (b *Backend) run(sql string) ([][]string, error) {
	return b.exchange(wire.Builder(nil).Query(sql))
}

// Prepare prepares a statement without parameters under a name.
func (b *Backend) Prepare(name, sql string) error {
	_, err := b.exchange(wire.Builder(nil).Message('P', wire.String(name), wire.String(sql), []byte{0, 0}).Sync())
	return err
}

// Execute runs such a statement and returns its rows in text form.
func (b *Backend) Execute(name string) ([][]string, error) {
	m := wire.Builder(nil).Message('B', []byte{0}, wire.String(name), make([]byte, 6))
	return b.exchange(m.Message('E', make([]byte, 5)).Sync())
}

// exchange sends a group and reads to its ReadyForQuery.
func (b *Backend) exchange(group []byte) (rows [][]string, failed error) {
	if _, err := b.Conn.Write(group); err != nil {
		return nil, err
	}
	for {
		f, err := b.Reader.Frame()
		if err != nil {
			return nil, err
		}
		switch f.Type() {
		case 'D':
			row, err := wire.Row(f.Body())
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		case 'E':
			e, err := wire.ParseError(f.Body())
			if err != nil {
				return nil, err
			}
			failed = e
		case 'Z':
			return rows, failed
		}
	}
}

// Release gives the backend back. A clean one stands between transactions with
// all its replies read; it is reset and kept for the next caller. Any other is
// closed. Release may be called more than once.
func (b *Backend) Release(clean bool) {
	b.once.Load().Do(func() {
		if b.pool == nil {
			b.Conn.Close()
			return
		}
		b.pool.release(b, clean && b.reset())
	})
}

// Old reports whether the pool was renewed since the backend logged in.
func (b *Backend) Old() bool { return b.pool != nil && b.era != b.pool.era.Load() }

// Close closes the backend and gives its place to the next in the queue.
func (b *Backend) Close() { b.Release(false) }

// reset makes the backend as new for the next client.
func (b *Backend) reset() bool {
	b.Conn.SetDeadline(time.Now().Add(resetTimeout))
	_, err := b.Run("DISCARD ALL")
	b.Conn.SetDeadline(time.Time{})
	return err == nil && b.Reader.Buffered() == 0
}

const resetTimeout = 5 * time.Second

// keyOf names the backends that are interchangeable.
func keyOf(role string, params []wire.Param) string {
	var k strings.Builder
	k.WriteString(role)
	for _, p := range params {
		k.WriteString("\x00" + p.Name + "\x00" + p.Value)
	}
	return k.String()
}

// Parameters calls f with each parameter in the raw messages of a start-up.
func Parameters(raw []byte, f func(name, value string)) {
	Greeting(raw, func(m wire.Frame) {
		if m.Type() != 'S' {
			return
		}
		if name, value, err := wire.ParseParameter(m.Body()); err == nil {
			f(name, value)
		}
	})
}

// Greeting calls f with each of the raw messages of a start-up.
func Greeting(raw []byte, f func(wire.Frame)) {
	r := wire.NewReader(bytes.NewReader(raw))
	for {
		m, err := r.Frame()
		if err != nil {
			return
		}
		f(m)
	}
}
