package world_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"meridian/test/harness"
)

// TestAKeyOutlivesTheRegionThatClaimedIt kills a region whose function has read and
// not written. The client's one request is answered all the same, by another region,
// which takes the claim over once the map says that the first is lost; the same key
// is then answered as that was, and the order stands there once.
func TestAKeyOutlivesTheRegionThatClaimedIt(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, "test/world/testdata/slow/meridian.yaml", filepath.Join(harness.Folder(t), "world"))
	c := door(t, w.Status(), "eu-west-1", nil)
	order := func(key, think string) (keyed, error) { return keyedPost(t, c, "/orders", key, think) }
	tries := 0
	harness.Eventually(t, 60*time.Second, func() error {
		tries++ // what failed would be answered so again
		if a, err := order(fmt.Sprintf(`"warm-%d"`, tries), "0s"); err != nil || a.status != http.StatusCreated || a.region != "eu-west-1" {
			return fmt.Errorf("%+v, %v", a, err)
		}
		return nil
	})
	before, err := order(`"before"`, "0s")
	if err != nil || before.status != http.StatusCreated {
		t.Fatalf("%+v, %v", before, err)
	}
	type result struct {
		keyed
		err error
	}
	done, begin := make(chan result, 1), time.Now()
	go func() {
		a, err := order(`"k"`, "3s")
		done <- result{a, err}
	}()
	time.Sleep(1500 * time.Millisecond) // it has read by then, and thinks
	w.Do("fault", "down", "eu-west-1")
	a := <-done
	t.Logf("answered %d by %s, %v after it was sent", a.status, a.region, time.Since(begin).Round(10*time.Millisecond))
	if a.err != nil || a.status != http.StatusCreated || a.region == "eu-west-1" || a.visits != before.visits+1 {
		t.Fatalf("%+v; want an answer of another region, and one order more than %d", a, before.visits)
	}
	again, err := order(`"k"`, "3s")
	if err != nil || !again.replayed || again.body != a.body {
		t.Errorf("the same key again: %+v, %v; want what was said before, %s", again, err, a.body)
	}
	if last, err := order(`"last"`, "0s"); err != nil || last.visits != before.visits+2 {
		t.Errorf("the next order: %+v, %v; want two more than %d", last, err, before.visits)
	}
}
