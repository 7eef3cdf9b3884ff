package backbone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"meridian/internal/delay"
	"meridian/internal/rtt"
)

// A Backbone is one node's end of the private network. Its methods may be
// called by many goroutines at once.
type Backbone struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	slow    *delay.Group // the connections that are delayed

	asked   chan struct{} // there is something in fresh
	stopped chan struct{} // closed when Run begins to end
	yielded chan struct{} // closed by Yield
	yield   sync.Once

	mu        sync.Mutex // guards what follows
	peers     map[string]Peer
	refused   map[string]bool // nodes that were removed
	running   bool
	listeners map[string]*listener // by service; fixed once running
	kept      map[linkKey]*link
	fresh     []*link                  // of kept, for Run to run
	rtts      map[string]*rtt.Estimate // by node
}

type linkKey struct{ node, service string }

// New returns a backbone that is not running yet.
func New(cfg Config, deps Deps) (*Backbone, error) {
	switch {
	case cfg.Node == "":
		return nil, errors.New("backbone: no node name")
	case len(deps.Cert.Certificate) == 0 || deps.Roots == nil:
		return nil, errors.New("backbone: no certificate")
	case deps.Listener == nil && cfg.Listen == "":
		return nil, errors.New("backbone: no address to listen on")
	}
	b := &Backbone{
		cfg:       cfg,
		deps:      deps,
		log:       deps.Log,
		metrics:   newMetrics(deps.Metrics),
		slow:      delay.NewGroup(deps.Links.wakeup()),
		asked:     make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		yielded:   make(chan struct{}),
		listeners: map[string]*listener{},
		kept:      map[linkKey]*link{},
		rtts:      map[string]*rtt.Estimate{},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.SetPeers(deps.Peers, nil)
	return b, nil
}

// SetPeers says who the other nodes are from now on, and which of those that
// the authority named are refused. Links to who is no longer named end, and so
// does what runs on them.
func (b *Backbone) SetPeers(peers []Peer, refused []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers, b.refused = map[string]Peer{}, map[string]bool{}
	for _, p := range peers {
		b.peers[p.Node] = p
	}
	for _, node := range refused {
		b.refused[node] = true
	}
	for key, l := range b.kept {
		if _, ok := b.peers[key.node]; !ok {
			delete(b.kept, key)
			delete(b.rtts, key.node)
			close(l.gone)
		}
	}
}

// peer returns the node of that name, if somebody named it.
func (b *Backbone) peer(node string) (Peer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.peers[node]
	return p, ok
}

// mayCall reports whether connections from a node are accepted.
func (b *Backbone) mayCall(node string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.refused[node]
}

// Listener returns the listener of a service: it accepts the connections that
// others dial and the streams that they open. It must be called before Run; a
// service without listener is refused.
func (b *Backbone) Listener(service string) net.Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running {
		panic("backbone: Listener called after Run")
	}
	l := b.listeners[service]
	if l == nil {
		l = newListener(service)
		b.listeners[service] = l
	}
	return l
}

// Run serves until ctx is canceled. It calls ready once it listens.
func (b *Backbone) Run(ctx context.Context, ready func()) error {
	ln, err := b.listen(ctx)
	if err != nil {
		return fmt.Errorf("backbone: %w", err)
	}
	b.mu.Lock()
	b.running = true
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	var accept error
	work.Go(func() {
		defer cancel()
		accept = b.accept(ctx, ln)
	})
	ready()
	for ctx.Err() == nil {
		select {
		case <-b.asked:
			for _, l := range b.takeFresh() {
				work.Go(func() { l.run(ctx) })
			}
		case <-ctx.Done():
		}
	}
	close(b.stopped)
	ln.Close()
	for _, l := range b.listeners {
		l.Close()
	}
	work.Wait()
	b.slow.Close()
	return accept
}

// takeFresh returns the links that nobody runs yet.
func (b *Backbone) takeFresh() []*link {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := b.fresh
	b.fresh = nil
	return fresh
}

// Yield leaves this node's calls to another process of it, which listens on the
// same port: nothing is accepted any more, and links of others end, so that they
// make them anew, to that one. Connections that were dialed go on, and so do links
// of this process's own.
func (b *Backbone) Yield() { b.yield.Do(func() { close(b.yielded) }) }

func (b *Backbone) listen(ctx context.Context) (net.Listener, error) {
	if b.deps.Listener != nil {
		return b.deps.Listener, nil
	}
	if b.deps.Open != nil {
		return b.deps.Open(ctx, "tcp", b.cfg.Listen)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", b.cfg.Listen)
}
