package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"meridian"
	"meridian/internal/boottime"
	"meridian/postgres/failover"
	"meridian/store"
)

// A tenure is this node's sight of who may take the writes, and its own right
// to while it holds the record: the renewals.
type tenure struct {
	self  meridian.Region
	boot  string // names this start of the node in marks
	key   string
	store store.Store
	log   *slog.Logger
	heard func() map[meridian.Region]failover.Sighting // the other regions' clocks, as this node was told
	fit   func() bool                                  // whether this region could act if it may: renewing for a dead PostgreSQL helps nobody

	awake    boottime.Awake // measures silence: what came while this node stood still is read after it
	renewNow chan struct{}  // holds one nudge
	turn     sync.Mutex     // held by who renews

	mu       sync.Mutex // guards what follows
	record   failover.Record
	rev      int64
	received time.Duration // by awake: when rev was first seen here, or of this node's mark in it
	until    time.Duration // boottime at which our right ends; 0: none
	halted   bool          // no renewals: the record is being handed over
	was      failover.Promise
	next     *failover.Promise // what the next renewal promises, where the record promises was
	sure     bool              // the record came from the cluster, not from the copy on disk
}

// see takes the newest record from the store.
func (t *tenure) see(v *store.View) {
	e, ok := v.Get(t.key)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Rev == t.rev {
		return
	}
	var r failover.Record
	if err := json.Unmarshal(e.Value, &r); err != nil {
		t.log.Error("who is primary cannot be read", "key", t.key, "why", err.Error())
		return
	}
	if r.Region != t.self || r.Term != t.record.Term {
		t.until = 0 // a right of another term is none
	}
	if r.Region == t.self && r.Mark.Boot == t.boot {
		t.until = max(t.until, r.Mark.At+failover.Lease)
	}
	t.sure = t.sure || t.rev != 0 // what follows the first sight is news
	received := t.awake.Now()
	if m := r.Seen[t.self]; m.Boot == t.boot {
		received -= max(0, boottime.Now()-m.At)
	}
	t.record, t.rev, t.received = r, e.Rev, max(received, t.received)
	if r.Region == t.self {
		t.nudge()
	}
}

func (t *tenure) nudge() {
	select {
	case t.renewNow <- struct{}{}:
	default:
	}
}

// now returns the newest record, its revision, and for how long this node was
// awake since it was received.
func (t *tenure) now() (failover.Record, int64, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.record, t.rev, t.awake.Now() - t.received
}

// lease returns until when this region may act, and in which term.
func (t *tenure) lease() (until time.Duration, term uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until, t.record.Term
}

// holds returns the term in which this region holds the record, if it does.
func (t *tenure) holds() (term uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.record.Term, t.record.Region == t.self
}

// certain reports whether the record is more than what this node remembered
// from before its start.
func (t *tenure) certain() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sure
}

// doubt gives up the right until the next renewal succeeds: it is not known
// whether the record is still ours. One that succeeds over the revision that
// was seen before the doubt shows that it was.
func (t *tenure) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = 0
}

// halt renews once more, and then stops renewals: none is under way when it
// returns, so that the record keeps its revision. resume allows them again.
func (t *tenure) halt(ctx context.Context) {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.renewOnce(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halted = true
}

func (t *tenure) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halted = false
}

// promise has the next renewal change what the record promises, if that is was
// still; a nil next changes nothing. A write of its own would meet a renewal
// more often than not where the store is slow, and one of the two would fail.
func (t *tenure) promise(was failover.Promise, next *failover.Promise) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.was, t.next = was, next
}

// replace writes the next record over the one that the caller saw, and reports
// whether it did. A right that the new record gives this region counts from
// before the attempt was sent, and before the marks in it were asked for.
func (t *tenure) replace(ctx context.Context, next failover.Record, rev int64) (bool, error) {
	from := boottime.Now()
	if next.Seen = nil; next.Region == t.self {
		next.Seen, from, _ = failover.Seen(t.heard(), from)
	}
	ok, err := t.store.CompareAndSwap(ctx, t.key, rev, mustJSON(next))
	t.see(t.store.Now())
	if !ok || err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sure = true
	if next.Region == t.self && t.record.Term == next.Term && t.record.Region == t.self {
		t.until = max(t.until, from+failover.Lease)
	}
	return true, nil
}

// run renews while this region holds the record, until ctx is over.
func (t *tenure) run(ctx context.Context) {
	tick := time.NewTicker(failover.Renew)
	defer tick.Stop()
	for t.renew(ctx); t.due(ctx, tick.C); {
		t.renew(ctx)
	}
}

// due waits until it is time to renew, and reports whether ctx goes on. News of
// the record are a reason, unless they are of a renewal of our own that came
// back.
func (t *tenure) due(ctx context.Context, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-t.renewNow:
			if _, _, age := t.now(); !t.held() || age >= failover.Renew/2 {
				return true
			}
		}
	}
}

// held reports whether the right is valid now.
func (t *tenure) held() bool {
	until, _ := t.lease()
	return boottime.Now() < until
}

func (t *tenure) renew(ctx context.Context) {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.renewOnce(ctx)
}

// renewOnce makes one renewal. The caller holds turn.
func (t *tenure) renewOnce(ctx context.Context) {
	r, rev, _ := t.now()
	t.mu.Lock()
	halted := t.halted
	if t.next != nil && r.Promise.Equal(t.was) {
		r.Promise = *t.next
	}
	t.mu.Unlock()
	if r.Region != t.self || halted || !t.fit() {
		return
	}
	if _, _, ok := failover.Seen(t.heard(), boottime.Now()); !ok {
		t.log.Warn("the right to write was not renewed", "term", r.Term, "why", "no other region answers")
		return
	}
	r.Count++
	ctx, cancel := context.WithTimeout(ctx, failover.Lease)
	defer cancel()
	if ok, err := t.replace(ctx, r, rev); err != nil && ctx.Err() == nil {
		t.log.Warn("the right to write was not renewed", "term", r.Term, "why", err.Error())
	} else if err == nil && !ok {
		t.log.Info("the record of the primary changed while it was renewed", "term", r.Term)
	}
}
