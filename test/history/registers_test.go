package history_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian/test/history"
)

// TestRegisters runs the scripts in testdata/registers: writes and reads of
// registers, in the notation of transactions, with x=1 for what was written
// and x? 1 for what was read.
func TestRegisters(t *testing.T) {
	datadriven.Walk(t, "testdata/registers", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var accesses []history.Access
			var losses []history.Loss
			for line := range strings.Lines(d.Input) {
				a, l := readAccess(t, d, strings.TrimSpace(line))
				if a.Key != "" {
					accesses = append(accesses, a)
				} else {
					losses = append(losses, l)
				}
			}
			l := history.Registers(accesses, losses, time.Minute)
			return fmt.Sprintf("%d keys, broken %v\n", l.Keys, l.Broken)
		})
	})
}

func readAccess(t *testing.T, d *datadriven.TestData, line string) (a history.Access, l history.Loss) {
	t.Helper()
	var from, to int64
	var outcome, key string
	if _, err := fmt.Sscanf(line, "loss %d..%d", &from, &to); err == nil {
		return a, history.Loss{From: time.Duration(from), To: time.Duration(to)}
	}
	if _, err := fmt.Sscanf(line, "p%d %d..%d %s %s %d", &a.Process, &from, &to, &outcome, &key, &a.Value); err != nil {
		d.Fatalf(t, "%q: %v", line, err)
	}
	a.Call, a.Return, a.Outcome = time.Duration(from), time.Duration(to), history.Outcome(outcome)
	a.Key, a.Write = strings.CutSuffix(key, "=")
	a.Key = strings.TrimSuffix(a.Key, "?")
	return a, l
}
