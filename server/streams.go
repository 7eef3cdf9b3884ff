package server

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"meridian"
	"meridian/backbone"
	"meridian/internal/relay"
)

// streams carries the replication connections of other regions to this
// region's PostgreSQL, and can cut them: a stream of an older term must not
// reach a standby that follows a newer one. Those of the region's own further
// standbys know no term.
type streams struct {
	local func(context.Context) (net.Conn, error)
	term  func() (uint64, bool) // that this region holds the record in, if it does; nil: none is asked for
	log   *slog.Logger

	mu   sync.Mutex // guards what follows
	open bool       // connections are taken
	live map[net.Conn]string
}

func newStreams(local func(context.Context) (net.Conn, error), term func() (uint64, bool), log *slog.Logger) *streams {
	return &streams{local: local, term: term, log: log, live: map[net.Conn]string{}}
}

// run serves l until ctx is over.
func (s *streams) run(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.cut("")
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { s.carry(ctx, c) })
	}
}

func (s *streams) carry(ctx context.Context, c net.Conn) {
	defer c.Close()
	if !s.enter(c) {
		return
	}
	defer s.leave(c)
	if s.term != nil && !s.greets(c) {
		return
	}
	to, err := s.local(ctx)
	if err != nil {
		return // the standby asks again
	}
	relay.Join(ctx, c, to)
}

// greets reports whether the other end is in the term that this region holds.
func (s *streams) greets(c net.Conn) bool {
	term, holds := s.term()
	if !holds {
		return false
	}
	err := answerGreeting(c, term)
	if meridian.KindOf(err) == meridian.Forbidden {
		s.log.Warn("a replication stream is refused", "from", backbone.NodeOf(c), "why", err.Error())
	}
	return err == nil
}

func (s *streams) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		s.live[c] = backbone.NodeOf(c)
	}
	return s.open
}

func (s *streams) leave(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, c)
}

// has reports whether a node's connection is open.
func (s *streams) has(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.live {
		if name == node {
			return true
		}
	}
	return false
}

// admit says whether connections are taken from now on.
func (s *streams) admit(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = open
}

// cut ends the connections of all nodes but one, and takes no others until
// admit says so.
func (s *streams) cut(except string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
	for c, node := range s.live {
		if node != except || except == "" {
			c.Close()
		}
	}
}
