package backbone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"meridian"
)

// A link is a connection to one service of one node that is kept warm, and
// carries streams.
type link struct {
	backbone *Backbone
	key      linkKey
	hurry    chan struct{} // an Open wants the next dial now
	gone     chan struct{} // closed once nobody names the node any more

	mu    sync.Mutex // guards what follows
	state linkState
}

// A linkState is what is known of a link. It is replaced, never changed.
type linkState struct {
	session *mux          // nil while the link is down
	err     error         // of the last dial, if it failed
	failed  time.Time     // when it did
	next    chan struct{} // closed when another state has replaced this one
}

// Open opens a stream to a service of a node. On a link that stands it takes no
// round trip, and the other node learns of it with the first bytes. A link
// that is down fails within two round trips and a second. Errors have kinds as
// those of Dial.
func (b *Backbone) Open(ctx context.Context, node, service string) (net.Conn, error) {
	l, err := b.link(linkKey{node, service})
	if err == nil {
		var s net.Conn
		if s, err = l.open(ctx); err == nil {
			return s, nil
		}
	}
	return nil, opError(ctx, "open", service, node, err)
}

// link returns a link. Run begins to keep it when it is asked for first.
func (b *Backbone) link(key linkKey) (*link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.peers[key.node]; !ok {
		return nil, meridian.WithKind(meridian.NotFound, errors.New("no node of that name"))
	}
	l, ok := b.kept[key]
	if !ok {
		l = &link{backbone: b, key: key, hurry: make(chan struct{}, 1), gone: make(chan struct{}), state: linkState{next: make(chan struct{})}}
		b.kept[key] = l
		b.fresh = append(b.fresh, l)
		select {
		case b.asked <- struct{}{}:
		default:
		}
	}
	return l, nil
}

var errStopped = errors.New("this node is stopping")

// open opens a stream, if need be on the outcome of the next dial.
func (l *link) open(ctx context.Context) (net.Conn, error) {
	for waited := false; ; waited = true {
		s := l.look()
		switch {
		case s.session != nil && !s.session.IsClosed():
			if st, err := s.session.OpenStream(); err == nil {
				return &stream{Stream: st, session: s.session, node: l.key.node}, nil
			}
			s.session.Close() // it broke under us: the next state says what became of it
		case s.err != nil && (waited || time.Since(s.failed) < firstPause):
			return nil, s.err
		default:
			l.ask()
		}
		select {
		case <-s.next:
		case <-l.gone:
			return nil, meridian.WithKind(meridian.NotFound, errors.New("the node was removed"))
		case <-l.backbone.stopped:
			return nil, errStopped
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask makes run dial without waiting for its pause to end.
func (l *link) ask() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

func (l *link) look() linkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func (l *link) become(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.state.next)
	s.next = make(chan struct{})
	l.state = s
}

// run keeps the link until ctx is canceled or its node is gone.
func (l *link) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-l.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	log := l.backbone.log.With("peer", l.key.node, "service", l.key.service)
	up := l.backbone.metrics.linkUp(l.key)
	wait := firstPause
	for ctx.Err() == nil {
		session, err := l.dial(ctx)
		if err != nil {
			if l.look().err == nil && ctx.Err() == nil {
				log.Warn("link is down", "err", err)
			}
			l.become(linkState{err: err, failed: time.Now()})
		} else {
			l.become(linkState{session: session})
			log.Info("link is up")
			up.Set(1)
			if l.hold(ctx, session, log) > lastPause {
				wait = firstPause
			}
			up.Set(0)
			l.become(linkState{})
		}
		l.rest(ctx, wait)
		wait = min(2*wait, lastPause)
	}
}

// hold waits for the end of a session, and returns how long it lived.
func (l *link) hold(ctx context.Context, session *mux, log *slog.Logger) time.Duration {
	start := time.Now()
	select {
	case <-session.CloseChan():
		log.Warn("link was lost")
	case <-ctx.Done():
	}
	session.Close()
	return time.Since(start)
}

// rest waits for a while, or until an Open asks.
func (l *link) rest(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-l.hurry:
	case <-ctx.Done():
	}
}

func (l *link) dial(ctx context.Context) (*mux, error) {
	c, err := l.backbone.dial(ctx, l.key.node, l.key.service, alpnMux(l.key.service))
	if err != nil {
		return nil, err
	}
	session, err := l.backbone.newMux(c, client, idlePing)
	if err != nil {
		return nil, fmt.Errorf("start link: %w", err)
	}
	return session, nil
}
