package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/topology"
)

// A Config is what an operator may say of the way to the regions.
type Config struct {
	Place          meridian.Region // where the edge stands
	Connections    int             // kept to each region; 0 means 3
	ConnectTimeout time.Duration   // of a dial, TLS included; 0 means 3 s
	PingEvery      time.Duration   // of silence, before a connection is probed; 0 means 500 ms
	PingTimeout    time.Duration   // after which a silent connection is dead; 0 means 1.5 s
}

func (c Config) defaults() Config {
	if c.Connections == 0 {
		c.Connections = 3
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 3 * time.Second
	}
	if c.PingEvery == 0 {
		c.PingEvery = 500 * time.Millisecond
	}
	if c.PingTimeout == 0 {
		c.PingTimeout = 1500 * time.Millisecond
	}
	return c
}

// Deps is what the program provides.
type Deps struct {
	Map  *topology.Map
	Dial func(context.Context, meridian.Region) (net.Conn, error) // a TLS connection to the region's gateway
	RTT  func(meridian.Region) (time.Duration, bool)              // as this node measured it; may be nil
	Log  *slog.Logger                                             // may be nil
}

// An Origin is an edge's way to the regions. Its methods may be called by many
// goroutines at once, while Run runs.
type Origin struct {
	cfg    Config
	deps   Deps
	memory memory
	last   atomic.Pointer[meridian.Region] // the choice before

	mu    sync.RWMutex // guards what follows
	links map[meridian.Region]*link
}

// New returns an Origin that Run will connect.
func New(cfg Config, deps Deps) *Origin {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Origin{cfg: cfg.defaults(), deps: deps, links: map[meridian.Region]*link{}}
}

// followEvery is how often the map is read for regions that came, went, or
// changed their health. Choose itself reads the newest map each time.
const followEvery = 50 * time.Millisecond

// Run keeps connections to every region of the map until ctx is canceled. It
// is ready at once: a region that cannot be reached must not keep an edge from
// opening its door.
func (o *Origin) Run(ctx context.Context, ready func()) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stops := map[meridian.Region]context.CancelFunc{}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	o.follow(ctx, &wg, stops)
	ready()
	for {
		select {
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			return nil
		case <-tick.C:
			o.follow(ctx, &wg, stops)
		}
	}
}

// follow makes the links be those of the map.
func (o *Origin) follow(ctx context.Context, wg *sync.WaitGroup, stops map[meridian.Region]context.CancelFunc) {
	snap := o.deps.Map.Now()
	for _, r := range snap.Regions {
		if _, ok := stops[r.Name]; !ok {
			l := newLink(r.Name, o.cfg, o.deps, &o.memory)
			own, stop := context.WithCancel(ctx)
			stops[r.Name] = stop
			o.put(r.Name, l)
			wg.Go(func() { l.run(own) })
		}
		o.link(r.Name).setDown(!r.Healthy && len(snap.Regions) > 1)
	}
	for name, stop := range stops {
		if _, ok := snap.Region(name); !ok {
			stop()
			delete(stops, name)
			o.put(name, nil)
		}
	}
}

func (o *Origin) put(r meridian.Region, l *link) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l == nil {
		delete(o.links, r)
		return
	}
	o.links[r] = l
}

func (o *Origin) link(r meridian.Region) *link {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.links[r]
}

// Choose returns the region for the next attempt of a request that was already
// sent to tried.
func (o *Origin) Choose(tried []meridian.Region) Choice {
	v := View{Place: o.cfg.Place, Map: o.deps.Map.Now(), Own: o.own(tried)}
	if last := o.last.Load(); last != nil {
		v.Last = *last
	}
	c := Choose(v)
	if c.Region != "" {
		if c.Region != v.Last && len(tried) == 0 {
			o.last.Store(&c.Region)
		}
		o.memory.probe(c.Region, time.Now())
	}
	return c
}

// own gathers this edge's experience of every region.
func (o *Origin) own(tried []meridian.Region) []Own {
	now := time.Now()
	o.mu.RLock()
	defer o.mu.RUnlock()
	out := make([]Own, 0, len(o.links))
	for name, l := range o.links {
		w := Own{Region: name, RTT: -1, State: l.state()}
		if o.deps.RTT != nil {
			if d, ok := o.deps.RTT(name); ok {
				w.RTT = d
			}
		}
		if why, ok := o.memory.broken(name, now); ok {
			w.State, w.Why = Broken, why
		}
		for _, t := range tried {
			if t == name {
				w.Tries++
			}
		}
		out = append(out, w)
	}
	return out
}

