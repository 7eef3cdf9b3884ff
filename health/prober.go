package health

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/internal/rtt"
)

// A Prober watches the other nodes and answers those that watch this one. Its
// methods may be called by many goroutines at once.
type Prober struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics

	named chan struct{} // holds one nudge: SetPeers said something new

	mu    sync.Mutex // guards what follows
	peers map[string]*peer
}

// A peer is what is known of another node.
type peer struct {
	sight  Sight
	rtt    rtt.Estimate
	report Heard // its last good one; zero if it never sent any
}

// New returns a prober that is not running yet.
func New(cfg Config, deps Deps) (*Prober, error) {
	if err := cfg.check(deps); err != nil {
		return nil, err
	}
	p := &Prober{cfg: cfg, deps: deps, log: deps.Log, metrics: newMetrics(deps.Metrics), named: make(chan struct{}, 1), peers: map[string]*peer{}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.SetPeers(deps.Peers)
	return p, nil
}

// SetPeers says who the other nodes are from now on. What is known of those
// that stay is kept.
func (p *Prober) SetPeers(nodes []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peers := make(map[string]*peer, len(nodes))
	for _, n := range nodes {
		if n == p.cfg.Node {
			continue
		}
		if peers[n] = p.peers[n]; peers[n] == nil {
			peers[n] = &peer{sight: unseen(time.Now())}
		}
	}
	p.peers = peers
	select {
	case p.named <- struct{}{}:
	default:
	}
}

// Run probes and answers until ctx is canceled.
func (p *Prober) Run(ctx context.Context, ready func()) error {
	var work sync.WaitGroup
	defer work.Wait()
	defer p.deps.Listener.Close()
	work.Go(func() { p.serve(ctx) })
	watched := map[string]context.CancelFunc{}
	p.follow(ctx, &work, watched)
	ready()
	for {
		select {
		case <-ctx.Done():
			for _, stop := range watched {
				stop()
			}
			return nil
		case <-p.named:
			p.follow(ctx, &work, watched)
		}
	}
}

// follow makes those who are watched be the peers.
func (p *Prober) follow(ctx context.Context, work *sync.WaitGroup, watched map[string]context.CancelFunc) {
	p.mu.Lock()
	peers := maps.Clone(p.peers)
	p.mu.Unlock()
	for n := range peers {
		if watched[n] == nil {
			own, stop := context.WithCancel(ctx)
			watched[n] = stop
			work.Go(func() { p.watch(own, n) })
		}
	}
	for n, stop := range watched {
		if peers[n] == nil {
			stop()
			delete(watched, n)
		}
	}
}

// Verdicts returns this node's own sight of every node, itself included. It is
// what this node steers its own requests by.
func (p *Prober) Verdicts() map[string]Verdict {
	now := time.Now()
	out := map[string]Verdict{p.cfg.Node: {Alive: true, Why: "this node", Facts: p.facts(), At: now}}
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, q := range p.peers {
		out[n] = Verdict{Alive: q.sight.OK, Why: q.sight.Why, Facts: q.report.Facts, RTT: q.sight.RTT, At: q.report.At, Asked: q.report.Asked}
	}
	return out
}

// Quorum returns the public view: who is alive in the eyes of all nodes that
// this one hears.
func (p *Prober) Quorum() map[string]Verdict {
	now := time.Now()
	v := View{Now: now, Fresh: freshFor * p.cfg.interval(), Nodes: []string{p.cfg.Node}}
	v.Reports = append(v.Reports, Heard{Report: p.report(), At: now})
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, q := range p.peers {
		v.Nodes = append(v.Nodes, n)
		if !q.report.At.IsZero() {
			v.Reports = append(v.Reports, q.report)
		}
	}
	out := Judge(v)
	for n, q := range p.peers {
		j := out[n]
		j.RTT = q.sight.RTT
		out[n] = j
	}
	return out
}

// A Link is a round trip between two nodes, as From measured it.
type Link struct {
	From, To string
	OK       bool
	RTT      time.Duration // median of the last pings
}

// Links returns the round trips that this node measured or was told of, by
// name of From and To.
func (p *Prober) Links() (out []Link) {
	reports := []Report{p.report()}
	p.mu.Lock()
	for _, q := range p.peers {
		reports = append(reports, q.report.Report)
	}
	p.mu.Unlock()
	for _, r := range reports {
		for to, s := range r.Sights {
			if s.RTT > 0 {
				out = append(out, Link{From: r.Node, To: to, OK: s.OK, RTT: s.RTT})
			}
		}
	}
	slices.SortFunc(out, func(a, b Link) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	return out
}

// report is what this node tells others.
func (p *Prober) report() Report {
	r := Report{Node: p.cfg.Node, Sights: make(map[string]Sight, len(p.peers)), Facts: p.facts()}
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, q := range p.peers {
		r.Sights[n] = q.sight
	}
	return r
}

func (p *Prober) facts() map[string]string {
	if p.deps.Facts == nil {
		return nil
	}
	return maps.Clone(p.deps.Facts())
}

// see replaces the sight of a node by what next makes of it, and tells of a
// change.
func (p *Prober) see(node string, next func(Sight) Sight) {
	p.mu.Lock()
	q := p.peers[node]
	if q == nil { // nobody's peer any more
		p.mu.Unlock()
		return
	}
	old := q.sight
	q.sight = next(old)
	s := q.sight
	p.mu.Unlock()
	if s.OK == old.OK && s.Known == old.Known {
		return
	}
	p.metrics.saw(node, s.OK)
	if s.OK {
		p.log.Info("node is up", "peer", node, "why", s.Why)
	} else {
		p.log.Warn("node is down", "peer", node, "why", s.Why)
	}
	if p.deps.Changed != nil {
		p.deps.Changed()
	}
}

// sightOf returns the sight of a node.
func (p *Prober) sightOf(node string) Sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.peers[node]; q != nil {
		return q.sight
	}
	return Sight{}
}

// serve answers the pings of others until ctx is canceled.
func (p *Prober) serve(ctx context.Context) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := p.deps.Listener.Accept()
		if err != nil {
			return
		}
		conns.Go(func() { p.answer(ctx, c) })
	}
}

// answer answers the pings of one stream.
func (p *Prober) answer(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for {
		c.SetDeadline(time.Now().Add(idleAfter * p.cfg.interval()))
		f, err := readFrame(c)
		if err != nil {
			return
		}
		if err := writeFrame(c, frame{Seq: f.Seq, Report: encodeReport(p.report(), time.Now())}); err != nil {
			return
		}
	}
}
