package postgres

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"meridian"
	"meridian/postgres/pool"
	"meridian/postgres/wire"
)

// A Standby is a further PostgreSQL of this region, that follows the region's own.
type Standby struct {
	Name string // of its node
	Dial func(context.Context) (net.Conn, error)
}

// A replica is a PostgreSQL of this region on which reads may run.
type replica struct {
	name  string // "" is the region's own, which alone may be a primary
	dial  func(context.Context) (net.Conn, error)
	pool  *pool.Pool
	watch *watch
}

// own returns the region's own PostgreSQL.
func (p *Proxy) own() *replica { return p.replicas[0] }

// A replicaView is what is known of a replica when a read asks for one.
type replicaView struct {
	Name  string
	Up    bool           // it answers
	Here  meridian.Token // how far it has come
	Lost  bool           // it has more than what is left of its timeline
	Names bool           // it has come at least as far as the names by which texts were judged
	Load  int            // connections in use
}

// A replicaChoice says which replica a read stands on, and why.
type replicaChoice struct {
	At  int
	Why string
}

// chooseReplica finds one that has what the read may not miss: that on which its
// session stands, or else the one with the least to do. Where none has, it is the
// one that has come furthest. The first is the region's own, and what is left
// where none is of use.
func chooseReplica(all []replicaView, now int, floor meridian.Token) replicaChoice {
	var can []int
	for i, r := range all {
		if r.Up && !r.Lost && r.Names && (floor.IsZero() || reached(r.Here, floor)) {
			can = append(can, i)
		}
	}
	if len(can) == 0 {
		return furthest(all, now)
	}
	best, stands := can[0], false
	for _, i := range can {
		stands = stands || i == now
		if all[i].Load < all[best].Load {
			best = i
		}
	}
	switch {
	case stands && all[now].Load <= 2*all[best].Load+uneven:
		return replicaChoice{now, "its session stands there"}
	case stands:
		return replicaChoice{best, "it has much less to do"}
	}
	return replicaChoice{best, "it has what is asked for, and the least to do"}
}

// uneven is how many connections more than twice another's a replica may have
// before sessions move: each move costs a reset, and a look at how far it was.
const uneven = 4

func furthest(all []replicaView, now int) replicaChoice {
	best := -1
	further := func(a, b meridian.Token) bool {
		return a.Timeline > b.Timeline || a.Timeline == b.Timeline && a.LSN > b.LSN
	}
	for i, r := range all {
		if !r.Up || r.Lost || !r.Names {
			continue
		}
		if best < 0 || further(r.Here, all[best].Here) || i == now && !further(all[best].Here, r.Here) {
			best = i
		}
	}
	if best < 0 {
		return replicaChoice{0, "no replica is of use now"}
	}
	return replicaChoice{best, "it has come furthest"}
}

// A stand is where the reads of a session stand, or those of all sessions of an
// execution environment: what one of them was shown the others are not shown
// older.
type stand struct {
	mu    sync.Mutex // guards what follows
	on    *replica   // nil: nowhere yet
	shown bool       // something was read there since, and its position is not known to be in the floor
	owed  bool       // something was read elsewhere, of which nobody could say how new it was
	life  int        // of on's watch when it was read
}

// showed notes that something was read on a replica.
func (s *stand) showed(on *replica) {
	life := on.watch.lifetime()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != on {
		s.owed = s.owed || s.shown
	} else if s.shown && s.life != life {
		s.owed = true
	}
	s.on, s.shown, s.life = on, true, life
}

// fresh says that the next reads are for somebody else, who brings a floor.
func (s *stand) fresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown, s.owed = false, false
}

// stand returns the session's, or its environment's.
func (c *client) stand() *stand {
	if c.env != nil {
		return &c.env.stand
	}
	return &c.alone
}

// stays returns the replica that the group at hand cannot leave, or nil.
func (c *client) stays() *replica {
	switch _, here := c.p.primary(); {
	case c.near != nil && (c.block == onNear || c.group.Sent > 0):
		return c.near.on
	case here, len(c.p.replicas) == 1:
		return c.p.own()
	}
	return c.signals.on
}

// replicaViews returns what is known of the replicas.
func (p *Proxy) replicaViews() (all []replicaView) {
	names := p.history(p.catalogue.asOf())
	for _, r := range p.replicas {
		here, up := r.watch.stands()
		v := replicaView{Name: r.name, Up: up, Here: here}
		if p.deps.Forks != nil {
			_, whole := settle(p.deps.Forks(), here)
			v.Lost = !whole
		}
		v.Names = names.IsZero() || reached(here, names)
		st := r.pool.Stats()
		v.Load = st.Open - st.Idle + st.Queued
		all = append(all, v)
	}
	return all
}

