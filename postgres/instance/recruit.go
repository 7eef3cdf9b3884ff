package instance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// A Report is how much of the log an instance has.
type Report struct {
	Role     Role   // what it is at this moment
	Term     uint64 // the newest pledged
	System   uint64
	Timeline uint32       // of the newest log
	Flushed  meridian.LSN // on disk here
	Replayed meridian.LSN // a standby's; a primary's is Flushed
}

// Term returns the newest term pledged, over restarts too; 0 if none was.
func (in *Instance) Term() uint64 { return in.gate.term() }

// Pledge promises to follow no term below, and leaves the connections to the
// primary open: what the target of a switchover does before Promote.
func (in *Instance) Pledge(term uint64) error { return in.gate.promise(term) }

// Follow lets this instance reach the primary of term, which Deps.Upstream
// connects to, and cuts what is left of older terms. A standby that waits for
// that streams within milliseconds. Below the pledge the error is Forbidden.
func (in *Instance) Follow(ctx context.Context, term uint64) error {
	return in.FollowOn(ctx, term, term)
}

// FollowOn is Follow of a primary that took the writes in term took and raised its
// term since: what was connected to it in a term from that on stays. A copy or a
// rewind that is under way goes on.
func (in *Instance) FollowOn(_ context.Context, term, took uint64) error {
	return in.gate.follow(term, took)
}

// Recruit answers who wants to be, or to name, the primary of term. It pledges
// the term on disk, cuts every connection to an older primary, waits until all
// the log that came is replayed, and says how much that is. From then on this
// amount does not grow until Follow.
//
// At or below the pledge the error is Forbidden. When ctx ends early the
// pledge holds all the same; Settle then goes on.
func (in *Instance) Recruit(ctx context.Context, term uint64) (Report, error) {
	if err := in.gate.recruit(term); err != nil {
		return Report{}, fmt.Errorf("PostgreSQL of %s: %w", in.cfg.Region, err)
	}
	return in.Settle(ctx)
}

// Settle is Recruit for the term that is pledged already, and not followed.
func (in *Instance) Settle(ctx context.Context) (Report, error) {
	for {
		r, err := in.settled(ctx)
		if err == nil {
			in.log.Info("recruited", "term", in.Term(), "timeline", r.Timeline, "flushed", r.Flushed.String())
			return r, nil
		}
		if wait(ctx, poll) != nil {
			return Report{}, in.unavailable("recruit", err)
		}
	}
}

// errReplaying is that of a standby with more to replay.
var errReplaying = errors.New("it has not replayed what it received yet")

// settled reports once all that came is replayed and nothing comes any more.
func (in *Instance) settled(ctx context.Context) (Report, error) {
	conn, err := in.reporter(ctx)
	if err != nil {
		return Report{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	since, last := time.Now(), meridian.LSN(0)
	for {
		p, err := in.position(ctx, conn)
		if err != nil {
			return Report{}, err
		}
		if p.done() {
			return p.Report, in.owes(p.Report)
		}
		if p.Replayed != last {
			since, last = time.Now(), p.Replayed
		} else if !p.receiving && time.Since(since) > stuckAfter {
			if end, err := in.nothingAfter(ctx, p.Report); err != nil || end {
				return p.Report, errors.Join(err, in.owes(p.Report))
			}
			since = time.Now()
		}
		if err := wait(ctx, poll); err != nil {
			return p.Report, errors.Join(errReplaying, err)
		}
	}
}

// stuckAfter is how long a replay stands still before the log is looked at:
// its end may be half a record, which is never replayed.
const stuckAfter = 50 * time.Millisecond

// A position is a Report and how it came about.
type position struct {
	Report
	asked     bool // the local log was read to its end, and the primary asked for more
	receiving bool // a receiver is connected
}

// done reports whether nothing is left to replay. The receiver's position is
// set when PostgreSQL first asks for log that it does not have.
func (p position) done() bool {
	return p.Role == Primary || !p.receiving && p.asked && p.Replayed >= p.Flushed
}

// Report says how much this instance has at this moment.
func (in *Instance) Report(ctx context.Context) (Report, error) {
	conn, err := in.reporter(ctx)
	if err != nil {
		return Report{}, in.unavailable("report", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p, err := in.position(ctx, conn)
	if err != nil {
		return Report{}, in.unavailable("report", err)
	}
	return p.Report, nil
}

// reporter connects to what understands replication commands and SQL: only
// IDENTIFY_SYSTEM knows which timeline a standby is on.
func (in *Instance) reporter(ctx context.Context) (*pgconn.PgConn, error) {
	return connect(ctx, in.Dial, Superuser, "postgres", map[string]string{"replication": "database"})
}

func (in *Instance) position(ctx context.Context, conn *pgconn.PgConn) (p position, err error) {
	p.Term = in.Term()
	id, err := row(ctx, conn, "IDENTIFY_SYSTEM")
	if err != nil {
		return p, err
	}
	if p.System, err = strconv.ParseUint(id[0], 10, 64); err != nil {
		return p, err
	}
	tl, err := strconv.ParseUint(id[1], 10, 32)
	if err != nil {
		return p, err
	}
	p.Timeline = uint32(tl)
	r, err := row(ctx, conn, `SELECT pg_is_in_recovery(),
		CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END,
		CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
		EXISTS (SELECT FROM pg_stat_wal_receiver)`)
	if err != nil {
		return p, err
	}
	if p.Role = Primary; r[0] == "t" {
		p.Role = Standby
	}
	p.receiving = r[3] == "t"
	if p.asked = r[1] != ""; p.asked {
		if p.Flushed, err = meridian.ParseLSN(r[1]); err != nil {
			return p, err
		}
	}
	if p.Replayed, err = meridian.ParseLSN(r[2]); err != nil {
		return p, err
	}
	p.Flushed = max(p.Flushed, p.Replayed)
	return p, nil
}

// nothingAfter reports whether no whole record follows what was replayed.
func (in *Instance) nothingAfter(ctx context.Context, r Report) (bool, error) {
	c, err := in.control(ctx, in.data())
	if err != nil {
		return false, err
	}
	args := waldumpArgs(filepath.Join(in.data(), "pg_wal"), r.Timeline, c.Segment, r.Replayed, 0)
	said, err := in.output(ctx, "pg_waldump", append([]string{"--limit", "1"}, args...)...)
	if ctx.Err() != nil {
		return false, err
	}
	return !strings.HasPrefix(said, "rmgr:"), nil
}

func orNone(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return errors.New("it was stopped")
}
