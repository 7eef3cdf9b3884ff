package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"meridian"
	"meridian/postgres/pool"
)

// identitySQL asks for the system and the timeline. A standby is on the newest
// timeline of which it has log. That it has a timeline's history says nothing: it may
// have come further on the old one than that reached, and cannot follow, and the
// history may be one that only reserves its number for a promotion.
const identitySQL = `SELECT (SELECT system_identifier FROM pg_control_system()),
 CASE WHEN pg_is_in_recovery()
  THEN (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline,
    (SELECT max(('x' || substr(name, 1, 8))::bit(32)::bigint) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'))
   FROM pg_control_checkpoint() AS c, pg_control_recovery() AS r)::bigint
  ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END`

// connect opens the connection and reads the identity.
func (w *watch) connect(ctx context.Context) (*pool.Backend, meridian.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, w.p.cfg.PrimaryTimeout)
	defer cancel()
	conn, err := pool.Connect(ctx, w.dial, w.p.cfg.Watcher, w.p.cfg.Database, nil)
	if err != nil {
		return nil, meridian.Token{}, err
	}
	id, err := w.identify(conn)
	if err == nil {
		err = w.heedCatalogues(conn)
	}
	if err == nil {
		err = w.prepare(conn)
	}
	if err == nil {
		w.timed, err = times(conn)
	}
	if err != nil {
		conn.Close()
		return nil, meridian.Token{}, err
	}
	return conn, id, nil
}

func (w *watch) identify(conn *pool.Backend) (meridian.Token, error) {
	conn.Conn.SetDeadline(time.Now().Add(w.timeout()))
	defer conn.Conn.SetDeadline(time.Time{})
	rows, err := conn.Run(identitySQL)
	if err != nil {
		return meridian.Token{}, err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return meridian.Token{}, fmt.Errorf("PostgreSQL's identity has %d rows", len(rows))
	}
	system, err1 := strconv.ParseUint(rows[0][0], 10, 64)
	timeline, err2 := strconv.ParseUint(rows[0][1], 10, 32)
	if err1 != nil || err2 != nil {
		return meridian.Token{}, fmt.Errorf("PostgreSQL's identity is %q", rows[0])
	}
	return meridian.Token{Database: w.p.cfg.Database, System: system, Timeline: uint32(timeline)}, nil
}

// reconnectEvery is how often the local PostgreSQL is tried while it is down:
// it mostly starts again in a fraction of a second.
const reconnectEvery = 25 * time.Millisecond

// reconnects is slower for a further standby, on another machine.
func (w *watch) reconnects() time.Duration {
	if w.further {
		return 8 * reconnectEvery
	}
	return reconnectEvery
}

// fail tells all who asked that there is no answer. Those who wait go on
// waiting until their own deadline.
func (w *watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	for _, c := range w.asking {
		close(c)
	}
	w.asking = nil
}
