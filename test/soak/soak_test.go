package main

import (
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"meridian/client"
)

// TestTheNemesisNeverBreaksThePrimary draws a thousand events, and sees each
// kind of them.
func TestTheNemesisNeverBreaksThePrimary(t *testing.T) {
	s := client.Status{
		Regions: []client.Region{{Name: "iad", Primary: true}, {Name: "dub"}, {Name: "sin"}},
		Edges:   []client.Edge{{Name: "iad"}, {Name: "gru"}, {Name: "dub"}},
	}
	r, kinds := rand.New(rand.NewPCG(1, 0)), map[string]int{}
	for range 1000 {
		e := draw(r, s)
		kinds[strings.Join(e.args[:2], " ")]++
		if n := len(e.args); e.args[n-1] == e.args[n-2] {
			t.Errorf("%s: one place twice", e)
		}
		if slices.Contains([]string{"down", "pause"}, e.args[1]) && slices.Contains(e.args, "iad") || e.args[0] == "switchover" && e.args[2] == "iad" {
			t.Errorf("%s: iad is the primary", e)
		}
	}
	if len(kinds) != 5 {
		t.Errorf("kinds: %v", kinds)
	}
}

func TestWhatGrowsIsNamed(t *testing.T) {
	small, big := sample{100, 50, 40 << 20}, sample{100, 50 + moreFiles + 1, 40 << 20}
	if err := compare(io.Discard, map[string]sample{"a": small}, map[string]sample{"a": small}); err != nil {
		t.Error(err)
	}
	if err := compare(io.Discard, map[string]sample{"a": small, "b": small}, map[string]sample{"a": small, "b": big}); err == nil || !strings.Contains(err.Error(), "b") {
		t.Errorf("a node that grew: %v", err)
	}
}
