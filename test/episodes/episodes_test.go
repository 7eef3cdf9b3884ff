package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"meridian/test/harness"
	"meridian/test/operator"
)

// TestNoPromiseIsBrokenInEpisodes plays a few: of this seed they move the
// primary there and back, and kill secondaries in between. `make episodes`
// plays more, and others.
func TestNoPromiseIsBrokenInEpisodes(t *testing.T) {
	n := 3
	if testing.Short() {
		n = 1
	}
	up := func() (operator.World, func() error, error) {
		return operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("testdata", "world.yaml"), 0)
	}
	s := settings{seed: 22, length: 5 * time.Second, faults: []fault{down, switchover}, clients: 3, out: t.TempDir()}
	if err := series(t.Context(), up, s, 0, n, t.Output()); err != nil {
		t.Fatal(err)
	}
}
