package acme

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// A lock is held by whoever renews it. An observer that has seen the same
// revision of it for lockExpiry, by its own clock, takes it: clocks of two
// machines are never compared.
const (
	lockPause  = 5 * time.Second
	lockExpiry = 30 * time.Second
)

// locks are this node's locks.
type locks struct {
	keep          Keeper
	owner         string
	pause, expiry time.Duration

	mu   sync.Mutex // guards what follows
	held map[string]*held
	seen map[string]sighting // by key
}

// A sighting is since when a lock has been as it is.
type sighting struct {
	rev   int64
	since time.Time
}

// A lockRecord is a lock as it is stored.
type lockRecord struct {
	Owner string `json:"owner,omitempty"` // "" once it is free
	Turn  int    `json:"turn"`            // of its renewal
}

// held is a lock that this node has.
type held struct {
	stop context.CancelFunc
	done chan struct{}

	mu  sync.Mutex // guards what follows
	rev int64      // 0 once it is lost
}

// lock waits for a lock, and renews it until unlock.
func (l *locks) lock(ctx context.Context, name string) error {
	key := lockPrefix + name
	for {
		watch := l.keep.Watch()
		text, rev, ok := l.keep.Get(key)
		since := l.look(key, rev)
		if !ok || free(text) || time.Since(since) >= l.expiry {
			if got, err := l.take(ctx, name, rev); got || err != nil {
				return err
			}
			continue
		}
		wait := time.NewTimer(l.expiry - time.Since(since))
		select {
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("lock %s: %w", name, ctx.Err())
		case <-watch:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// look returns since when a lock has been at a revision. It looks at all the others too:
// whoever was lost may have held several, and who waits for one will want the next.
func (l *locks) look(key string, rev int64) time.Time {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.seen
	l.seen = map[string]sighting{key: {rev, now}}
	for _, k := range l.keep.Keys(lockPrefix) {
		if _, r, ok := l.keep.Get(k); ok && k != key {
			l.seen[k] = sighting{r, now}
		}
	}
	for k, s := range l.seen {
		if w, ok := was[k]; ok && w.rev == s.rev {
			l.seen[k] = w
		}
	}
	return l.seen[key].since
}

func free(text []byte) bool {
	var r lockRecord
	return json.Unmarshal(text, &r) != nil || r.Owner == ""
}

// take writes the lock, if it still is at rev.
func (l *locks) take(ctx context.Context, name string, rev int64) (bool, error) {
	key := lockPrefix + name
	ok, err := l.keep.CompareAndSwap(ctx, key, rev, l.record(rev))
	if !ok || err != nil {
		return false, err
	}
	_, rev, _ = l.keep.Get(key)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &held{stop: stop, done: make(chan struct{}), rev: rev}
	go l.renew(run, key, h) // unlock waits for it
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[name] = h
	return true, nil
}

// record is a new value each time: competing writers must differ.
func (l *locks) record(rev int64) []byte {
	text, _ := json.Marshal(lockRecord{l.owner, int(rev) + 1}) // no type in it can fail
	return text
}

// renew shows that the lock's holder lives.
func (l *locks) renew(ctx context.Context, key string, h *held) {
	defer close(h.done)
	tick := time.NewTicker(l.pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.mu.Lock()
		ok, err := l.keep.CompareAndSwap(ctx, key, h.rev, l.record(h.rev))
		switch {
		case ok:
			_, h.rev, _ = l.keep.Get(key)
		case err == nil: // somebody else has it
			h.rev = 0
		}
		lost := h.rev == 0
		h.mu.Unlock()
		if lost {
			return
		}
	}
}

// unlock gives a lock back, unless it was lost.
func (l *locks) unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	h := l.held[name]
	delete(l.held, name)
	l.mu.Unlock()
	if h == nil {
		return nil
	}
	h.stop()
	<-h.done
	if h.rev == 0 {
		return nil
	}
	text, _ := json.Marshal(lockRecord{Turn: int(h.rev) + 1})
	_, err := l.keep.CompareAndSwap(ctx, lockPrefix+name, h.rev, text)
	return err
}
