package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/test/harness"
	"meridian/test/operator"
)

// TestNoReadIsOlderThanTheWriteBeforeIt makes some pairs of every kind, half of
// them while the standbys replay 2 s late; and as the negative control some
// without the wait. The control of pairs by HTTP, edges that ignore tokens, is
// in test/world.
func TestNoReadIsOlderThanTheWriteBeforeIt(t *testing.T) {
	w, end, err := operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("testdata", "world.yaml"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	s := settings{count: 1200, workers: 4, seed: 1, lag: 2 * time.Second, lagged: 0.5, http: true}
	if err := pairs(t.Context(), w, s, t.Output()); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	err = pairs(t.Context(), w, settings{count: 600, workers: 4, seed: 1, consistency: "eventual"}, &out)
	if err == nil || !strings.Contains(err.Error(), "stale reads") {
		t.Errorf("eventual reads after writes were not found to be stale (%v):\n%s", err, &out)
	}
}
