package purge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/edge/cache"
)

// Config is what an operator may say of a Sender. A zero field means its
// default.
type Config struct {
	Patience time.Duration // with an edge that does not answer; 0 means 2 s
	Rate     float64       // invalidations of this node that go to others, a second; 0 means 100
}

// Deps is what the program provides. Edges, Tell and Keep must be given.
type Deps struct {
	Edges func() []string // the nodes that have a cache; this one too, if it has
	// Tell has one of them apply purges, and returns how many objects each of
	// them removed.
	Tell func(ctx context.Context, node string, ps []cache.Purge) ([]int, error)
	// Keep puts purges into the log. It may be called again with the same.
	Keep func(ctx context.Context, ps []cache.Purge) error

	Log     *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
}

// A Sender sends purges from one node to all edges. Its methods may be called by
// many goroutines at once, while Run runs.
type Sender struct {
	cfg     Config
	deps    Deps
	metrics *metrics

	unwritten, unsent chan struct{} // hold one nudge each: there is something to do

	mu     sync.Mutex // guards what follows
	unkept []*keeping
	outbox []cache.Purge // invalidations that wait to be sent
	budget float64       // of the rate
	filled time.Time     // when budget was last added to
}

// A keeping is a purge on its way into the log.
type keeping struct {
	purge cache.Purge
	done  chan struct{}
}

// NewSender returns a sender that Run will run.
func NewSender(cfg Config, deps Deps) (*Sender, error) {
	if cfg.Patience == 0 {
		cfg.Patience = 2 * time.Second
	}
	if cfg.Rate == 0 {
		cfg.Rate = 100
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	m, err := newMetrics(deps.Metrics)
	return &Sender{cfg: cfg, deps: deps, metrics: m, unwritten: make(chan struct{}, 1), unsent: make(chan struct{}, 1)}, err
}

// A Report is what became of purges at one edge.
type Report struct {
	Node    string
	Done    bool
	Objects int           // removed, or made stale
	Took    time.Duration // until it said so
	Why     string        // it is not done
}

// An Outcome is what became of purges everywhere.
type Outcome struct {
	Edges []Report // in the order of Deps.Edges
	Took  time.Duration
	Kept  bool // an edge that is not done finds them in the log
}

// Done reports whether every edge has applied the purges.
func (o Outcome) Done() bool {
	for _, r := range o.Edges {
		if !r.Done {
			return false
		}
	}
	return true
}

// Purge sends purges to all edges at once and puts them into the log at the same
// time. It returns when every edge has applied them, or did not for as long as
// the patience with it lasts: wait, or Config.Patience if that is longer. The
// log has what is not done by then, or has it later: Run keeps at it.
func (s *Sender) Purge(ctx context.Context, ps []cache.Purge, wait time.Duration) Outcome {
	kept := s.keep(ps)
	o := s.tellAll(ctx, ps, max(wait, s.cfg.Patience), true)
	if !o.Done() {
		settle(ctx, kept, s.cfg.Patience)
	}
	o.Kept = isKept(kept)
	return o
}

// tellAll has every edge apply purges, all beside each other.
func (s *Sender) tellAll(ctx context.Context, ps []cache.Purge, patience time.Duration, insist bool) Outcome {
	begin := s.deps.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	nodes := s.deps.Edges()
	o := Outcome{Edges: make([]Report, len(nodes))}
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() { o.Edges[i] = s.tell(ctx, node, ps, insist) })
	}
	all.Wait()
	o.Took = s.deps.Now().Sub(begin)
	s.metrics.observe(o)
	return o
}

// settle waits until purges are in the log, or ctx is over and a while longer.
func settle(ctx context.Context, kept []*keeping, longer time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longer)
	defer cancel()
	for _, k := range kept {
		select {
		case <-k.done:
		case <-ctx.Done():
			return
		}
	}
}

func isKept(kept []*keeping) bool {
	for _, k := range kept {
		select {
		case <-k.done:
		default:
			return false
		}
	}
	return true
}

// againAfter is between two tries with one edge.
const againAfter = 100 * time.Millisecond

// tell has one edge apply purges. Who insists makes a try that failed soon again
// while the patience lasts: a link that broke may stand again.
func (s *Sender) tell(ctx context.Context, node string, ps []cache.Purge, insist bool) Report {
	begin := s.deps.Now()
	for {
		try, cancel := context.WithTimeout(ctx, s.cfg.Patience)
		objects, err := s.deps.Tell(try, node, ps)
		cancel()
		r := Report{Node: node, Took: s.deps.Now().Sub(begin)}
		if err == nil {
			for _, n := range objects {
				r.Objects += n
			}
			r.Done = true
			return r
		}
		r.Why = err.Error()
		if !insist || meridian.KindOf(err) == meridian.NotFound {
			return r
		}
		select {
		case <-ctx.Done():
			return r
		case <-time.After(againAfter):
		}
	}
}
