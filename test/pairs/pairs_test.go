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

// TestPairs does in one world what needs one.
func TestPairs(t *testing.T) {
	w, end, err := operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("testdata", "world.yaml"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	// First: what writes cost while standbys are late would be learned as well.
	t.Run("three writes run where the primary is", func(t *testing.T) { threeWritesMove(t, w) })
	t.Run("no read is older than the write before it", func(t *testing.T) { noReadIsOlder(t, w) })
}

// noReadIsOlder makes some pairs of every kind, half of
// them while the standbys replay 2 s late; and as the negative control some
// without the wait. The control of pairs by HTTP, edges that ignore tokens, is
// in test/world.
func noReadIsOlder(t *testing.T, w operator.World) {
	s := settings{count: 1200, workers: 4, seed: 1, lag: 2 * time.Second, lagged: 0.5, http: true}
	if err := pairs(t.Context(), w, s, t.Output()); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	err := pairs(t.Context(), w, settings{count: 600, workers: 4, seed: 1, consistency: "eventual"}, &out)
	if err == nil || !strings.Contains(err.Error(), "stale reads") {
		t.Errorf("eventual reads after writes were not found to be stale (%v):\n%s", err, &out)
	}
}

// threeWritesMove asks in a secondary's region for three writes at a time: by
// the twelfth request they run in the primary's region, and a trace says why.
// The control is the route that writes once, which stays.
func threeWritesMove(t *testing.T, w operator.World) {
	const url = "https://pairs.example.test/pairs/1"
	where := func(method string) (region, trace string) {
		for range 12 { // the tenth is a look at home
			out, err := w.Run(t.Context(), "trace", "--from", "eu-west-1", "-X", method, "-d", "1", "-H", "Content-Type: text/plain", "--json", url)
			if err != nil {
				t.Fatal(err)
			}
			trace = out
		}
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			if strings.Contains(trace, `"placed": "`+region+`"`) {
				return region, trace
			}
		}
		return "", trace
	}
	if region, trace := where("POST"); region != "us-east-1" || !strings.Contains(trace, "trips expected at home, by the") {
		t.Errorf("three writes ran in %q:\n%s", region, trace)
	}
	if region, trace := where("PUT"); region != "eu-west-1" {
		t.Errorf("one write ran in %q:\n%s", region, trace)
	}
}
