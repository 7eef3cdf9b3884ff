package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian"
	"meridian/postgres/failover"
	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// A Demand is what must be true of a commit on the local PostgreSQL, where that
// is the primary, before a client is told of its success. The zero value
// demands nothing. Standbys go by the names with which they stream.
type Demand struct {
	Quorums []failover.Quorum // each must have the commit on its disks
	// RPO, if it is above zero, is how old the oldest commit may be that no
	// standby has, of those that clients were told of.
	RPO time.Duration
}

func (d Demand) none() bool { return len(d.Quorums) == 0 && d.RPO == 0 }

// confirmed returns up to where the log is on the disks that d wants it on.
func (d Demand) confirmed(flushed map[meridian.Region]meridian.LSN, own meridian.LSN) meridian.LSN {
	for _, q := range d.Quorums {
		own = min(own, q.Confirmed(flushed))
	}
	return own
}

// Standbys returns how far the log of the local PostgreSQL, a primary, is on its
// own disk, and on those of its standbys.
func (p *Proxy) Standbys(ctx context.Context) (own meridian.LSN, at map[meridian.Region]meridian.LSN, err error) {
	s, err := p.watch.sample(ctx)
	if err == nil && s.standby {
		err = meridian.WithKind(meridian.PrimaryUnavailable, errors.New("the local PostgreSQL is a standby"))
	}
	return s.flushed, s.standbys, err
}

// demand returns what is in force now.
func (p *Proxy) demand() Demand {
	if p.deps.Durability == nil {
		return Demand{}
	}
	return p.deps.Durability()
}

// standbysSQL is positionSQL and, on a primary, what its standbys have on their
// disks. PostgreSQL's own wait for them ends early when its statement is
// canceled, or runs into statement_timeout inside CALL; this does not.
const standbysSQL = `SELECT p.*, CASE WHEN p.r THEN '' ELSE coalesce((SELECT string_agg(application_name || ' ' || flush_lsn, ',')
 FROM pg_stat_replication WHERE flush_lsn IS NOT NULL), '') END FROM (` + positionSQL + `) AS p`

// furtherPrefix begins the names of further standbys of this region: they are
// lost together with it, and no commit is safer for being on one.
const furtherPrefix = "_"

// parseStandbys reads the last column of standbysSQL. Of a name that stands
// twice, as where an old connection is not seen to be dead yet, the higher
// position is true of the disk, too.
func parseStandbys(s string) (map[meridian.Region]meridian.LSN, error) {
	at := map[meridian.Region]meridian.LSN{}
	for one := range strings.SplitSeq(s, ",") {
		name, pos, ok := strings.Cut(one, " ")
		if !ok || strings.HasPrefix(name, furtherPrefix) {
			continue
		}
		lsn, err := meridian.ParseLSN(pos)
		if err != nil {
			return nil, fmt.Errorf("position of standby %q: %w", name, err)
		}
		at[meridian.Region(name)] = max(at[meridian.Region(name)], lsn)
	}
	return at, nil
}

// A ledger holds the commits that clients were told of and that no standby is
// known to have, the oldest first.
type ledger []told

type told struct {
	at  time.Time
	lsn meridian.LSN // at or past the commit
}

// coarse is how exactly a ledger tells commits apart: those that are closer are
// taken to be as old as the oldest of them.
const coarse = time.Millisecond

// add notes a commit.
func (l *ledger) add(at time.Time, lsn meridian.LSN) {
	if n := len(*l); n > 0 && at.Sub((*l)[n-1].at) < coarse {
		(*l)[n-1].lsn = max((*l)[n-1].lsn, lsn)
		return
	}
	*l = append(*l, told{at, lsn})
}

// confirm drops what a standby has.
func (l *ledger) confirm(upTo meridian.LSN) {
	for len(*l) > 0 && (*l)[0].lsn <= upTo {
		*l = (*l)[1:]
	}
}

// age returns how old the oldest commit is.
func (l ledger) age(now time.Time) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return now.Sub(l[0].at)
}

// commits reports whether a message of the local PostgreSQL may tell of a
// commit: before is the state of the transaction that was last told. The
// CommandComplete of a statement in an open block tells of none, unless it ends
// the block.
func commits(f wire.Frame, before byte) bool {
	switch f.Type() {
	case 'C':
		tag := string(f.Body())
		return before == 'I' || strings.HasPrefix(tag, "COMMIT") || strings.HasPrefix(tag, "PREPARE TRANSACTION")
	case 'Z':
		return len(f.Body()) == 1 && f.Body()[0] == 'I'
	}
	return false
}

// A holder holds back the messages of one connection that tell of a commit,
// until the commit is confirmed.
type holder struct {
	covered int // bytes that PostgreSQL had sent when the last wait began: they tell of nothing newer
}

