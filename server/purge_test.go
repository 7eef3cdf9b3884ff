package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/backbone"
	"meridian/edge/cache"
	"meridian/edge/purge"
	"meridian/internal/pki"
	"meridian/store"
)

// A memoryLedger is a store that all nodes of a test share. Each sees it through
// an end of its own, which can be cut.
type memoryLedger struct {
	mu      sync.Mutex // guards what follows
	rev     int64
	entries map[string]store.Entry
	changed chan struct{}
}

type ledgerEnd struct {
	*memoryLedger
	mu  sync.Mutex // guards what follows
	cut bool
	old seenLedger // what was seen last
}

type seenLedger map[string]store.Entry

func (s seenLedger) Get(key string) (store.Entry, bool) { e, ok := s[key]; return e, ok }

func (s seenLedger) Prefix(p string) (out []store.Entry) {
	for key, e := range s {
		if strings.HasPrefix(key, p) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out
}

var errCut = meridian.WithKind(meridian.Unavailable, errors.New("no majority of the store's members answered"))

func (e *ledgerEnd) View() interface {
	entry
	entries
} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.cut {
		e.memoryLedger.mu.Lock()
		e.old = seenLedger{}
		for k, v := range e.entries {
			e.old[k] = v
		}
		e.memoryLedger.mu.Unlock()
	}
	return e.old
}

func (e *ledgerEnd) Watch() <-chan struct{} {
	e.memoryLedger.mu.Lock()
	defer e.memoryLedger.mu.Unlock()
	return e.changed
}

func (e *ledgerEnd) isCut() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cut
}

func (e *ledgerEnd) setCut(cut bool) {
	e.mu.Lock()
	e.cut = cut
	e.mu.Unlock()
	e.memoryLedger.mu.Lock()
	defer e.memoryLedger.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *ledgerEnd) Sync(context.Context) error {
	if e.isCut() {
		return errCut
	}
	return nil
}

func (e *ledgerEnd) CompareAndSwap(_ context.Context, key string, old int64, value []byte) (bool, error) {
	if e.isCut() {
		return false, errCut
	}
	e.memoryLedger.mu.Lock()
	defer e.memoryLedger.mu.Unlock()
	if e.entries[key].Rev != old {
		return false, nil
	}
	e.rev++
	e.entries[key] = store.Entry{Key: key, Value: value, Rev: e.rev}
	close(e.changed)
	e.changed = make(chan struct{})
	return true, nil
}

// A purgeNode is a node with a backbone, a part in purges, and, if it is an
// edge, a cache that notes what is purged.
type purgeNode struct {
	*purging
	end  *ledgerEnd
	skew atomic.Int64 // how far its clock is ahead

	mu     sync.Mutex // guards what follows
	purged []cache.Purge
}

func (n *purgeNode) Purge(p cache.Purge) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.purged = append(n.purged, p)
	return 1
}

func (n *purgeNode) has(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.purged, func(p cache.Purge) bool { return p.ID == id })
}

// purgeWorld runs nodes whose places are rtt apart, on real backbones. All but
// "control" are edges.
func purgeWorld(t testing.TB, rtt time.Duration, names ...string) (map[string]*purgeNode, *backbone.Links) {
	t.Helper()
	place := func(node string) meridian.Region { return meridian.Region(node) }
	links := backbone.NewLinks(place, func(a, b meridian.Region) (p50, p90 time.Duration) { return rtt, rtt })
	dir := t.TempDir()
	if _, err := pki.Create(dir, names...); err != nil {
		t.Fatal(err)
	}
	lns, peers := map[string]net.Listener{}, []backbone.Peer{}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		lns[name] = l
		peers = append(peers, backbone.Peer{Node: name, Place: place(name), Addr: l.Addr().String()})
	}
	shared := &memoryLedger{entries: map[string]store.Entry{}, changed: make(chan struct{})}
	edges := func() []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "control" })
	}
	out := map[string]*purgeNode{}
	for _, name := range names {
		cert, roots, err := pki.LoadNode(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := backbone.New(backbone.Config{Node: name, Place: place(name), Listen: "127.0.0.1:0"},
			backbone.Deps{Cert: cert, Roots: roots, Peers: peers, Links: links, Listener: lns[name], Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		n := &purgeNode{end: &ledgerEnd{memoryLedger: shared}}
		w := newWays(b.Open)
		if n.purging, err = newPurging(name, n.end, edges, w, slog.New(slog.DiscardHandler), nil); err != nil {
			t.Fatal(err)
		}
		n.now = func() time.Time { return time.Now().Add(time.Duration(n.skew.Load())) }
		parts := []func(context.Context, func()) error{b.Run, n.sender.Run}
		if name == "control" {
			parts = append(parts, func(ctx context.Context, ready func()) error { ready(); w.warm(ctx, edges); return nil })
		} else {
			n.applied = purge.NewApplied(n.Purge, time.Now)
			l := b.Listener("purge")
			parts = append(parts, n.follow, n.makeSure, func(ctx context.Context, ready func()) error { return servePurges(ctx, l, n.applied.Apply, ready) })
		}
		runParts(t, parts...)
		out[name] = n
	}
	return out, links
}

// runParts runs parts, the first ones first, until the test ends.
func runParts(t testing.TB, parts ...func(context.Context, func()) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	for _, run := range parts {
		ready := make(chan struct{})
		all.Go(func() {
			if err := run(ctx, sync.OnceFunc(func() { close(ready) })); err != nil {
				t.Errorf("a part ended: %v", err)
			}
		})
		<-ready
	}
}

func onePurge(id string) []cache.Purge {
	return []cache.Purge{{ID: id, Path: "/a", At: time.Now()}}
}

// until asks until ok, for as long as a busy machine may need.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not in 20s: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // real links, real time
	}
}

