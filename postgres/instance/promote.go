package instance

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// poll is how often PostgreSQL is asked what it cannot tell by itself.
const poll = 5 * time.Millisecond

// gateStall is how long a promotion waits for more of the log that it needs:
// what has not come by then does not come.
const gateStall = 2 * time.Second

// Promoted says how a new primary's history began.
type Promoted struct {
	Timeline uint32
	Before   uint32       // the timeline that ended
	Fork     meridian.LSN // where the new timeline begins
	// Horizon is the first transaction id that the new timeline gives away: of
	// the former primary's transactions, those at or above it are lost.
	Horizon uint64
}

// Promote makes a running standby the primary, once it has replayed gate; 0
// promotes it with whatever it has. The new timeline's number is at least
// Term, so pledge the new term first. The replication slots named are there
// before it returns; a checkpoint, without which no old primary can rejoin by
// rewinding, is made in the background.
//
// When ctx ends early the promotion may have happened or not: call it again.
// On a primary it reports the promotion that made it one. An error beside a
// Timeline says that it is the primary, and what it lacks.
func (in *Instance) Promote(ctx context.Context, gate meridian.LSN, slots []string) (Promoted, error) {
	if s, _ := in.life.now(); s.role == Standby {
		in.life.set(func(s *lifeState) { s.promoting = true })
	}
	var making sync.WaitGroup
	var unmade error
	making.Go(func() { unmade = in.Slots(ctx, slots) }) // the promotion need not wait
	defer making.Wait()
	for {
		if s, err := in.life.until(ctx, func(s lifeState) bool { return s.up || s.stopped || !s.supervised }); err != nil || !s.up {
			return Promoted{}, in.unavailable("promote", fmt.Errorf("it does not run (%w)", orNone(err, s.err)))
		}
		p, err := in.promote(ctx, gate)
		switch {
		case err == nil:
			in.life.set(func(s *lifeState) { s.role, s.promoting = Primary, false })
			in.promoted(p)
			if making.Wait(); unmade != nil {
				unmade = in.Slots(ctx, slots)
			}
			return p, unmade
		case meridian.KindOf(err) != meridian.Internal || wait(ctx, poll) != nil:
			return Promoted{}, err
		}
	}
}

// promoted asks for what the new primary needs.
func (in *Instance) promoted(p Promoted) {
	select {
	case in.chores <- struct{}{}:
	default:
	}
	in.log.Info("promoted", "timeline", p.Timeline, "fork", p.Fork.String(), "horizon", p.Horizon)
}

// promote tries once. An error of kind Internal is a broken connection, as
// when PostgreSQL dies on the way.
func (in *Instance) promote(ctx context.Context, gate meridian.LSN) (Promoted, error) {
	conn, err := in.reporter(ctx)
	if err != nil {
		return Promoted{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	at, err := in.position(ctx, conn)
	if err != nil {
		return Promoted{}, err
	}
	if at.Role == Standby {
		if err := in.awaitReplay(ctx, conn, gate); err != nil {
			return Promoted{}, err
		}
		if err := in.reserveNext(ctx, conn); err != nil {
			return Promoted{}, in.unavailable("promote", err)
		}
		if _, err := one(ctx, conn, "SELECT pg_promote(false)"); err != nil {
			return Promoted{}, err
		}
	}
	return in.awaitPrimary(ctx, conn)
}

// awaitReplay waits until the standby has replayed gate. Promoted before, it
// would lose what the old primary still sends, or has sent.
func (in *Instance) awaitReplay(ctx context.Context, conn *pgconn.PgConn, gate meridian.LSN) error {
	moved, last := time.Now(), meridian.LSN(0)
	for gate > 0 {
		said, err := one(ctx, conn, "SELECT pg_last_wal_replay_lsn()")
		if err != nil {
			return in.late(ctx, "the log up to "+gate.String(), err)
		}
		at, err := meridian.ParseLSN(said)
		if err != nil {
			return err
		}
		switch {
		case at >= gate:
			return nil
		case at > last:
			moved, last = time.Now(), at
		case time.Since(moved) > gateStall:
			return meridian.WithKind(meridian.Timeout, fmt.Errorf("promote PostgreSQL of %s: it lacks the log up to %s; it has %s, and nothing came for %v", in.cfg.Region, gate, at, gateStall))
		}
		if err := wait(ctx, poll); err != nil {
			return in.late(ctx, fmt.Sprintf("the log up to %s; it has %s", gate, at), err)
		}
	}
	return nil
}

// late gives an error that came because ctx ended the kind Timeout.
func (in *Instance) late(ctx context.Context, lacked string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return meridian.WithKind(meridian.Timeout, fmt.Errorf("promote PostgreSQL of %s: it lacks %s: %w", in.cfg.Region, lacked, err))
}

// reserveNext lets the new timeline be the pledged term, if that is higher.
func (in *Instance) reserveNext(ctx context.Context, conn *pgconn.PgConn) error {
	at, err := in.position(ctx, conn)
	if err != nil {
		return err
	}
	return in.reserve(at.Timeline, in.Term())
}

// awaitPrimary waits for the end of recovery. The horizon comes from the
// answer that first said so: a snapshot taken later could count transactions
// of the new timeline.
func (in *Instance) awaitPrimary(ctx context.Context, conn *pgconn.PgConn) (p Promoted, err error) {
	var horizon string
	for {
		rows, err := row(ctx, conn, "SELECT pg_is_in_recovery(), pg_snapshot_xmax(pg_current_snapshot())")
		if err != nil {
			return p, in.late(ctx, "the end of its recovery", err)
		}
		if rows[0] == "f" {
			horizon = rows[1]
			break
		}
		if err := wait(ctx, poll); err != nil {
			return p, in.late(ctx, "the end of its recovery", err)
		}
	}
	if p.Horizon, err = strconv.ParseUint(horizon, 10, 64); err != nil {
		return p, err
	}
	file, err := one(ctx, conn, "SELECT pg_walfile_name(pg_current_wal_lsn())")
	if err != nil {
		return p, err
	}
	tl, err := strconv.ParseUint(file[:min(8, len(file))], 16, 32)
	if err != nil {
		return p, err
	}
	h, err := in.historyOf(uint32(tl))
	if err != nil {
		return p, in.unavailable("promote", err)
	}
	p.Timeline, p.Before, p.Fork = uint32(tl), h.newest(), h.fork()
	return p, nil
}

// one returns the first column of a statement's only row.
func one(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	r, err := row(ctx, conn, sql)
	if err != nil {
		return "", err
	}
	return r[0], nil
}

// row returns a statement's only row. NULL reads as "".
func row(ctx context.Context, conn *pgconn.PgConn, sql string) ([]string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) == 0 {
		return nil, fmt.Errorf("%s: want one row", sql)
	}
	var out []string
	for _, column := range results[0].Rows[0] {
		out = append(out, string(column))
	}
	return out, nil
}
