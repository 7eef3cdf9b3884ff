package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"meridian"
)

// probeEvery is how often a secondary asks the primary how far it is. It does
// the same work whether anybody needs it or not, but for bounded reads that a
// slower pace would let wait.
const probeEvery = 500 * time.Millisecond

// boundKept is how long after a bounded read the pace is still its own.
const boundKept = 10 * time.Second

// paceFor returns how often to ask so that reads within a bound wait for
// nothing: an answer is a round trip old when it comes, and must last until the
// next one has come and is replayed. No pace helps a bound below a round trip.
func paceFor(bound, rtt time.Duration) time.Duration {
	if bound <= rtt {
		return probeEvery
	}
	return min(probeEvery, max((bound-rtt)/2, rtt/maxProbes, 10*time.Millisecond))
}

// A probe asks the primary's proxy at a steady pace how far it is. Its silence
// says that the primary cannot be reached, where a cut link would say nothing;
// its answers say how far the local replay is behind.
type probe struct {
	p    *Proxy
	wake chan struct{}

	mu     sync.Mutex // guards what follows
	region meridian.Region
	lost   string // why region cannot be reached, or ""
	known  bool   // region has answered at least once
	open   []answer
	asking []chan answer // reads that want the next probe
	due    bool          // a probe is wanted
	bound  time.Duration // the least that reads of late are bounded by, or 0
	until  time.Time     // when that ends to count

	replayed time.Time // when the newest of what is replayed here was asked for

	back primaryReturn // of a primary that is being started again

	recent []answer // for further standbys, whatever is replayed; oldest first
}

// maxRecent bounds what is kept for them.
const maxRecent = 64

// An answer is the primary's position at an instant, not replayed here yet.
type answer struct {
	at    time.Time // when it was asked for: the position is not older
	token meridian.Token
}

func newProbe(p *Proxy) *probe { return &probe{p: p, wake: make(chan struct{}, 1)} }

// away says why a region cannot be reached as the primary, or "".
func (b *probe) away(region meridian.Region) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if why := b.awaitsLocked(region); why != "" {
		return why
	}
	if b.region != region {
		return ""
	}
	return b.lost
}

// lag returns how long ago the oldest answer was asked for that is not yet
// replayed, 0 if all are, -1 if the primary never answered.
func (b *probe) lag() time.Duration {
	here := b.p.watch.known().served
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known {
		return -1
	}
	b.forget(here)
	if len(b.open) == 0 {
		return 0
	}
	return b.p.deps.Now().Sub(b.open[0].at)
}

// forget drops the answers that are replayed here.
func (b *probe) forget(here meridian.Token) {
	for len(b.open) > 0 && reached(here, b.open[0].token) {
		b.replayed, b.open = b.open[0].at, b.open[1:]
	}
}

// bounded notes a read that may be as old as a bound.
func (b *probe) bounded(bound time.Duration) {
	now := b.p.deps.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.After(b.until) || bound <= b.bound {
		b.bound, b.until = bound, now.Add(boundKept)
	}
}

// pace returns how often to ask at present, when a round trip takes rtt.
func (b *probe) pace(rtt time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.p.deps.Now().After(b.until) {
		return probeEvery
	}
	return paceFor(b.bound, rtt)
}

// run probes until ctx is canceled.
func (b *probe) run(ctx context.Context) {
	for ctx.Err() == nil {
		region, here := b.p.primary()
		if here || region == "" {
			b.set(region, nil)
			if here {
				b.selfAnswer(ctx)
			}
			pause(ctx, probeEvery/5)
			continue
		}
		err := b.while(ctx, region)
		if now, _ := b.p.primary(); ctx.Err() != nil || now != region {
			continue
		}
		var no *refusedProbe
		if errors.As(err, &no) { // it is there, and not the primary now
			b.set(region, nil)
			pause(ctx, probeEvery/10)
			continue
		}
		b.set(region, err)
		b.p.dropMains(region)
		pause(ctx, probeEvery/2)
	}
}

// while holds a session with a region for as long as that is the primary: who
// waits for one that was lost would learn late of its successor.
func (b *probe) while(ctx context.Context, region meridian.Region) error {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	looking.Go(func() {
		for now := region; now == region && ctx.Err() == nil; now, _ = b.p.primary() {
			pause(ctx, probeEvery/5)
		}
		cancel()
	})
	return b.session(ctx, region)
}

