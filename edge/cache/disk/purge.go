package disk

import (
	"slices"
	"time"
)

// A Purge says what is dropped, or made stale: what is found by Path or Tag, if
// either is set, and else by Prefix, and that Matches.
type Purge struct {
	Path, Tag, Prefix string

	Matches func(Label) bool
	Soft    time.Time // when it is made stale; zero drops it
}

// Purge drops entries, or makes them stale, for good: no later process finds
// them as they were. It returns those that it changed.
func (s *Store) Purge(p Purge) (out []*Entry) {
	s.mu.Lock()
	if s.during != nil {
		s.during.purges = append(s.during.purges, p)
	}
	found := s.index.Find(p.Path, p.Tag, p.Prefix)
	s.mu.Unlock()
	for part := range slices.Chunk(found, purgedAtOnce) { // others may want the lock meanwhile
		out = append(out, s.purge(part, p)...)
	}
	return out
}

const purgedAtOnce = 512

// purge does a purge to entries that it may concern.
func (s *Store) purge(found []*Entry, p Purge) (out []*Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range found {
		if !e.gone && p.Matches(e.Label) && s.apply(e, p) {
			out = append(out, e)
		}
	}
	return out
}

// apply does a purge to an entry, and reports whether that changed it.
func (s *Store) apply(e *Entry, p Purge) bool {
	switch {
	case p.Soft.IsZero():
		s.remove(e)
	case !e.soft.IsZero():
		return false
	default:
		e.soft = p.Soft
		if e.written { // else it is marked once it is
			s.mark(e.slot, e.seq, e.soft)
		}
	}
	return true
}

// Supersede drops what is here of a key and variant, but one entry, since there
// is something newer elsewhere.
func (s *Store) Supersede(l Label, but *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.during != nil {
		s.during.superseded[kind{l.Key, l.Variant}] = true
	}
	for _, e := range s.entries[l.Key] {
		if e.Variant == l.Variant && e != but {
			s.remove(e)
			return
		}
	}
}
