package postgres

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// An env is one execution environment: the connections that log in with the
// user made for it work for the invocations that are in flight there.
type env struct {
	name     string
	function string // the part of the name that all environments of a function have
	stand    stand

	mu       sync.Mutex     // guards what follows
	own      meridian.Token // the newest that its connections wrote or were shown
	inFlight []*work
}

// A work is one invocation in flight, and what was seen of it. Where several
// are in flight at once, each is credited with what happened meanwhile.
type work struct {
	ctx      context.Context
	floor    meridian.Token
	reads    meridian.Promise
	observed meridian.Observation
	wrote    meridian.Token // its last write, as far as it has a handle
	on       []*replica     // where its statements ran, here
	first    []footing      // what each replica of the region showed as it began, at the least
	telling  chan struct{}  // has room for who calls reads.Touch
	touched  bool           // it was called
	early    meridian.Token // of the control sampleFirst alone
}

// A footing is what reads on a replica are at least as new as.
type footing struct {
	on    *replica
	shown meridian.Token
	life  int // of its PostgreSQL: of one that was started again nothing is known
}

// footings returns those of all replicas. It asks nobody: what was seen last holds.
func (p *Proxy) footings() (out []footing) {
	for _, r := range p.replicas {
		shown, life := r.watch.showing()
		out = append(out, footing{r, shown, life})
	}
	return out
}

// since returns what all that an invocation read here is at least as new as, or the
// zero Token: it read on the primary of another region, or somewhere that was
// started again since, or whose position is not known.
func (w *work) since(o meridian.Observation) (least meridian.Token) {
	if o.Forwarded > 0 || o.Stale != "" {
		return meridian.Token{}
	}
	for i, r := range w.on {
		at := slices.IndexFunc(w.first, func(f footing) bool { return f.on == r })
		if at < 0 || w.first[at].shown.IsZero() || w.first[at].life != r.watch.lifetime() {
			return meridian.Token{}
		}
		shown := w.first[at].shown
		switch {
		case i == 0 || shown.LSN < least.LSN && shown.Timeline == least.Timeline && shown.System == least.System:
			least = shown
		case shown.Timeline != least.Timeline || shown.System != least.System:
			return meridian.Token{}
		}
	}
	return least.Bare()
}

// Attach makes a user for an execution environment and returns the URL with
// which it connects. detach makes the user unknown; connections that are
// already open live on.
func (p *Proxy) Attach(name string) (dsn string, detach func(), err error) {
	password := secret(16)
	v, err := wire.NewVerifier(password)
	if err != nil {
		return "", nil, fmt.Errorf("attach %s: %w", name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	login := p.cfg.Role + "." + name
	if _, taken := p.users[login]; taken {
		return "", nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("attach %s: the name is taken", name))
	}
	e := &env{name: name, function: functionOf(name)}
	p.users[login], p.envs[name] = &user{role: p.cfg.Role, verifier: v, env: e}, e
	host := p.cfg.Listen
	if p.addr != nil {
		host = p.addr.String()
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(login, password), Host: host, Path: "/" + p.cfg.Database, RawQuery: "sslmode=disable"}
	return u.String(), func() { p.detach(login, e) }, nil
}

// functionOf returns the name of an environment, FUNCTION-SERIAL-SESSION,
// without its last two parts.
func functionOf(name string) string {
	for range 2 {
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
	}
	return name
}

func (p *Proxy) detach(login string, e *env) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[login]; u != nil && u.env == e {
		delete(p.users, login)
		delete(p.envs, e.name)
	}
}

// Begin says that an invocation starts in an execution environment and must
// not read older data than floor. ctx carries its span. end ends it, and says
// what was seen of it; it asks PostgreSQL for the position only if the
// invocation used it. While several invocations are in flight, the newest of
// their floors holds for all, and what keeps all that they are promised: they may
// wait too long, never too short.
func (p *Proxy) Begin(ctx context.Context, name string, floor meridian.Token, reads meridian.Promise) (end func() meridian.Observation) {
	p.mu.Lock()
	e := p.envs[name]
	p.mu.Unlock()
	if e == nil {
		return func() meridian.Observation { return meridian.Observation{} }
	}
	w := &work{ctx: context.WithoutCancel(ctx), floor: floor, reads: reads, first: p.footings()}
	if reads.Touch != nil {
		w.telling = make(chan struct{}, 1)
	}
	if p.sampleFirst {
		w.early = p.sampleAfter(w.ctx)
	}
	e.mu.Lock()
	if len(e.inFlight) == 0 {
		e.stand.fresh() // who was shown more has a token that says so
	}
	e.inFlight = append(e.inFlight, w)
	if len(e.inFlight) > 1 {
		for _, w := range e.inFlight {
			w.observed.Shared = true
		}
	}
	e.mu.Unlock()
	return sync.OnceValue(func() meridian.Observation { return p.end(e, w) })
}

