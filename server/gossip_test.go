package server

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"meridian/edge/origin"
)

// A namedConn is a connection whose other end has proved who it is.
type namedConn struct {
	net.Conn
	from string
}

// A hall is where nodes of a test meet: each has a listener.
type hall map[string]chan net.Conn

func (h hall) listener(node string) net.Listener {
	return hallDoor{h[node], make(chan struct{}), new(sync.Once)}
}

type hallDoor struct {
	conns chan net.Conn
	done  chan struct{}
	once  *sync.Once
}

func (d hallDoor) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}
func (d hallDoor) Close() error   { d.once.Do(func() { close(d.done) }); return nil }
func (d hallDoor) Addr() net.Addr { return nil }

// hearsay returns how a node tells others a thing.
func (h hall) hearsay(self string, edges []string) *hearsay {
	return &hearsay{
		listener: h.listener(self), log: slog.New(slog.DiscardHandler), going: make(chan struct{}, hearsayAtOnce),
		open: func(ctx context.Context, node string) (net.Conn, error) {
			a, b := net.Pipe()
			select {
			case h[node] <- namedConn{b, self}:
				return a, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		from:  func(c net.Conn) string { return c.(namedConn).from },
		edges: func() []string { return edges },
	}
}

// gossip returns the gossip of a node among others.
func (h hall) gossip(self string, edges []string, heard chan<- string) *gossip {
	return &gossip{
		hearsay: h.hearsay(self, edges), out: make(chan origin.Rumour, gossipKept),
		hear: func(from string, m origin.Rumour) {
			heard <- self + " heard " + from + ": " + string(m.Region) + " " + m.Why
		},
	}
}

func TestGossipReachesOtherEdgesAndIsHeardFromEdgesOnly(t *testing.T) {
	h := hall{"a": make(chan net.Conn), "b": make(chan net.Conn), "c": make(chan net.Conn)}
	heard := make(chan string, 10)
	a, b := h.gossip("a", []string{"b"}, heard), h.gossip("b", []string{"a"}, heard)
	stranger := h.gossip("c", []string{"b"}, heard) // is no edge to b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	for _, g := range []*gossip{a, b, stranger} {
		go func() { done <- g.run(ctx, func() {}) }()
	}
	stranger.tell(origin.Rumour{Region: "r", By: origin.BySilence, Why: "is mine"})
	a.tell(origin.Rumour{Region: "r", By: origin.BySilence, Why: "is silent"})
	select {
	case got := <-heard:
		if want := "b heard a: r is silent"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody heard")
	}
	cancel()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if len(heard) > 0 {
		t.Errorf("heard besides: %s", <-heard)
	}
}
