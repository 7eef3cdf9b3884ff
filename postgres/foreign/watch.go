package foreign

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian/internal/boottime"
	"meridian/internal/lifecycle"
)

const (
	askEvery = 250 * time.Millisecond
	askLimit = time.Second
	// believed is for how long an answer counts: as long as a proxy acts as the
	// primary's after it last heard that its PostgreSQL is one.
	believed = 2 * time.Second
)

// A Role is what a PostgreSQL said of itself.
type Role struct {
	Known    bool // it answered lately
	Primary  bool
	Timeline uint32 // a promotion begins a new one: a later primary has a higher one
}

// A Watch knows a server's role.
type Watch struct {
	server  *Server
	changed func()

	mu    sync.Mutex // guards what follows
	role  Role
	asked time.Duration // boottime before the newest answer was asked for
	err   error
}

// Watch returns a watch, which calls changed when the role is another.
func (s *Server) Watch(changed func()) *Watch { return &Watch{server: s, changed: changed} }

// Now returns the role, and until when it counts, by CLOCK_BOOTTIME.
func (w *Watch) Now() (Role, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	until := w.asked + believed
	if boottime.Now() >= until {
		return Role{}, 0
	}
	return w.role, until
}

// Why returns why the server did not answer the last time, or nil.
func (w *Watch) Why() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Run asks until ctx is over.
func (w *Watch) Run(ctx context.Context, ready func()) error {
	var conn *pgconn.PgConn
	defer func() {
		if conn != nil {
			conn.Close(context.WithoutCancel(ctx))
		}
	}()
	return lifecycle.Every(ctx, askEvery, ready, func() { conn = w.ask(ctx, conn) })
}

// roleSQL reads the timeline of a standby from its receiver, or from what it
// last noted where it has none.
const roleSQL = `SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery()
	THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
	ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END`

// ask asks once, and returns the connection if it is still good.
func (w *Watch) ask(ctx context.Context, conn *pgconn.PgConn) *pgconn.PgConn {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	began := boottime.Now()
	var err error
	if conn == nil {
		conn, err = pgconn.ConnectConfig(ctx, w.server.cfg.Copy())
	}
	var role Role
	if err == nil {
		role, err = roleOf(ctx, conn)
	}
	if err != nil && conn != nil {
		conn.Close(ctx)
		conn = nil
	}
	w.mu.Lock()
	w.err = err
	old := w.role
	if err == nil {
		w.role, w.asked = role, began
	}
	now := w.role
	w.mu.Unlock()
	if now != old && w.changed != nil {
		w.changed()
	}
	return conn
}

func roleOf(ctx context.Context, conn *pgconn.PgConn) (Role, error) {
	r := conn.ExecParams(ctx, roleSQL, nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) != 1 {
		return Role{}, fmt.Errorf("ask for the role: %w", r.Err)
	}
	tl, err := strconv.ParseUint(string(r.Rows[0][1]), 10, 32)
	return Role{Known: true, Primary: string(r.Rows[0][0]) == "f", Timeline: uint32(tl)}, err
}