// Why a trip was canceled that its caller did not cancel.
var (
	errLost = errors.New("the region was found to be down")
	errSlow = errors.New("the region did not answer in time")
)

// A Trip is one attempt to have a request answered.
type Trip struct {
	Region    meridian.Region
	FirstByte time.Duration                                  // longest wait for the response's headers; 0 waits for ever
	Abandon   bool                                           // stop waiting when the map says the region is down
	Interim   func(status int, h textproto.MIMEHeader) error // takes 1xx responses; may be nil
}

// RoundTrip sends req to a region, once, and returns the response's headers
// with its body as a stream, which the caller must close. Its error is an
// *Error. Canceling req's context cancels the request there.
func (o *Origin) RoundTrip(req *http.Request, t Trip) (*http.Response, error) {
	l := o.link(t.Region)
	if l == nil {
		return nil, &Error{t.Region, Unsent, meridian.Unavailable, errors.New("the map has no such region")}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	stop := watch(cancel, t, l)
	resp, err := o.send(ctx, l, req, t)
	if stop(); err == nil && ctx.Err() != nil {
		resp.Body.Close()
		err = classify(ctx, t.Region, ctx.Err(), MaybeSent)
	}
	if err != nil {
		cancel(nil)
		o.note(err)
		return nil, err
	}
	o.memory.heal(t.Region)
	resp.Body = &body{resp.Body, cancel}
	return resp, nil
}

// watch cancels a trip that takes too long, or whose region is lost, until the
// function that it returns is called.
func watch(cancel context.CancelCauseFunc, t Trip, l *link) (stop func()) {
	stopSlow, stopLost := func() bool { return true }, func() bool { return true }
	if t.FirstByte > 0 {
		stopSlow = time.AfterFunc(t.FirstByte, func() { cancel(errSlow) }).Stop
	}
	if t.Abandon {
		stopLost = context.AfterFunc(l.whileUp(), func() { cancel(errLost) })
	}
	return func() { stopSlow(); stopLost() }
}

// send takes a connection and makes the round trip on it.
func (o *Origin) send(ctx context.Context, l *link, req *http.Request, t Trip) (*http.Response, error) {
	c, err := o.take(ctx, l)
	if err != nil {
		return nil, classify(ctx, t.Region, err, Unsent)
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }, Got1xxResponse: t.Interim}
	resp, err := c.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		l.look()
		return nil, classify(ctx, t.Region, err, sentBy(err, wrote.Load(), ctx.Err() != nil))
	}
	return resp, nil
}

// take returns a connection: a warm one, or the next that the keeper makes.
func (o *Origin) take(ctx context.Context, l *link) (*conn, error) {
	if c := l.pick(); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.cfg.ConnectTimeout)
	defer cancel()
	return l.await(ctx)
}

// classify gives a failure its kind.
func classify(ctx context.Context, r meridian.Region, err error, sent Sent) *Error {
	e := &Error{Region: r, Sent: sent, Kind: meridian.Unavailable, Err: err}
	var own *BodyError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &own):
		e.Kind = meridian.Invalid
	case cause == nil && sent == MaybeSent:
		e.Kind = meridian.Malformed
	case cause == nil:
	case errors.Is(cause, errSlow):
		e.Kind, e.Err = meridian.Timeout, cause
	case errors.Is(cause, errLost):
		e.Err = cause
	default:
		e.Kind, e.Err = meridian.Canceled, fmt.Errorf("canceled: %w", cause)
	}
	return e
}

// note remembers a failure that says something of the region.
func (o *Origin) note(err error) {
	var e *Error
	if errors.As(err, &e) && e.Kind != meridian.Canceled && e.Kind != meridian.Invalid {
		o.memory.fail(e.Region, e.Err.Error(), e.Kind != meridian.Timeout, time.Now())
	}
}

// Refused remembers that a region said it is not serving, as a node does that
// is being drained.
func (o *Origin) Refused(r meridian.Region) {
	o.memory.fail(r, "said that it is not serving", false, time.Now())
}

// State says what this edge knows of its way to a region, and why.
func (o *Origin) State(r meridian.Region) (State, string) {
	if why, ok := o.memory.broken(r, time.Now()); ok {
		return Broken, why
	}
	if l := o.link(r); l != nil {
		return l.state(), ""
	}
	return Cold, ""
}

// A body frees its request when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