// set notes how the last conversation with a region went.
func (b *probe) set(region meridian.Region, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.lost
	if b.region != region {
		b.known, b.open, b.replayed = false, nil, time.Time{}
	}
	b.region, b.lost = region, ""
	if err != nil {
		tell(b.asking, nil)
		b.asking = nil
		b.lost = fmt.Sprintf("the primary in %s cannot be reached: %v", region, err)
	}
	if (was == "") != (b.lost == "") {
		b.p.deps.Log.Info("the primary's reach changed", "primary", region, "why", b.lost)
	}
}

// answered notes an answer, and if it was asked for at the steady pace looks how
// far replay is.
func (b *probe) answered(ctx context.Context, a answer, look bool) {
	here := b.p.watch.known().served
	if look {
		ctx, cancel := context.WithTimeout(ctx, b.p.cfg.PrimaryTimeout)
		defer cancel()
		if s, err := b.p.watch.sample(ctx); err == nil {
			here = s.served
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = true
	if len(b.open) < 4096 {
		b.open = append(b.open, a)
	}
	b.forget(here)
	b.keepLocked(a)
}

// keepLocked keeps an answer for further standbys.
func (b *probe) keepLocked(a answer) {
	if len(b.p.replicas) == 1 {
		return
	}
	if b.recent = append(b.recent, a); len(b.recent) > maxRecent {
		b.recent = slices.Delete(b.recent, 0, len(b.recent)-maxRecent)
	}
}

// selfAnswer keeps what the primary here would answer, for its further standbys.
func (b *probe) selfAnswer(ctx context.Context) {
	if len(b.p.replicas) == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.p.cfg.PrimaryTimeout)
	defer cancel()
	at := b.p.deps.Now()
	if s, err := b.p.watch.sample(ctx); err == nil && !s.standby {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.keepLocked(answer{at, s.served})
	}
}

// sinceReached returns the time since the newest answer that is replayed where a
// further standby is, and since the oldest that is not, which is 0 if all are; -1 each where that is not known.
func (b *probe) sinceReached(here meridian.Token) (age, lag time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, n := b.p.deps.Now(), len(b.recent)
	i := n - 1
	for i >= 0 && !reached(here, b.recent[i].token) {
		i--
	}
	switch age, lag = -1, -1; {
	case n == 0:
	case i < 0:
		lag = now.Sub(b.recent[0].at)
	case i == n-1:
		age, lag = now.Sub(b.recent[i].at), 0
	default:
		age, lag = now.Sub(b.recent[i].at), now.Sub(b.recent[i+1].at)
	}
	return age, lag
}

// staleness returns how old what is read on a replica may be; -1 if that is not
// known.
func (r *replica) staleness() time.Duration {
	here, b := r.watch.known().served, r.watch.p.probe
	if r.name == "" {
		return b.staleness(here)
	}
	age, _ := b.sinceReached(here)
	return age
}

// ask returns the primary's position at an instant after the call. All who ask
// before a probe is sent share it.
func (b *probe) ask(ctx context.Context) (answer, error) {
	c := make(chan answer, 1)
	b.want(c)
	b.p.loops.Slow()
	select {
	case a, ok := <-c:
		if !ok {
			return answer{}, errors.New("the primary gave no answer")
		}
		return a, nil
	case <-ctx.Done():
		return answer{}, fmt.Errorf("ask the primary how far it is: %w", ctx.Err())
	}
}

// want asks for a probe, with a nil c for nobody in particular.
func (b *probe) want(c chan answer) {
	b.mu.Lock()
	b.due = true
	if c != nil && b.lost != "" {
		close(c)
	} else if c != nil {
		b.asking = append(b.asking, c)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// wanted reports whether a probe is to be sent.
func (b *probe) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.due
}

// take returns who waits for the probe that is being sent.
func (b *probe) take() []chan answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	reads := b.asking
	if b.p.aloneProbes && len(reads) > 1 {
		b.asking = reads[1:]
		return reads[:1]
	}
	b.asking, b.due = nil, false
	return reads
}

// staleness returns how old what is read here may be, when here is replayed:
// the time since the newest instant of which it is known that all that was
// flushed then is replayed. It is -1 if nothing is known.
func (b *probe) staleness(here meridian.Token) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forget(here); b.replayed.IsZero() {
		return -1
	}
	return b.p.deps.Now().Sub(b.replayed)
}

// dropMains ends all sessions' streams to a region that is silent: their
// clients learn now what they would otherwise wait for in vain.
func (p *Proxy) dropMains(region meridian.Region) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		c.mu.Lock()
		if c.main != nil && c.main.backend == nil && c.main.region == region {
			c.main.conn.Close()
		}
		c.mu.Unlock()
	}
}
