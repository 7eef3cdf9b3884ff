package store

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Times of a leader that hears nobody. Each heartbeat is answered: between two
// bytes lie a heartbeat and a round trip, less than a second where they are
// largest.
const (
	deafAfter    = 1500 * time.Millisecond // without a byte from any other member
	deposedAfter = 500 * time.Millisecond  // the same, once raft deposed it; while it hands over, others speak
	listenTick   = 100 * time.Millisecond
	// A tick that comes later counts no more than this: a process that was frozen,
	// or got no processor, was not deaf meanwhile. What came for it is read soon.
	listenMost = 3 * listenTick
)

// A hearing is what a member goes by when it decides whether another is to lead.
type hearing struct {
	leads   bool
	deposed bool          // it led last, and now nobody does, as far as it knows
	asked   bool          // since it was deposed
	votes   int           // members that vote, this one too
	quiet   time.Duration // for how long it led, listened and heard no other member, or since it asked
}

// decideDeaf says whether a leader is to have another elected, and why. It
// could commit nothing, and those who hear it would wait until it notices, and
// then as long again. One voice is enough to keep the lead, whoever's: raft
// itself counts majorities.
func decideDeaf(h hearing) (deaf bool, why string) {
	switch {
	case !h.leads && !h.deposed:
		return false, "this member does not lead"
	case h.votes < 3:
		return false, fmt.Sprintf("of %d votes none can be spared", h.votes)
	case h.asked:
		return false, "this member led, and has asked the others"
	case h.deposed && h.quiet >= deposedAfter:
		return true, fmt.Sprintf("this member led, and heard no other for %v", h.quiet)
	case h.quiet < deafAfter:
		return false, fmt.Sprintf("nothing was heard for %v, less than %v", h.quiet, deafAfter)
	}
	return true, fmt.Sprintf("this member leads, and heard no other for %v", h.quiet)
}

// quieter returns for how long nothing was heard, a tick later.
func quieter(quiet, passed time.Duration, heard bool) time.Duration {
	if heard {
		return 0
	}
	return quiet + min(passed, listenMost)
}

// listen asks the others to elect another leader whenever decideDeaf says so,
// until ctx is canceled.
func (m *Member) listen(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(listenTick)
	defer tick.Stop()
	var h hearing
	var led campaign
	at, last := time.Now(), m.heard.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, heard := time.Now(), m.heard.Load()
		h.quiet = quieter(h.quiet, now.Sub(at), heard != last)
		at, last = now, heard
		_, p := m.place()
		h, led = h.now(led, p)
		if deaf, why := decideDeaf(h); deaf {
			m.log.Warn("the store is to have another leader", "term", led.Term, "why", why)
			ask := led
			calls.Go(func() { m.relays.call(ctx, ask) })
			h.quiet, h.asked = 0, h.deposed
		}
	}
}

// now returns what decideDeaf goes by once a member has this place, and what it
// would ask for: led is the term that it led last. Who does not lead was not quiet.
func (h hearing) now(led campaign, p place) (hearing, campaign) {
	here := campaign{From: p.self, Term: p.term}
	switch {
	case p.self != 0 && p.leader == p.self:
		return hearing{leads: true, votes: len(p.votes), quiet: h.quiet}, here
	case p.leader == 0 && here == led:
		return hearing{deposed: true, asked: h.asked, votes: len(p.votes), quiet: h.quiet}, led
	}
	return hearing{}, led
}

// An ear counts what is read from another member.
type ear struct {
	net.Conn
	heard *atomic.Uint64
}

func (e ear) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if n > 0 {
		e.heard.Add(1)
	}
	return n, err
}

// earsOn is a listener whose connections have ears.
type earsOn struct {
	net.Listener
	heard *atomic.Uint64
}

func (l earsOn) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return ear{c, l.heard}, nil
}