func (p *Proxy) end(e *env, w *work) meridian.Observation {
	e.mu.Lock()
	if i := slices.Index(e.inFlight, w); i >= 0 {
		e.inFlight = slices.Delete(e.inFlight, i, i+1)
	}
	o, own := w.observed, e.own
	own.Handle, own.Wrote = "", 0 // of another caller
	e.mu.Unlock()
	if o.Local+o.Forwarded == 0 {
		return o
	}
	if p.sampleFirst {
		o.Token = w.early
		return o
	}
	o.Token = own
	if o.Local > 0 || own.IsZero() {
		o.Token = own
		for _, r := range w.on {
			o.Token = newest(o.Token, p.seenOn(w.ctx, r))
		}
		if len(w.on) == 0 {
			o.Token = newest(own, p.sampleAfter(w.ctx))
		}
	}
	o.Token = p.name(o.Token, w)
	if o.Since = w.since(o); p.sinceSeen {
		o.Since = o.Token.Bare()
	}
	return o
}

// seenOn is sampleAfter for what was read on a replica. Of one that does not
// answer any more the primary knows it.
func (p *Proxy) seenOn(ctx context.Context, on *replica) meridian.Token {
	if len(p.replicas) == 1 || on == p.own() {
		return p.sampleAfter(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := on.watch.sample(ctx)
	if err == nil {
		return s.seen
	}
	a, err := p.probe.ask(ctx)
	if err != nil {
		p.deps.Log.Warn("no position at the end of an invocation", "error", err)
	}
	return a.token
}

// stood notes that n statements of the group at hand ran on a replica.
func (c *client) stood(on *replica, n int) {
	if len(c.p.replicas) > 1 || c.reads && len(c.p.demand().Quorums) > 0 {
		c.stand().showed(on)
	}
	if len(c.p.replicas) > 1 {
		c.p.metrics.replicas.WithLabelValues(or(on.name, "own")).Inc()
	}
	if c.env == nil {
		return
	}
	c.env.mu.Lock()
	defer c.env.mu.Unlock()
	for _, w := range c.env.inFlight {
		w.observed.Local += n
		if !slices.Contains(w.on, on) {
			w.on = append(w.on, on)
		}
	}
}

// newest returns the newer of two tokens, with the later of their writes; of
// different systems the second.
func newest(a, b meridian.Token) meridian.Token {
	return a.Join(b)
}

// floor returns what the environment's reads must not be older than.
func (e *env) floor() meridian.Token {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.own
	for _, w := range e.inFlight {
		f = newest(f, w.floor)
	}
	return f
}

// promised returns what the environment's reads are promised where they do not
// say it themselves: by the routes of the invocations in flight, or else by def.
func (e *env) promised(def meridian.Consistency) meridian.Consistency {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.inFlight) == 0 {
		return def
	}
	c := meridian.Consistency{Level: meridian.Eventual}
	for _, w := range e.inFlight {
		if said := w.reads.Consistency; said != nil {
			c = c.Both(*said)
		} else {
			c = c.Both(def)
		}
	}
	return c
}

// unreachable returns what becomes of a read of the environment whose promise
// no node can keep: it is served stale only if all in flight let it be.
func (e *env) unreachable(def meridian.Unreachable) meridian.Unreachable {
	if e == nil {
		return def
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.inFlight) == 0 {
		return def
	}
	for _, w := range e.inFlight {
		if said := w.reads.Unreachable; said != "" && said != meridian.ServeStale || said == "" && def != meridian.ServeStale {
			return meridian.Refuse
		}
	}
	return meridian.ServeStale
}

// claims returns what must be part of the history for which the environment
// works, of all invocations in flight.
func (e *env) claims() (out []meridian.Token) {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.inFlight {
		if t := w.reads.Claim; !t.IsZero() {
			out = append(out, t)
		}
	}
	return out
}

// saw notes a position that a connection wrote or was shown.
func (e *env) saw(t meridian.Token) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.own = newest(e.own, t)
}

// note lets f add to what is seen of each invocation in flight.
func (e *env) note(f func(*meridian.Observation)) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.inFlight {
		f(&w.observed)
	}
}

// context returns that of the newest invocation in flight, or nil.
func (e *env) context() context.Context {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.inFlight) == 0 {
		return nil
	}
	return e.inFlight[len(e.inFlight)-1].ctx
}
