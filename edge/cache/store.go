package cache

import (
	"slices"
	"strings"
	"sync"

	"github.com/maypok86/otter/v2"

	"meridian/edge/cache/index"
)

// A store holds resources in memory, by weight: W-TinyLFU chooses what goes. An
// index finds them by path and tag, so that a purge reads no more than it must.
type store struct {
	objects *otter.Cache[string, *resource]

	mu    sync.Mutex // guards what follows, and is held when objects gains a key
	index *index.Index[string]
}

// newStore returns a store of so many bytes. evicted is told of what makes room,
// before anybody can see that it is gone; it must not wait.
func newStore(bytes int64, evicted func(string, *resource)) *store {
	s := &store{index: index.New[string]()}
	s.objects = otter.Must(&otter.Options[string, *resource]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(key string, r *resource) uint32 { return r.weight() + uint32(len(key)) },
		OnAtomicDeletion: func(e otter.DeletionEvent[string, *resource]) {
			if e.Cause == otter.CauseOverflow {
				evicted(e.Key, e.Value)
			}
		},
		OnDeletion: func(e otter.DeletionEvent[string, *resource]) {
			if e.Cause != otter.CauseReplacement {
				s.forget(e.Key, e.Value)
			}
		},
	})
	return s
}

func (s *store) get(key string) *resource {
	r, _ := s.objects.GetIfPresent(key)
	return r
}

// put stores an object beside the other variants of its resource.
func (s *store) put(key string, o *object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before, after *resource
	s.objects.Compute(key, func(old *resource, _ bool) (*resource, otter.ComputeOp) {
		before, after = old, old.with(o)
		return after, otter.WriteOp
	})
	s.reindex(key, before, after)
}

// change replaces each object under a key by what f makes of it, and returns how
// many were.
func (s *store) change(key string, f func(*object) *object) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before, after *resource
	s.objects.ComputeIfPresent(key, func(old *resource) (*resource, otter.ComputeOp) {
		before = old
		if after, n = old.each(f); n == 0 {
			return old, otter.CancelOp
		}
		if after == nil {
			return nil, otter.InvalidateOp
		}
		return after, otter.WriteOp
	})
	if n > 0 {
		s.reindex(key, before, after)
	}
	return n
}

// reindex moves a key from what stood under it to what does now.
func (s *store) reindex(key string, before, after *resource) {
	if before != nil {
		for _, o := range before.variants {
			s.index.Remove(key, o.path, o.tags)
		}
	}
	if after != nil {
		for _, o := range after.variants {
			s.index.Add(key, o.path, o.tags)
		}
	}
}

// holds reports whether a purge concerns what stands under a key. It does not
// count as a use.
func (s *store) holds(key string, p Purge) bool {
	e, ok := s.objects.GetEntryQuietly(key)
	return ok && slices.ContainsFunc(e.Value.variants, p.concerns)
}

// forget takes a key that is gone out of the index.
func (s *store) forget(key string, r *resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects.GetIfPresent(key); ok {
		return
	}
	s.reindex(key, r, nil)
}

// keys returns the keys that a purge may concern.
func (s *store) keys(p Purge) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.Find(p.Path, strings.ToLower(p.Tag), p.Prefix)
}
