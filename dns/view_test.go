package dns

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/topology"
)

// TestOnlyChangesOfSteeringAreLogged draws the map anew every 100 ms, as a node
// does, and loses one region once.
func TestOnlyChangesOfSteeringAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := &topology.Map{}
		m.Publish(world(nil))
		s, err := New(Config{Domain: "api.example.test", Listen: []string{"127.0.0.1:53"}}, Deps{Map: m, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.watch(ctx) }()
		redraw := func(change func(*topology.Snapshot)) string {
			log.Reset()
			for range 10 {
				m.Publish(world(change))
				<-time.After(100 * time.Millisecond)
				synctest.Wait()
			}
			return log.String()
		}
		if first := redraw(nil); strings.Count(first, "msg=steering") != 6 {
			t.Errorf("at the start, want each of 5 places and the unknown one:\n%s", first)
		}
		if still := redraw(nil); still != "" {
			t.Errorf("nothing changed, and it logs\n%s", still)
		}
		lost := redraw(func(s *topology.Snapshot) { s.Regions[1].Healthy, s.Regions[1].Why = false, "silent" })
		if strings.Count(lost, "msg=steering") != 1 || !strings.Contains(lost, "from=eu-west-1 edge=eu-west-1") || !strings.Contains(lost, "passed over eu-west-1, in the same place: silent") {
			t.Errorf("one place lost its region:\n%s", lost)
		}
		cancel()
		<-ended
	})
}
