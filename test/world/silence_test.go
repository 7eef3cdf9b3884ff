package world_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/test/conduit"
	"meridian/test/harness"
)

// A reading is one answered read of a steady load.
type reading struct {
	begin, took time.Duration
	status      int
	region      string
}

// steady reads at an even rate, whether the reads before are answered or not.
func steady(t *testing.T, c *conduit.Client, rate int, d time.Duration) []reading {
	out := make([]reading, int(d.Seconds()*float64(rate)))
	var wg sync.WaitGroup
	start := time.Now()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range out {
		<-tick.C
		wg.Go(func() {
			begin := time.Since(start)
			a, err := c.Do(t.Context(), "GET", fmt.Sprint("/hello/", i), nil) // each its own, or they would share one fetch
			out[i] = reading{begin: begin, took: time.Since(start) - begin}
			if err == nil {
				out[i].status, out[i].region = a.Status, a.Header.Get("Meridian-Region")
			}
		})
	}
	wg.Wait()
	return out
}

// TestARegionThatFallsSilentIsLeftAndComesBack cuts an edge from its nearest
// region, in silence, under a steady load, and mends the link. Every read is
// answered, the next region answers soon, and the first one again in the end.
// The times are logged: they are those of this machine.
func TestARegionThatFallsSilentIsLeftAndComesBack(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	c := door(t, s, "ap-southeast-2", nil)
	served := func(by string) {
		t.Helper()
		harness.Eventually(t, 30*time.Second, func() error {
			for range 5 {
				a, err := c.Do(t.Context(), "GET", "/hello/you", nil)
				if err != nil || a.Status != 200 || a.Header.Get("Meridian-Region") != by {
					return fmt.Errorf("%v, %v; want an answer of %s", a, err, by)
				}
			}
			return nil
		})
	}
	served("ap-southeast-1")
	steady(t, c, 100, 2*time.Second) // so that the edge knows what is usual
	done := make(chan []reading, 1)
	go func() { done <- steady(t, c, 100, 8*time.Second) }()
	time.Sleep(time.Second)
	w.Do("fault", "cut", "ap-southeast-2", "ap-southeast-1")
	all := <-done
	slow, others := 0, map[string]int{}
	var took []time.Duration
	for _, r := range all {
		if r.status != 200 {
			t.Errorf("a read after %v was answered %d after %v", r.begin, r.status, r.took)
		}
		if r.took > time.Second {
			slow++
		}
		if r.begin > 5*time.Second {
			others[r.region]++
			took = append(took, r.took)
		}
	}
	slices.Sort(took)
	t.Logf("%d of %d reads took longer than a second; at the end p50 %v, p99 %v, by %v", slow, len(all), took[len(took)/2], took[len(took)*99/100], others)
	if others["ap-southeast-1"] > 0 {
		t.Errorf("%d reads were answered by the region that is cut off", others["ap-southeast-1"])
	}
	log, err := os.ReadFile(filepath.Join(w.State, "log", "ap-southeast-2+edge.log"))
	if err != nil || !strings.Contains(string(log), "the circuit of a region turned") {
		t.Errorf("the edge's log does not say that a circuit turned: %v", err)
	}
	w.Do("fault", "heal")
	begin := time.Now()
	served("ap-southeast-1")
	t.Logf("back after %v", time.Since(begin).Round(10*time.Millisecond))
}