// pass waits until f may be passed on and reports whether it may. tells says
// that f may tell of a commit.
func (h *holder) pass(ctx context.Context, p *Proxy, rd *wire.Reader, f wire.Frame, tells bool) bool {
	if len(f) <= h.covered {
		h.covered -= len(f)
		return true
	}
	h.covered = 0
	if !tells {
		return true
	}
	d := p.demand()
	if d.none() || p.gate.tellEarly {
		return true
	}
	h.covered = rd.Buffered()
	p.loops.Slow()
	return p.confirm(ctx, d)
}

// errUnconfirmed ends the connection of a commit that its standbys did not
// confirm.
var errUnconfirmed = errors.New("the standbys that durability asks for did not confirm it")

// confirm waits until d is true of all that the local PostgreSQL has committed
// at the time of the call, and reports whether it is. It gives up when nobody
// can know any more whether the commits are part of the database's history, and
// after the budget of a move: PostgreSQL itself has waited without a bound, so
// that its success is without the standbys' word only where the wait was cut
// off.
func (p *Proxy) confirm(ctx context.Context, d Demand) bool {
	began := p.deps.Now()
	h := p.hold()
	s, err := p.watch.sample(ctx)
	for first := true; ; first = false {
		switch {
		case err == nil && s.standby:
			p.watch.leaks()
			return false
		case err == nil && d.meets(s) && p.watch.mayTell(s, began, d.RPO):
			return true
		}
		if first {
			p.metrics.unsure.Inc()
		}
		if h.left() <= 0 || ctx.Err() != nil || p.lostPrimacy() {
			p.watch.leaks()
			return false
		}
		d = p.demand()
		if len(d.Quorums) > 0 && err == nil {
			p.watch.rely(ctx, meridian.Token{System: s.seen.System, Timeline: s.seen.Timeline, LSN: s.flushed}, min(h.left(), 50*time.Millisecond))
		} else {
			h.wait(ctx, nil, nil)
		}
		target := s.flushed
		next, failed := p.watch.sample(ctx)
		if err == nil && failed == nil {
			next.flushed = target // what was committed at the call
		}
		if err != nil || failed == nil {
			s, err = next, failed
		}
	}
}

// meets reports whether the quorums have all of s.
func (d Demand) meets(s sample) bool {
	return d.confirmed(s.standbys, s.flushed) >= s.flushed
}

// lostPrimacy reports whether another region is the primary.
func (p *Proxy) lostPrimacy() bool {
	region, here := p.primary()
	return !here && region != ""
}

// mayTell reports whether a client may be told of what was committed by s,
// where the oldest commit that no standby has must not be older than rpo.
func (w *watch) mayTell(s sample, at time.Time, rpo time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if rpo == 0 {
		w.told = nil
		return true
	}
	for _, lsn := range s.standbys {
		w.told.confirm(lsn)
	}
	if w.told.age(w.p.deps.Now()) > rpo {
		return false
	}
	if newestOf(s) < s.flushed {
		w.told.add(at, s.flushed)
	}
	return true
}

// newestOf returns the highest position that a standby has.
func newestOf(s sample) (at meridian.LSN) {
	for _, lsn := range s.standbys {
		at = max(at, lsn)
	}
	return at
}

// settled says why clients may not work on the local PostgreSQL as the primary,
// or "". What it had committed when it started, or was promoted, may be lost
// yet, if its standbys have not got it: nobody may see that before they have,
// or a row that was read would be gone after the next failover.
func (w *watch) settled() string {
	if len(w.p.demand().Quorums) == 0 {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm && w.conn != nil && !w.conn.Ended() {
		return ""
	}
	w.poke()
	return "the standbys have not confirmed yet what PostgreSQL of " + string(w.p.cfg.Region) + " had when it started"
}

// settle looks whether that is so by now. The caller holds mu.
func (w *watch) settle(s sample) {
	switch {
	case s.standby:
		w.calm, w.counted, w.confirmed = false, false, confirmed{}
		return
	case !w.counted:
		w.counted, w.had = true, s.flushed
		if len(w.p.demand().Quorums) == 0 {
			w.had = 0
		}
		w.told.add(w.p.deps.Now(), s.flushed) // whatever clients were told before
	}
	w.calm = w.calm || w.p.demand().confirmed(s.standbys, s.flushed) >= w.had
}

// unsettled reports whether somebody waits for that.
func (w *watch) unsettled() bool {
	_, here := w.p.primary()
	return here && !w.further && !w.calm && len(w.p.demand().Quorums) > 0
}

// lost forgets a connection that broke: what starts again may be another state.
// The caller holds mu.
func (w *watch) lost() {
	w.last, w.conn, w.calm, w.counted, w.confirmed, w.unshown = sample{}, nil, false, false, confirmed{}, unshown{}
	w.life++
}

// ask returns the prepared statement that answers what is wanted now.
func (w *watch) ask() string {
	if w.further || w.p.demand().none() {
		return "p"
	}
	return "s"
}

// prepare readies the statements of a connection.
func (w *watch) prepare(conn *pool.Backend) error {
	return errors.Join(conn.Prepare("p", positionSQL), conn.Prepare("s", standbysSQL), conn.Prepare("l", leavingSQL))
}
