package origin

import (
	"context"
	"log/slog"
	"net"
	"slices"
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
	PingEvery      time.Duration   // of silence, before a connection is probed; 0 means 150 ms
	PingTimeout    time.Duration   // after which a silent connection is dead; 0 means 1.85 s
	Silence        time.Duration   // after which a region is passed over, more on a long path: see Patience; 0 means 450 ms

	// Blind makes nothing of how late regions answer, and how quiet they are. It
	// is a negative control.
	Blind bool
}

func (c Config) defaults() Config {
	if c.Connections == 0 {
		c.Connections = 3
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 3 * time.Second
	}
	if c.PingEvery == 0 {
		c.PingEvery = 150 * time.Millisecond
	}
	if c.PingTimeout == 0 {
		c.PingTimeout = 1850 * time.Millisecond
	}
	if c.Silence == 0 {
		c.Silence = 450 * time.Millisecond
	}
	return c
}

// Deps is what the program provides.
type Deps struct {
	Map  *topology.Map
	Dial func(context.Context, meridian.Region) (net.Conn, error) // a TLS connection to the region's gateway
	RTT  func(meridian.Region) (time.Duration, bool)              // as this node measured it; may be nil
	Log  *slog.Logger                                             // may be nil

	// Turned is called when the circuit of a region changed its phase. It must
	// not block. It may be nil.
	Turned func(meridian.Region, Circuit)
	// Tell carries a rumour to the other edges, whose Hear takes it. It must not
	// block. It may be nil.
	Tell func(Rumour)
}

// An Origin is an edge's way to the regions. Its methods may be called by many
// goroutines at once, while Run runs.
type Origin struct {
	cfg    Config
	deps   Deps
	memory memory
	last   atomic.Pointer[meridian.Region] // the choice before
	turn   atomic.Uint32

	mu    sync.RWMutex // guards what follows
	links map[meridian.Region]*link
}

// New returns an Origin that Run will connect.
func New(cfg Config, deps Deps) *Origin {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	o := &Origin{cfg: cfg.defaults(), deps: deps, links: map[meridian.Region]*link{}}
	o.memory.turned = o.turned
	return o
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

// follow makes the links be those of the map. A region is left for one that is
// healthy; where none is, as to an edge that has heard of none yet, all are used.
func (o *Origin) follow(ctx context.Context, wg *sync.WaitGroup, stops map[meridian.Region]context.CancelFunc) {
	snap := o.deps.Map.Now()
	healthy := slices.ContainsFunc(snap.Regions, func(r topology.Region) bool { return r.Healthy })
	for _, r := range snap.Regions {
		if _, ok := stops[r.Name]; !ok {
			l := newLink(r.Name, o.cfg, o.deps, func() time.Duration { return o.rtt(r.Name) }, &o.memory)
			own, stop := context.WithCancel(ctx)
			stops[r.Name] = stop
			o.put(r.Name, l)
			wg.Go(func() { l.run(own) })
		}
		o.link(r.Name).setDown(!r.Healthy && healthy)
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
func (o *Origin) Choose(tried []meridian.Region) Choice { return o.choose(tried, false) }

// Wary is the way of requests that no second region may answer: those that a
// region takes and does not answer are lost, so they go elsewhere at a smaller
// hint of silence. Being wrong costs the longer way.
func (o *Origin) Wary() Way { return wary{o} }

type wary struct{ *Origin }

func (w wary) Choose(tried []meridian.Region) Choice { return w.choose(tried, true) }

func (o *Origin) choose(tried []meridian.Region, wary bool) Choice {
	v := View{Place: o.cfg.Place, Map: o.deps.Map.Now(), Own: o.own(tried, wary)}
	if last := o.last.Load(); last != nil {
		v.Last = *last
	}
	c := Choose(v)
	if c.Region != "" {
		if c.Region != v.Last && len(tried) == 0 {
			o.last.Store(&c.Region)
		}
		o.memory.went(c.Region, time.Now())
	}
	return c
}

// own gathers this edge's experience of every region.
func (o *Origin) own(tried []meridian.Region, wary bool) []Own {
	now, turn := time.Now(), o.turn.Add(1)
	o.mu.RLock()
	defer o.mu.RUnlock()
	out := make([]Own, 0, len(o.links))
	for name, l := range o.links {
		w := Own{Region: name, RTT: -1, State: l.state()}
		if !o.cfg.Blind {
			w.Queue = told(l.sense.queue(now), turn)
		}
		if o.deps.RTT != nil {
			if d, ok := o.deps.RTT(name); ok {
				w.RTT = d
			}
		}
		if s, why := o.memory.ask(name, now); s != Ready || w.State == Ready {
			w.State, w.Why = s, why
		}
		if w.State == Ready && !o.cfg.Blind {
			if why, ok := l.hint(now, wary); ok {
				w.State, w.Why = Warming, why
			}
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

// rtt returns the round trip to a region, 0 if nobody measured it.
func (o *Origin) rtt(r meridian.Region) time.Duration {
	if o.deps.RTT != nil {
		if d, ok := o.deps.RTT(r); ok {
			return d
		}
	}
	d, _ := o.deps.Map.Now().RTT(o.cfg.Place, r)
	return d
}

// turned tells that a circuit changed its phase.
func (o *Origin) turned(r meridian.Region, c Circuit) {
	level := slog.LevelInfo
	if c.Phase == Open {
		level = slog.LevelWarn
	}
	o.deps.Log.Log(context.Background(), level, "the circuit of a region turned", "region", r, "phase", c.Phase.String(), "by", string(c.By), "why", c.Why)
	if o.deps.Turned != nil {
		o.deps.Turned(r, c)
	}
	o.spread(r, c)
}

// Refused remembers that a region said it is not serving, as a node does that
// is being drained.
func (o *Origin) Refused(r meridian.Region) {
	now := time.Now()
	o.memory.change(r, func(c Circuit) Circuit { return c.Refused(now, "said that it is not serving") })
}

// Queue returns how much later than usual a region answers now.
func (o *Origin) Queue(r meridian.Region) time.Duration {
	if l := o.link(r); l != nil {
		return l.sense.queue(time.Now())
	}
	return 0
}

// State says what this edge knows of its way to a region, and why.
func (o *Origin) State(r meridian.Region) (State, string) {
	if s, why := o.memory.look(r, time.Now()); s != Ready {
		return s, why
	}
	if l := o.link(r); l != nil {
		return l.state(), ""
	}
	return Cold, ""
}
