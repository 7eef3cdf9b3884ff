package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestDecideLead runs the script in testdata/lead. go test -rewrite writes the
// decisions made.
func TestDecideLead(t *testing.T) {
	datadriven.RunTest(t, "testdata/lead", func(t *testing.T, d *datadriven.TestData) string {
		s := Standing{Self: "iad"}
		stood, tried := 60_000, -1
		d.MaybeScanArgs(t, "leader", &s.Leader)
		d.MaybeScanArgs(t, "wanted", &s.Wanted)
		d.MaybeScanArgs(t, "stood", &stood)
		d.MaybeScanArgs(t, "tried", &tried)
		s.Stood, s.Tried = time.Duration(stood)*time.Millisecond, time.Duration(tried)*time.Millisecond
		ask, why := DecideLead(s)
		return fmt.Sprintf("ask: %v: %s\n", ask, why)
	})
}
