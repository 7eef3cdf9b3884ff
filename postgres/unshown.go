package postgres

import (
	"strings"
	"time"

	"meridian"
	"meridian/postgres/pool"
)

// PostgreSQL lets a commit go once its standbys confirm it, and shows it when
// its process has taken it off the list of what is running: later, by as long as
// that process waits for a processor. Who waits for the confirmation as well may
// be faster. So reads wait for those that are leaving, too.

// leavingSQL lists the transactions that are running and have a commit's time:
// they have written their commit, and do not show yet.
const leavingSQL = `SELECT coalesce(string_agg(backend_xid::text, ','), '') FROM pg_stat_get_activity(NULL)
 WHERE pg_xact_commit_timestamp(backend_xid) IS NOT NULL`

// An unshown is what is known of the commits of a primary that do not show yet.
// The zero unshown knows nothing.
type unshown struct {
	flushed   meridian.LSN            // where the log ended on disk at the last look
	confirmed meridian.LSN            // and what the standbys had confirmed
	since     time.Time               // when confirmed became that
	after     map[string]meridian.LSN // by transaction: its commit lies past that
}

// lets is how long PostgreSQL may take to let go what was confirmed. What is
// leaving for longer waits for its own confirmation.
const lets = time.Second

// look returns up to where all commits show, of a log that is flushed and
// confirmed so far. ids are leaving, as was asked after that was. The log held
// no commit of what was not leaving at the last look.
func (l *unshown) look(flushed, confirmed meridian.LSN, ids []string, now time.Time) meridian.LSN {
	after := make(map[string]meridian.LSN, len(ids))
	for _, id := range ids {
		at, known := l.after[id]
		if !known {
			at = l.flushed
		}
		after[id] = at
	}
	if confirmed != l.confirmed || l.since.IsZero() {
		l.since = now
	}
	l.flushed, l.confirmed, l.after = flushed, confirmed, after
	if now.Sub(l.since) >= lets {
		return confirmed
	}
	for _, at := range after {
		confirmed = min(confirmed, at)
	}
	return confirmed
}

// shows returns up to where commits show on the local PostgreSQL, a primary that
// is confirmed as far as s says.
func (w *watch) shows(conn *pool.Backend, s sample) (meridian.LSN, error) {
	if !w.timed || w.p.looksAway || len(w.p.demand().Quorums) == 0 {
		w.unshown = unshown{}
		return s.served.LSN, nil
	}
	rows, err := conn.Execute("l")
	if err != nil {
		return 0, err
	}
	var ids []string
	if len(rows) == 1 && len(rows[0]) == 1 && rows[0][0] != "" {
		ids = strings.Split(rows[0][0], ",")
	}
	return w.unshown.look(s.flushed, s.served.LSN, ids, w.p.deps.Now()), nil
}

// times reports whether a PostgreSQL keeps the time of commits.
func times(conn *pool.Backend) (bool, error) {
	rows, err := conn.Run("SHOW track_commit_timestamp")
	return err == nil && len(rows) == 1 && len(rows[0]) == 1 && rows[0][0] == "on", err
}
