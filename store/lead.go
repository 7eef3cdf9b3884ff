package store

import (
	"context"
	"fmt"
	"time"

	"meridian"
)

// Times of the leader's move (R17): it must be worth a moment without writes.
const (
	leadDwell = 5 * time.Second  // that leader and wish have stood still
	leadRetry = 30 * time.Second // between two tries of one member
)

// A Standing is what a member knows when it decides whether to ask for the
// lead. Each commit waits for the leader and its nearest other voter, so that
// writes are fastest where the leader is.
type Standing struct {
	Self   string
	Leader string        // "": none is known here
	Wanted string        // the member that should lead; "": nobody cares
	Stood  time.Duration // since Leader or Wanted changed
	Tried  time.Duration // since this member last asked; < 0: never
}

// DecideLead says whether the member of s asks for the lead now, and why. Only
// the one who wants it asks: one that is cut off or slow keeps silent, and so
// never gets what it could not do.
func DecideLead(s Standing) (ask bool, why string) {
	switch {
	case s.Wanted == "":
		return false, "no member is preferred"
	case s.Wanted != s.Self:
		return false, fmt.Sprintf("%s should lead", s.Wanted)
	case s.Leader == s.Self:
		return false, fmt.Sprintf("%s leads", s.Self)
	case s.Leader == "":
		return false, "no leader is known: an election is under way, or this member is cut off"
	case s.Stood < leadDwell:
		return false, fmt.Sprintf("%s leads; this has stood for %v, less than %v", s.Leader, s.Stood.Round(time.Millisecond), leadDwell)
	case s.Tried >= 0 && s.Tried < leadRetry:
		return false, fmt.Sprintf("%s leads; %s asked %v ago, and waits for %v", s.Leader, s.Self, s.Tried.Round(time.Millisecond), leadRetry)
	}
	return true, fmt.Sprintf("%s leads; the primary is nearer to %s", s.Leader, s.Self)
}

// Leader returns the name of the member that leads, "" if none is known here.
func (m *Member) Leader() string {
	s := m.server.Load()
	if s == nil || s.Leader() == 0 {
		return ""
	}
	if l := s.Cluster().Member(s.Leader()); l != nil {
		return l.Name
	}
	return ""
}

// Lead asks the leader of now to let this member lead, and returns when it
// does. Writes wait for that moment.
func (m *Member) Lead(ctx context.Context) error {
	s := m.server.Load()
	if s == nil || s.Leader() == 0 {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("member %s knows of no leader to ask", m.cfg.Name))
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Election)
	defer cancel()
	if err := s.MoveLeader(ctx, s.Lead(), uint64(s.MemberID())); err != nil {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("member %s asks %s for the lead: %w", m.cfg.Name, m.Leader(), err))
	}
	return nil
}

// KeepLead asks for the lead whenever DecideLead says so, until ctx is canceled.
// Wanted names the member that should lead; it is asked each second.
func (m *Member) KeepLead(ctx context.Context, wanted func() string) {
	s := Standing{Self: m.cfg.Name, Tried: -1}
	stood, tried := time.Now(), time.Time{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if l, w := m.Leader(), wanted(); l != s.Leader || w != s.Wanted {
			s.Leader, s.Wanted, stood = l, w, time.Now()
		}
		if s.Stood = time.Since(stood); !tried.IsZero() {
			s.Tried = time.Since(tried)
		}
		ask, why := DecideLead(s)
		if !ask {
			continue
		}
		tried = time.Now()
		err := m.Lead(ctx)
		m.log.Info("the store's lead was asked for", "why", why, "took", time.Since(tried), "err", err)
	}
}
