package acme

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	proto "github.com/mholt/acmez/v3/acme"
)

// TestARenewalThatFailedIsNoEdgesTurnYet has one edge fail, and another look at the same
// certificate a moment later.
func TestARenewalThatFailedIsNoEdgesTurnYet(t *testing.T) {
	store := newMemory()
	m := New(Config{Names: []string{"a.test"}}, Deps{Storage: node(store, "b")})
	look := func(ctx context.Context, renewal, forced bool) error {
		return m.event(ctx, "cert_obtaining", map[string]any{"identifier": "a.test", "renewal": renewal, "forced": forced})
	}
	if err := look(t.Context(), true, false); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	said := func(next time.Duration) {
		report(t.Context(), store, "a.test", Report{Error: "no", Tries: 1, Next: time.Now().Add(next)})
	}
	said(time.Hour)
	if err := look(t.Context(), true, false); !errors.Is(err, errLater) {
		t.Errorf("it is too soon: %v", err)
	}
	for _, err := range []error{look(t.Context(), true, true), look(t.Context(), false, false), look(context.WithValue(t.Context(), atOnce{}, true), true, false)} {
		if err != nil {
			t.Errorf("who does not wait for a turn: %v", err)
		}
	}
	said(-time.Second)
	if err := look(t.Context(), true, false); err != nil {
		t.Errorf("it is time: %v", err)
	}
}

func TestWhatAnOrderMayBeRefusedFor(t *testing.T) {
	for _, x := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("creating new order: connection refused"), false},
		{errors.New("no certificate chains"), true},
		{fmt.Errorf("creating new order: %w", proto.Problem{Type: proto.ProblemTypeUnauthorized}), true},
		{fmt.Errorf("creating new order: %w", proto.Problem{Type: proto.ProblemTypeServerInternal}), true},
		{fmt.Errorf("creating new order: %w", proto.Problem{Type: proto.ProblemTypeRateLimited}), false},
		{fmt.Errorf("solving challenges: %w", proto.Problem{Type: proto.ProblemTypeUnauthorized}), false},
	} {
		if got := refusedFor(x.err); got != x.want {
			t.Errorf("%v: %v", x.err, got)
		}
	}
}
