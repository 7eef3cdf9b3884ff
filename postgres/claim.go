package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"meridian"
	"meridian/postgres/wire"
)

// A request that is executed by a key has claimed it in the primary's log. Were
// the primary lost with the claim, and what the request writes went to the
// successor, another execution could claim the key there: two writes. So what
// such a request sends to a primary runs only where the claim is part of the
// history.

// A claimVerdict says whether a claim is part of a server's history.
type claimVerdict struct {
	Holds bool
	Waits bool // it is not known yet
	Why   string
}

// decideClaim says whether a claim is part of the history of a server on a
// timeline, 0 if that is not known, of a system. handed says that the primary of
// now was handed the database in a planned move.
func decideClaim(claim meridian.Token, system uint64, timeline uint32, forks []Fork, handed bool) claimVerdict {
	i := slices.IndexFunc(forks, func(f Fork) bool { return f.Timeline == claim.Timeline })
	over, isSkipped := skipped(forks, claim.Timeline)
	named := fmt.Sprintf("the claim at %s of timeline %d", claim.LSN, claim.Timeline)
	switch {
	case system != 0 && system != claim.System:
		return claimVerdict{Why: named + " is of another database"}
	case timeline == 0:
		return claimVerdict{Waits: true, Why: "on which timeline the primary is, is not known yet"}
	case timeline == claim.Timeline:
		return claimVerdict{Holds: true, Why: "the primary is the same"}
	case timeline < claim.Timeline:
		return claimVerdict{Why: fmt.Sprintf("%s is ahead of the primary, which is on timeline %d", named, timeline)}
	case i >= 0 && claim.LSN <= forks[i].LSN:
		return claimVerdict{Holds: true, Why: named + " came before its end"}
	case i >= 0:
		return claimVerdict{Why: fmt.Sprintf("%s is lost with an old primary: the history ended at %s", named, forks[i].LSN)}
	case isSkipped:
		return claimVerdict{Why: fmt.Sprintf("%s is lost with an old primary: the history passed its timeline over at %s", named, over.LSN)}
	case handed && timeline == claim.Timeline+1:
		return claimVerdict{Holds: true, Why: "the primary was handed all that was acknowledged"}
	}
	return claimVerdict{Waits: true, Why: fmt.Sprintf("where timeline %d ended is not known yet", claim.Timeline)}
}

// holdsClaim looks whether the local PostgreSQL, a primary, has a claim.
func (p *Proxy) holdsClaim(ctx context.Context, claim meridian.Token, timeline uint32) claimVerdict {
	if timeline == 0 {
		timeline = p.timeline(ctx)
	}
	var forks []Fork
	if p.deps.Forks != nil {
		forks = p.deps.Forks()
	}
	v := decideClaim(claim, p.system(), timeline, forks, p.deps.Handed != nil && p.deps.Handed())
	if p.anyHistory {
		v.Holds = true
	}
	return v
}

// unclaimed returns why the group at hand may not run on the local primary, if a
// request in flight has a claim that is not part of its history.
func (c *client) unclaimed(ctx context.Context) error {
	if c.env == nil || c.main.backend == nil {
		return nil
	}
	for _, claim := range c.env.claims() {
		v := c.p.holdsClaim(ctx, claim, c.main.timeline)
		switch {
		case v.Holds:
		case v.Waits:
			return errShut(v.Why)
		default:
			return &finalError{errUnclaimed(v.Why)}
		}
	}
	return nil
}

func errUnclaimed(why string) *wire.Error {
	return &wire.Error{Severity: "ERROR", Code: stateUnclaimed, Message: "meridian: " + why, Hint: "Nothing of it was carried out. The request may be sent again."}
}

// claimLocked tells the primary's proxy, ahead of a group, what requests in flight
// have claimed, unless it was told.
func (u *upstream) claimLocked() {
	if u.backend != nil || u.c.env == nil {
		return
	}
	var claims []string
	for _, t := range u.c.env.claims() {
		claims = append(claims, t.Bare().String())
	}
	all := strings.Join(claims, ",")
	if all == u.claimed || all == "" {
		return
	}
	u.claimed = all
	u.out = wire.Builder(u.out).JSON(wire.FrameState, wire.State{Claims: claims})
}

// holds refuses to go on for a session with a claim that is not part of the
// history here.
func (s *peer) holds(ctx context.Context, claims []string) error {
	for _, text := range claims {
		claim, err := meridian.ParseToken(text)
		if err != nil {
			return fmt.Errorf("%w: %w", wire.ErrProtocol, err)
		}
		switch v := s.awaitClaim(ctx, claim); {
		case v.Waits: // in vain
			return s.leaveOnce(ctx, &wire.Refusal{Code: stateNotSent, Message: v.Why})
		case !v.Holds:
			return s.leaveOnce(ctx, &wire.Refusal{Code: stateUnclaimed, Message: v.Why})
		}
	}
	return nil
}

// awaitClaim looks whether the claim is part of the history here, and waits for
// a while if that is not known yet.
func (s *peer) awaitClaim(ctx context.Context, claim meridian.Token) claimVerdict {
	for h := s.p.hold(); ; h.wait(ctx, nil, nil) {
		v := s.p.holdsClaim(ctx, claim, s.began)
		if v.Holds {
			v.Waits = false
		}
		if !v.Waits || h.left() <= 0 || s.gone.Load() || ctx.Err() != nil {
			return v
		}
	}
}

// leaveOnce gives the session back once all that was sent before is answered.
func (s *peer) leaveOnce(ctx context.Context, r *wire.Refusal) error {
	for h := s.p.hold(); ; h.wait(ctx, nil, nil) {
		s.mu.Lock()
		if s.owed == 0 {
			s.farewellLocked(r)
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if s.gone.Load() || ctx.Err() != nil || h.left() <= 0 {
			return fmt.Errorf("give the session back: %s", r.Message)
		}
	}
}