// stepTo puts the group at hand on a replica: that which chooseReplica names.
// What was read elsewhere before must not be older there: v's floor is raised to
// that, or says that nobody knows it.
func (c *client) stepTo(ctx context.Context, v *freshView) {
	if c.at = c.stays(); c.at != nil {
		return
	}
	floor := v.Floor
	if v.Mode.Level == meridian.Eventual {
		floor = meridian.Token{}
	}
	s := c.stand()
	s.mu.Lock()
	defer s.mu.Unlock()
	d := c.choose(ctx, s.on, floor)
	to := c.p.replicas[d.At]
	if (s.owed || s.shown && to != s.on) && !c.p.forgetsShown && v.Mode.Level != meridian.Eventual {
		shown, ok := c.shownUpTo(ctx, s)
		if !ok {
			v.Unknown, v.Away = "nobody can say how new what was read before was", c.p.away()
			c.at = to
			return
		}
		c.raise(shown)
		v.Floor = newest(v.Floor, c.p.history(shown))
		s.shown, s.owed, v.Unknown = false, false, ""
		d = c.choose(ctx, s.on, v.Floor)
		to = c.p.replicas[d.At]
	}
	if s.on != to {
		c.log.Debug("reads move", "to", or(to.name, "the region's own"), "why", d.Why)
		s.owed, s.shown = s.owed || s.shown, false
	}
	s.on, c.at = to, to
}

// choose returns the replica for a read of a session that stands on one. That
// which just lost the group at hand is left out, unless it is the only one that
// answers when it is asked again.
func (c *client) choose(ctx context.Context, on *replica, floor meridian.Token) replicaChoice {
	all := c.p.replicaViews()
	if c.avoid != nil {
		others := slices.Clone(all)
		others[slices.Index(c.p.replicas, c.avoid)].Up = false
		if !slices.ContainsFunc(others, func(v replicaView) bool { return v.Up }) {
			c.p.askAgain(ctx, c.avoid)
			others = c.p.replicaViews()
		}
		all = others
	}
	return chooseReplica(all, slices.Index(c.p.replicas, on), floor)
}

// askAgain finds out whether a replica that lost a backend answers.
func (p *Proxy) askAgain(ctx context.Context, r *replica) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.PrimaryTimeout)
	defer cancel()
	for again := time.Duration(0); again < 2*r.watch.reconnects(); again += reconnectEvery { // its watch may have to connect anew
		if _, err := r.watch.sample(ctx); err == nil {
			return
		}
		pause(ctx, reconnectEvery)
	}
}

// boundPatience is how long a replica may take to say how far it is.
const boundPatience = 100 * time.Millisecond

// shownUpTo returns a position at or past all that was read where a session stood:
// the replica's word if that still is what it was, or else the primary's, who
// has all. The caller holds the stand.
func (c *client) shownUpTo(ctx context.Context, s *stand) (meridian.Token, bool) {
	if _, up := s.on.watch.stands(); up && !s.owed && s.life == s.on.watch.lifetime() {
		ctx, cancel := context.WithTimeout(ctx, boundPatience)
		at, err := s.on.watch.sample(ctx)
		cancel()
		if err == nil && s.life == s.on.watch.lifetime() {
			return at.seen, true
		}
	}
	if c.p.away() != "" {
		return meridian.Token{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, c.p.cfg.PrimaryTimeout)
	defer cancel()
	a, err := c.p.probe.ask(ctx)
	return a.token, err == nil
}

// raise notes what the session's reads must not be older than from now on.
func (c *client) raise(floor meridian.Token) {
	if c.env != nil {
		c.env.saw(floor)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = newest(c.floor, floor)
}

// settleFor is how long a read waits for the replica on which its session stands
// before any other will do.
const settleFor = 5 * time.Millisecond

// awaitFloor waits until the replica of the group at hand has come to a
// position, or, after a while, another one has.
func (c *client) awaitFloor(ctx context.Context, floor meridian.Token, d time.Duration) {
	stays := c.stays() != nil
	first := d
	if !stays {
		first = min(d, settleFor)
	}
	if c.at.watch.wait(ctx, floor, first) || stays {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d-first)
	defer cancel()
	var waits sync.WaitGroup
	defer waits.Wait()
	for _, r := range c.p.replicas {
		waits.Go(func() {
			if r.watch.wait(ctx, floor, d-first) {
				cancel()
			}
		})
	}
}

// elsewhere reports whether a read that a replica could not take, as err says,
// may be tried on another one.
func (c *client) elsewhere(err error) bool {
	var said *wire.Error
	if c.stays() != nil || errors.As(err, &said) && ofTheSession(said.Code) || meridian.KindOf(err) == meridian.Throttled {
		return false
	}
	c.avoid = c.at
	c.at.watch.doubt(err)
	for _, v := range c.p.replicaViews() {
		if v.Up && v.Name != c.at.name {
			return true
		}
	}
	return false
}

// ofTheSession reports whether an error is about what a session is or asks for,
// which another replica would say as well.
func ofTheSession(code string) bool {
	return slices.Contains([]string{"22", "28", "3D", "42"}, code[:min(2, len(code))])
}

// dropNears ends the connections to a replica that does not answer: who waits
// for it reads elsewhere.
func (p *Proxy) dropNears(on *replica) {
	on.pool.Flush()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		c.mu.Lock()
		if c.near != nil && c.near.on == on {
			c.near.backend.Conn.Close()
		}
		c.mu.Unlock()
	}
}

// StandbyLags returns how far each further standby is behind, by name; -1 where
// that is not known.
func (p *Proxy) StandbyLags(ctx context.Context) map[string]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, boundPatience)
	defer cancel()
	out := map[string]time.Duration{}
	for _, r := range p.replicas[1:] {
		out[r.name] = -1
		if s, err := r.watch.sample(ctx); err == nil {
			_, out[r.name] = p.probe.sinceReached(s.served)
		}
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
