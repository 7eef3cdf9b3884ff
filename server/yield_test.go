package server

import (
	"testing"
	"time"

	"meridian/health"
)

// TestANodeThatSaidItReturnsIsWaitedForAWhile: not for ever, and not one that said
// nothing.
func TestANodeThatSaidItReturnsIsWaitedForAWhile(t *testing.T) {
	said := map[string]string{factReturns: "1"}
	for name, x := range map[string]struct {
		v    health.Verdict
		want bool
	}{
		"it said so":           {health.Verdict{Facts: said, At: time.Now()}, true},
		"it said so long ago":  {health.Verdict{Facts: said, At: time.Now().Add(-returnsFor)}, false},
		"it took it back":      {health.Verdict{Facts: map[string]string{factReturns: ""}, At: time.Now()}, false},
		"it was never heard":   {health.Verdict{}, false},
		"it said other things": {health.Verdict{Facts: map[string]string{factReady: "1"}, At: time.Now()}, false},
	} {
		if got := returnsOf(x.v); got != x.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
