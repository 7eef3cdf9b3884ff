package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"meridian"
	"meridian/postgres/pool"
)

// positionSQL asks how far a server has come: the position up to which reads
// are served, and the newest that a read may have seen. On a primary both are
// the flushed position, which is at or past every acknowledged commit; never
// the insert position, which may lie past what is ever replayed. A standby's
// control file tells of a new timeline only at its next restart point, minutes
// later; what it receives tells at once, as long as it receives.
const positionSQL = `SELECT r, CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
 CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_flush_lsn() END,
 CASE WHEN r THEN coalesce((SELECT received_tli FROM pg_stat_get_wal_receiver()), 0) ELSE 0 END
 FROM (SELECT pg_is_in_recovery() AS r) AS s`

// watchTimeout bounds a query that PostgreSQL answers in microseconds.
const watchTimeout = 5 * time.Second

// timeout is shorter for a further standby: reads wait for it, and could run
// elsewhere.
func (w *watch) timeout() time.Duration {
	if w.further {
		return min(watchTimeout, w.p.cfg.PrimaryTimeout)
	}
	return watchTimeout
}

// serve asks until nobody wants to know any more.
func (w *watch) serve(ctx context.Context, conn *pool.Backend, id *meridian.Token) error {
	began := time.Now()
	for ctx.Err() == nil {
		w.mu.Lock()
		batch := w.asking
		w.asking = nil
		idle := len(batch) == 0 && len(w.waiting) == 0 && len(w.relying) == 0 && !w.unsettled() && w.err == nil && (len(w.p.replicas) == 1 || w.last.served.System != 0)
		behind := len(w.waiting) > 0 && w.waiting[0].floor.Timeline > id.Timeline
		w.mu.Unlock()
		if idle {
			return nil
		}
		if behind { // it may just have been promoted
			now, err := w.identify(conn)
			if err != nil {
				return err
			}
			*id = now
		}
		if err := w.round(conn, id, batch); err != nil {
			return err
		}
		if w.pending() {
			w.pause(time.Since(began))
		}
	}
	return nil
}

func (w *watch) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asking) == 0 && (len(w.waiting) > 0 || len(w.relying) > 0 || w.unsettled())
}

// pause sleeps between two polls: briefly at first, since replay is mostly a
// few hundred microseconds behind. Go's timers are too coarse for that.
func (w *watch) pause(since time.Duration) {
	if since < 2*time.Millisecond && w.p.demand().none() {
		tv := unix.NsecToTimeval(int64(75 * time.Microsecond))
		unix.Select(0, nil, nil, nil, &tv)
		return
	}
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.wake:
	}
}

// round asks once and tells everybody. A standby that was promoted meanwhile
// is on a new timeline.
func (w *watch) round(conn *pool.Backend, id *meridian.Token, batch []chan sample) error {
	s, err := w.query(conn, *id)
	if err == nil && (s.standby != w.known().standby || !s.standby && !w.sure) {
		if *id, err = w.identify(conn); err == nil {
			s, err = w.query(conn, *id)
		}
	}
	if err == nil {
		*id, err = w.lookUp(conn, *id, &s)
	}
	w.sure = w.sure || err == nil && !s.standby
	if err != nil {
		for _, c := range batch {
			close(c)
		}
		return err
	}
	w.mu.Lock()
	w.settle(s)
	s.calm = w.calm
	w.last, w.err = s, nil
	id.Timeline = s.served.Timeline
	w.waiting.release(s.shown)
	w.relying.release(s.served)
	w.mu.Unlock()
	for _, c := range batch {
		c <- s
	}
	return nil
}

// lookUp finds the timeline of a standby that receives nothing, and so does not say
// on which it is. It is read after the position, which it therefore holds: another
// one may have begun since it was read last.
func (w *watch) lookUp(conn *pool.Backend, id meridian.Token, s *sample) (meridian.Token, error) {
	if !s.standby || s.receives || s.seen.LSN == w.looked || w.p.trustsTimeline {
		return id, nil
	}
	now, err := w.identify(conn)
	if err != nil {
		return id, err
	}
	w.looked = s.seen.LSN
	s.on(now.Timeline)
	return now, nil
}

func (w *watch) query(conn *pool.Backend, id meridian.Token) (sample, error) {
	conn.Conn.SetDeadline(time.Now().Add(w.timeout()))
	w.mu.Lock()
	leaked := w.leaked
	w.mu.Unlock()
	ask := w.ask()
	rows, err := conn.Execute(ask)
	if err != nil {
		return sample{}, err
	}
	if len(rows) != 1 || len(rows[0]) != 4 && ask == "p" || len(rows[0]) != 5 && ask != "p" {
		return sample{}, fmt.Errorf("PostgreSQL's position has %d rows", len(rows))
	}
	tli, _ := strconv.ParseUint(rows[0][3], 10, 32)
	id.Timeline = max(id.Timeline, uint32(tli))
	s := sample{standby: rows[0][0] == "t", receives: tli > 0, served: id, shown: id, seen: id}
	if w.further && !s.standby {
		return sample{}, errors.New("PostgreSQL of a further standby is a primary")
	}
	if rows[0][1] == "" { // nothing was replayed yet
		return s, nil
	}
	if s.served.LSN, err = meridian.ParseLSN(rows[0][1]); err != nil {
		return sample{}, err
	}
	s.shown = s.served
	if s.seen.LSN, err = meridian.ParseLSN(rows[0][2]); err != nil || s.standby {
		return s, err
	}
	s.flushed = s.seen.LSN
	if len(rows[0]) == 5 {
		s.standbys, err = parseStandbys(rows[0][4])
	}
	at := s.flushed
	switch {
	case err != nil:
	case w.p.insertPositions:
		at, err = inserted(conn)
	case w.p.unflushed.Load() && !w.p.flushedAlone:
		at, err = lastRecord(conn)
	}
	// What the standbys have not confirmed nobody can have seen here, and what
	// they show earlier than the primary is not here yet.
	s.seen.LSN = w.keep(w.p.demand(), s, at, leaked)
	s.served.LSN = s.seen.LSN
	if err == nil {
		s.shown.LSN, err = w.shows(conn, s)
	}
	return s, err
}

// inserted returns the position of a control that must fail.
func inserted(conn *pool.Backend) (meridian.LSN, error) {
	rows, err := conn.Run("SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return 0, err
	}
	return meridian.ParseLSN(rows[0][0])
}
