package server

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/limit"
)

// A tallier has one batch to tell, and says what it heard.
type tallier struct {
	self  string
	told  atomic.Bool
	heard chan<- string
}

func (t *tallier) Uses() []limit.Use {
	if t.told.Swap(true) {
		return nil
	}
	return []limit.Use{{Key: limit.Key([]byte(t.self + "123456789012345")), Requests: 7, Interval: time.Second}}
}

func (t *tallier) HearUses(us []limit.Use) { t.heard <- t.self + " heard " + string(us[0].Key[:1]) }

// uses returns the uses of a node among others.
func (h hall) uses(self string, edges []string, heard chan<- string) *uses {
	return &uses{h.hearsay(self, edges), &tallier{self: self, heard: heard}}
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
