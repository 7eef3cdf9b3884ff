package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/edge/cache"
	"meridian/edge/purge"
	"meridian/store"
)

// A diskNode is a node's cache with a disk, and its part in purges.
type diskNode struct {
	*purging
	cache *cache.Cache
}

func newDiskNode(t *testing.T, dir string, shared *memoryLedger, kept bool) *diskNode {
	t.Helper()
	c, err := cache.New(cache.Config{Memory: 64 << 10, Object: 1, Disk: cache.Disk{Dir: dir, Bytes: 16 << 20, Node: "edge"}}, cache.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for !c.DiskIdle() {
		time.Sleep(100 * time.Microsecond)
	}
	p := &purging{self: "edge", store: &ledgerEnd{memoryLedger: shared}, log: slog.New(slog.DiscardHandler), now: time.Now, read: map[string]purge.Position{}}
	if kept {
		p.kept = filepath.Join(dir, "purges.json")
	}
	p.applied = purge.NewApplied(c.Purge, time.Now)
	return &diskNode{p, c}
}

// get asks for a path of which the origin says body, and returns the answer.
func (d *diskNode) get(t *testing.T, path, body string) string {
	t.Helper()
	q := cache.Request{Method: "GET", Host: "a.test", Path: path, Header: http.Header{}, Policy: cache.Default(), After: d.horizon()}
	r, err := d.cache.Do(t.Context(), q, func(context.Context, http.Header) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ProtoMajor: 2, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
			Header: http.Header{"Cache-Control": {"max-age=600"}},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for !d.cache.DiskIdle() {
		time.Sleep(100 * time.Microsecond)
	}
	return string(b)
}

// TestAPurgeWhileTheNodeWasDownIsNotUndone stores on disk, ends the node, purges
// at another one, and starts it again. Control: a start that takes the log for
// known, as without a disk it must, answers with what was purged.
func TestAPurgeWhileTheNodeWasDownIsNotUndone(t *testing.T) {
	now := time.Now()
	purged := func(prefix string) []cache.Purge {
		return []cache.Purge{{ID: purge.NewID(), Prefix: prefix, At: now}}
	}
	for _, x := range []struct {
		name string
		meet func(shared *memoryLedger, put func(node string, l purge.Log)) // while the node is down
		kept bool
		want string // of the three paths: o is old, n is new
	}{
		{"nobody has ever purged", func(s *memoryLedger, _ func(string, purge.Log)) { clear(s.entries) }, true, "ooo"},
		{"nothing is purged", func(*memoryLedger, func(string, purge.Log)) {}, true, "ooo"},
		{"one is purged", func(_ *memoryLedger, put func(string, purge.Log)) {
			put("control", purge.Log{}.With(purged("/never"), now).With(purged("/1"), now))
		}, true, "ono"},
		{"control: the positions do not count", func(_ *memoryLedger, put func(string, purge.Log)) {
			put("control", purge.Log{}.With(purged("/never"), now).With(purged("/1"), now))
		}, false, "ooo"},
		{"by a node that is new", func(_ *memoryLedger, put func(string, purge.Log)) { put("third", purge.Log{}.With(purged("/2"), now)) }, true, "oon"},
		{"the log has forgotten it", func(_ *memoryLedger, put func(string, purge.Log)) {
			put("control", purge.Log{}.With(purged("/1"), now).With(nil, now.Add(2*time.Hour)))
		}, true, "nnn"},
		{"the node has left with its log", func(s *memoryLedger, _ func(string, purge.Log)) { delete(s.entries, purgePrefix+"control") }, true, "nnn"},
	} {
		dir, shared := t.TempDir(), &memoryLedger{entries: map[string]store.Entry{}, changed: make(chan struct{})}
		put := func(node string, l purge.Log) {
			shared.rev++
			shared.entries[purgePrefix+node] = store.Entry{Key: purgePrefix + node, Value: mustJSON(l), Rev: shared.rev}
		}
		if x.name != "nobody has ever purged" {
			put("control", purge.Log{Started: now})
		}
		d := newDiskNode(t, dir, shared, true)
		d.begin()
		d.catchUp()
		d.sure.Store(&now)
		paths := []string{"/0", "/1", "/2"}
		for _, p := range paths {
			d.get(t, p, "old")
		}
		d.cache.Stop()
		x.meet(shared, func(node string, l purge.Log) {
			if node == "control" {
				l.Started = now
			}
			put(node, l)
		})
		d = newDiskNode(t, dir, shared, x.kept)
		d.begin()
		d.catchUp()
		d.sure.Store(&now)
		got := ""
		for _, p := range paths {
			got += d.get(t, p, "new")[:1]
		}
		if got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
		d.cache.Stop()
	}
}
