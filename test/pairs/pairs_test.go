package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"meridian/test/harness"
	"meridian/test/operator"
)

// TestAConnectionReadsWhatItWrote makes some pairs through both secondaries'
// proxies; and as the negative control as many without the guard. Pairs by
// HTTP are in test/world, with a control of their own.
func TestAConnectionReadsWhatItWrote(t *testing.T) {
	w, end, err := operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("..", "episodes", "testdata", "world.yaml"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	if err := pairs(t.Context(), w, settings{count: 600, workers: 8}, t.Output()); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	err = pairs(t.Context(), w, settings{count: 600, workers: 8, consistency: "eventual"}, &out)
	if err == nil || !strings.Contains(err.Error(), "stale reads") {
		t.Errorf("eventual reads after writes were not found to be stale (%v):\n%s", err, &out)
	}
}
