package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"meridian"
	"meridian/test/harness"
	"meridian/test/operator"
)

// TestNoPromiseIsBrokenInEpisodes plays thirty in one world: they move the
// primary there and back, kill and stop secondaries in between, and slow links
// down. `make episodes EPISODES=500` plays more, and FAULTS=all takes the
// primary away as well.
func TestNoPromiseIsBrokenInEpisodes(t *testing.T) {
	t.Parallel()
	n := 30
	if testing.Short() {
		n = 1
	}
	up := func() (operator.World, func() error, error) {
		return operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("testdata", "world.yaml"), 0)
	}
	s := settings{seed: 22, length: 2500 * time.Millisecond, faults: []fault{switchover, slow, pause, switchover, down}, clients: 3, out: t.TempDir()}
	if err := series(t.Context(), up, s, 0, n, t.Output()); err != nil {
		t.Fatal(err)
	}
}

// TestQuorumLosesNothingWithThePrimary kills, stops and cuts off the primary's
// region: with the durability quorum nothing that was acknowledged is gone
// afterwards. That the judge would see it is shown by
// TestEachBrokenPromiseIsAViolation, that asynchronous durability does lose by
// meridian/test/world's TestWhatWasLostIsListed.
func TestQuorumLosesNothingWithThePrimary(t *testing.T) {
	t.Parallel()
	n := 4
	if testing.Short() {
		n = 1
	}
	up := func() (operator.World, func() error, error) {
		return operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("testdata", "world.yaml"), 0)
	}
	s := settings{seed: 7, length: 4 * time.Second, faults: []fault{kill, isolate, freeze}, clients: 3, out: t.TempDir(), durability: meridian.Durability{Quorum: true}}
	if err := series(t.Context(), up, s, 0, n, t.Output()); err != nil {
		t.Fatal(err)
	}
}
