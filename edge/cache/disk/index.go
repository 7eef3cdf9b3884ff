package disk

import (
	"slices"
	"time"
)

// What stands here is called with Store.mu held.

// insert makes an entry that takes size bytes, and makes room for it. It is nil
// if there is none.
func (s *Store) insert(l Label, size int64) *Entry {
	size = roundUp(size)
	if s.during != nil || s.disabled || s.ctx.Err() != nil || size > s.cfg.Bytes/2 || !s.room(size) {
		s.stats.Skipped++
		return nil
	}
	for _, old := range s.entries[l.Key] {
		if old.Variant == l.Variant {
			s.remove(old)
			break
		}
	}
	e := &Entry{Label: l, size: size, slot: s.free[len(s.free)-1], seq: s.next}
	s.free, s.next = s.free[:len(s.free)-1], s.next+1
	s.enter(e)
	return e
}

func roundUp(size int64) int64 { return (size + fileBlock - 1) / fileBlock * fileBlock }

// spare is how many slots should be free: one comes back only once its file is
// removed.
const spare = 64

// room evicts until there is room for size bytes. It reports whether there is,
// and a slot.
func (s *Store) room(size int64) bool {
	for s.bytes+size > s.cfg.Bytes {
		if !s.evict() {
			return false
		}
	}
	if len(s.free) < spare {
		s.evict()
	}
	return len(s.free) > 0
}

// secondChances bounds how many that were used are passed over by one eviction.
const secondChances = 64

// evict drops what was not used since it was last looked at, the oldest first.
func (s *Store) evict() bool {
	for range secondChances {
		at := s.order.Back()
		if at == nil || !at.Value.(*Entry).used {
			break
		}
		at.Value.(*Entry).used = false
		s.order.MoveToFront(at)
	}
	at := s.order.Back()
	if at == nil {
		return false
	}
	s.stats.Evicted++
	s.remove(at.Value.(*Entry))
	return true
}

// enter adds an entry to the index.
func (s *Store) enter(e *Entry) {
	s.entries[e.Key] = append(s.entries[e.Key], e)
	s.index.Add(e, e.Path, e.Tags)
	e.at = s.order.PushFront(e)
	s.bytes += e.size
}

// remove takes an entry out of the index, and has its file removed. From here on
// no process finds it.
func (s *Store) remove(e *Entry) {
	e.gone, e.held = true, nil
	s.mark(e.slot, 0, time.Time{})
	list := slices.DeleteFunc(s.entries[e.Key], func(x *Entry) bool { return x == e })
	if s.entries[e.Key] = list; len(list) == 0 {
		delete(s.entries, e.Key)
	}
	s.index.Remove(e, e.Path, e.Tags)
	s.order.Remove(e.at)
	s.bytes -= e.size
	s.enqueue(job{unlink: true, slot: e.slot})
}

// mark says in the table what lives in a slot. Where that fails, the disk does:
// nothing is taken in any more.
func (s *Store) mark(slot uint32, seq uint64, soft time.Time) {
	if !s.table.set(slot, seq, soft) && !s.disabled {
		s.disabled = true
		s.stats.Fails++
		s.enqueue(job{forget: true})
		s.deps.Log.Error("the table of the cache on disk cannot be written: nothing is put there any more, and the next start forgets what is there")
	}
}

func (s *Store) enqueue(j job) {
	s.jobs = append(s.jobs, j)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
