package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestALossThatTakesTooLongFails reads what the losses took.
func TestALossThatTakesTooLongFails(t *testing.T) {
	took := map[string][]time.Duration{kill: {5 * time.Second, 4 * time.Second, 6 * time.Second}, deaf: {9 * time.Second}}
	var out strings.Builder
	err := report(&out, settings{most: 8 * time.Second, seed: 7}, took)
	if err == nil || err.Error() != "writes were away for more than 8s after deaf (seed 7)" {
		t.Errorf("it says %v", err)
	}
	if !strings.Contains(out.String(), "kill           3       4s       5s       6s") {
		t.Errorf("it prints\n%s", &out)
	}
	if err := report(&out, settings{most: 9 * time.Second}, took); err != nil {
		t.Error(err)
	}
}

// TestEachKindBreaksWhatItSays: a region that nobody hears is not one that
// hears nobody.
func TestEachKindBreaksWhatItSays(t *testing.T) {
	for kind, want := range map[string]string{
		kill:      "[[fault down a]]",
		freeze:    "[[fault pause a]]",
		partition: "[[fault cut a b] [fault cut a c]]",
		mute:      "[[fault cut a b --one-way] [fault cut a c --one-way]]",
		deaf:      "[[fault cut b a --one-way] [fault cut c a --one-way]]",
	} {
		if got := fmt.Sprint(breaking(kind, "a", []string{"b", "c"})); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}
