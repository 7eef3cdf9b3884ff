package purge

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"meridian/edge/cache"
)

// Bounds of the invalidations that one node sends.
const (
	maxOutbox   = 512                   // that wait; more are dropped
	gather      = 10 * time.Millisecond // in which those that come go together
	maxSendings = 4                     // messages to all edges at once
)

// Invalidated tells the other edges what an unsafe request invalidated at this
// one (RFC 9111, section 4.4; RFC 9875). It never waits. Each write of an API is
// one, so the log is spared: it gets what did not reach every edge. At a higher rate than
// the configured one, some are dropped, and counted: the others then know by
// the end of the response's own freshness.
func (s *Sender) Invalidated(p cache.Purge) {
	s.mu.Lock()
	dropped := !s.post(p)
	s.mu.Unlock()
	if dropped {
		s.metrics.dropped.Inc()
		return
	}
	wake(s.unsent)
}

// NewID returns an ID for a purge that nobody named.
func NewID() string { return rand.Text() }

// post puts a purge into the outbox, unless its like waits there already.
func (s *Sender) post(p cache.Purge) bool {
	like := func(q cache.Purge) bool { q.ID, q.At = p.ID, p.At; return q == p }
	if i := slices.IndexFunc(s.outbox, like); i >= 0 {
		s.outbox[i] = p // the newest: what was fetched since the older one goes too
		return true
	}
	now := s.deps.Now()
	if s.filled.IsZero() {
		s.budget = s.cfg.Rate
	} else {
		s.budget = min(s.cfg.Rate, s.budget+now.Sub(s.filled).Seconds()*s.cfg.Rate)
	}
	s.filled = now
	if s.budget < 1 || len(s.outbox) >= maxOutbox {
		return false
	}
	s.budget--
	s.outbox = append(s.outbox, p)
	return true
}

// send sends what is in the outbox, together, each time that it is woken.
func (s *Sender) send(ctx context.Context) {
	var flying sync.WaitGroup
	defer flying.Wait()
	places := make(chan struct{}, maxSendings)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.unsent:
		}
		select {
		case <-ctx.Done():
			return
		case places <- struct{}{}:
		}
		ps := s.take()
		if len(ps) == 0 {
			<-places
			continue
		}
		flying.Go(func() {
			defer func() { <-places }()
			if o := s.tellAll(ctx, ps, s.cfg.Patience, false); !o.Done() && ctx.Err() == nil {
				s.keep(ps)
				s.deps.Log.Debug("invalidations did not reach every edge; the log will tell them", "count", len(ps), "edges", o.pending())
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
	}
}

func (s *Sender) take() []cache.Purge {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := s.outbox
	s.outbox = nil
	return ps
}

func (o Outcome) pending() (out []string) {
	for _, r := range o.Edges {
		if !r.Done {
			out = append(out, r.Node)
		}
	}
	return out
}