func TestAPurgeReachesEveryEdgeInOneRoundTrip(t *testing.T) {
	const rtt = 60 * time.Millisecond
	nodes, _ := purgeWorld(t, rtt, "control", "a", "b", "c")
	until(t, "the links are warm", func() bool {
		return nodes["control"].sender.Purge(t.Context(), onePurge(purge.NewID()), 0).Took < 2*rtt
	})
	best := time.Hour
	for i := range 10 {
		id := fmt.Sprint("p", i)
		o := nodes["control"].sender.Purge(t.Context(), onePurge(id), 0)
		if !o.Done() {
			t.Fatalf("%+v", o)
		}
		for _, name := range []string{"a", "b", "c"} {
			if !nodes[name].has(id) {
				t.Errorf("%s is said to be done, and is not", name)
			}
		}
		best = min(best, o.Took)
	}
	if best < rtt || best > rtt+50*time.Millisecond {
		t.Errorf("the fastest of ten took %v, want a round trip of %v, and less than 50ms more", best, rtt)
	}
}

// TestAnEdgeThatWasCutAppliesWhatItMissed: first it is cut from the sender, and
// learns of the purge from the store; then from both, and trusts nothing old
// until it has caught up. Control: before, it has no horizon.
func TestAnEdgeThatWasCutAppliesWhatItMissed(t *testing.T) {
	nodes, links := purgeWorld(t, 5*time.Millisecond, "control", "a", "b")
	control, b := nodes["control"], nodes["b"]
	until(t, "b has seen the log", func() bool { return b.horizon().IsZero() })

	links.Set("control", "b", backbone.Fault{Cut: true})
	o := control.sender.Purge(t.Context(), onePurge("from the store"), 0)
	if o.Edges[0].Why != "" || o.Edges[1].Done || o.Edges[1].Why == "" || !o.Kept {
		t.Errorf("%+v, want a done, b pending with its reason, and the log to have it", o)
	}
	until(t, "b learns of it from the store", func() bool { return b.has("from the store") })

	b.end.setCut(true)
	control.sender.Purge(t.Context(), onePurge("while cut"), 0)
	lost := time.Now()
	b.skew.Store(int64(purge.Bound + time.Minute)) // a long cut
	if h := b.horizon(); h.Before(lost) {
		t.Errorf("cut for long, b takes for fresh what is as old as %v", lost.Sub(h))
	}
	if b.has("while cut") {
		t.Error("b has it, although it is cut")
	}
	b.end.setCut(false)
	until(t, "b catches up", func() bool { return b.has("while cut") })
	until(t, "b trusts what it has", func() bool { return b.horizon().IsZero() })
}

// TestAnInvalidationReachesTheOtherEdges: from the edge where it happened, and
// not back to it.
func TestAnInvalidationReachesTheOtherEdges(t *testing.T) {
	nodes, _ := purgeWorld(t, 5*time.Millisecond, "a", "b", "c")
	nodes["a"].invalidated(cache.Purge{Path: "/a"})
	got := func(name string) int {
		nodes[name].mu.Lock()
		defer nodes[name].mu.Unlock()
		return len(nodes[name].purged)
	}
	until(t, "b and c have it", func() bool { return got("b") == 1 && got("c") == 1 })
	if got("a") != 0 {
		t.Error("the edge where it happened purges again what it fetched since")
	}
}

// TestWhatTheLogForgotMakesAllStale: an edge that missed more than the log holds.
func TestWhatTheLogForgotMakesAllStale(t *testing.T) {
	nodes, _ := purgeWorld(t, time.Millisecond, "a")
	a := nodes["a"]
	a.end.setCut(true)
	other := &purging{self: "control", store: &ledgerEnd{memoryLedger: a.end.memoryLedger}, log: slog.New(slog.DiscardHandler), now: time.Now}
	for i := range 100 {
		var ps []cache.Purge
		for j := range 10 {
			ps = append(ps, cache.Purge{ID: fmt.Sprint(i, "/", j), Path: "/a", At: time.Now()})
		}
		if err := other.keep(t.Context(), ps); err != nil {
			t.Fatal(err)
		}
	}
	a.end.setCut(false)
	until(t, "all is stale", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.purged) == 1 && a.purged[0].Everything && a.purged[0].Soft
	})
}
