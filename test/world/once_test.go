package world_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/test/conduit"
	"meridian/test/harness"
)

// A keyed is how a write with a key was answered.
type keyed struct {
	status   int
	visits   int
	region   string
	replayed bool
	body     string
}

// keyedVisit counts one visit, by a key.
func keyedVisit(t *testing.T, c *conduit.Client, key, body string) (keyed, error) {
	return keyedPost(t, c, "/visits", key, body)
}

// keyedPost writes once, by a key.
func keyedPost(t *testing.T, c *conduit.Client, path, key, body string) (keyed, error) {
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.Base+path, strings.NewReader(body))
	if err != nil {
		return keyed{}, err
	}
	req.GetBody = nil // or net/http would repeat it by itself
	req.Header.Set("Idempotency-Key", key)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return keyed{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	k := keyed{resp.StatusCode, 0, resp.Header.Get("Meridian-Region"), resp.Header.Get("Idempotency-Replayed") == "true", string(text)}
	var said struct{ Visits int }
	if json.Unmarshal(text, &said) == nil {
		k.visits = said.Visits
	}
	return k, err
}

// answeredVisit counts one visit as a client does that asks again where a region is
// still executing it, or says that nothing of it was executed: a busy machine takes
// its time for the one and the other. The gateway has waited before it says so.
func answeredVisit(t *testing.T, c *conduit.Client, key string) (keyed, error) {
	for {
		k, err := keyedVisit(t, c, key, "")
		if err != nil || !strings.Contains(k.body, "is executing it") && !strings.Contains(k.body, "nothing of it was executed") {
			return k, err
		}
	}
}

// TestAKeyedWriteOutlivesItsRegionsSilence cuts off, in silence, what a region says
// to an edge, under a stream of writes with keys: the region goes on executing what
// the edge sends it. Each write is answered with a count of its own, the last count
// is that of the writes, and some were answered by another region with what the
// first execution had said. Afterwards a key is answered at another edge as it was,
// and with another content not at all.
func TestAKeyedWriteOutlivesItsRegionsSilence(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, "test/world/testdata/hello.yaml", filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	c := door(t, s, "ap-southeast-2", nil)
	var first keyed
	harness.Eventually(t, 30*time.Second, func() (err error) {
		if first, err = keyedVisit(t, c, `"first"`, ""); err != nil || first.status != http.StatusCreated {
			return fmt.Errorf("%+v, %v", first, err)
		}
		return nil
	})
	answers, errs := make([]keyed, 120), make([]error, 120)
	var writes sync.WaitGroup
	for i := range answers {
		if i == 20 {
			writes.Go(func() { w.Do("fault", "cut", "--one-way", "ap-southeast-1", "ap-southeast-2") })
		}
		writes.Go(func() { answers[i], errs[i] = answeredVisit(t, c, fmt.Sprintf(`"k-%d"`, i)) })
		time.Sleep(15 * time.Millisecond)
	}
	writes.Wait()
	replayed, counts := 0, map[int]bool{}
	for i, a := range answers {
		if errs[i] != nil || a.status != http.StatusCreated || counts[a.visits] {
			t.Errorf("write %d: %+v, %v", i, a, errs[i])
		}
		if counts[a.visits] = true; a.replayed {
			replayed++
		}
	}
	if replayed == 0 {
		t.Error("no answer was that of an earlier execution: the test shows nothing")
	}
	t.Logf("%d of %d answers were those of an earlier execution", replayed, len(answers))
	other := door(t, s, "eu-west-1", nil)
	if a, err := keyedVisit(t, other, `"first"`, ""); err != nil || !a.replayed || a.body != first.body {
		t.Errorf("the same key at another edge: %+v, %v; want what was said before, %s", a, err, first.body)
	}
	if a, err := keyedVisit(t, other, `"first"`, "other"); err != nil || a.status != http.StatusUnprocessableEntity {
		t.Errorf("the same key with another content: %+v, %v; want 422", a, err)
	}
	if a, err := keyedVisit(t, other, `"last"`, ""); err != nil || a.visits != first.visits+len(answers)+1 {
		t.Errorf("the last of %d writes counts %+v, %v; the first counted %d", len(answers)+2, a, err, first.visits)
	}
}
