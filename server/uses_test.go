package server

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/limit"
)

// uses returns the uses of a node among others. It has one batch to tell.
func (h hall) uses(self string, edges []string, heard chan<- string) *uses {
	var told atomic.Bool
	return &uses{
		listener: h.listener(self), log: slog.New(slog.DiscardHandler),
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
		take: func() []limit.Use {
			if told.Swap(true) {
				return nil
			}
			return []limit.Use{{Key: limit.Key([]byte(self + "123456789012345")), Requests: 7, Interval: time.Second}}
		},
		hear: func(us []limit.Use) { heard <- self + " heard " + string(us[0].Key[:1]) },
	}
}

func TestUsesReachOtherEdgesAndAreHeardFromEdgesOnly(t *testing.T) {
	h := hall{"a": make(chan net.Conn), "b": make(chan net.Conn), "c": make(chan net.Conn)}
	heard := make(chan string, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	for _, u := range []*uses{h.uses("a", []string{"b"}, heard), h.uses("b", []string{"a"}, heard), h.uses("c", []string{"b"}, heard)} {
		go func() { done <- u.run(ctx, func() {}) }()
	}
	got := map[string]bool{}
	for range 2 {
		select {
		case s := <-heard:
			got[s] = true
		case <-time.After(10 * time.Second):
			t.Fatal("nobody heard")
		}
	}
	cancel()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if !got["a heard b"] || !got["b heard a"] || len(heard) > 0 {
		t.Errorf("%v, and %d more", got, len(heard))
	}
}
