package limit

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ways   = 8  // clients that share a set
	shards = 64 // locks
)

// A Table remembers clients, in memory that is fixed. Make one with NewTable.
type Table struct {
	sets      [][ways]slot
	shards    [shards]shard
	edges     func() int // that share the limits, this one among them
	forgotten atomic.Int64
}

// A shard is the lock of some sets, and what of them is to be told.
type shard struct {
	mu     sync.Mutex // guards the sets, and what follows
	untold []Use
	_      [64]byte // shards are not to share a cache line
}

// A slot is one client.
type slot struct {
	key  Key
	full int64 // Unix nanoseconds; 0 is nobody
	held int32 // requests that were let in and not told
}

// NewTable returns a table of that many clients at least. edges says how many
// edges share the limits now; nil: this one alone.
func NewTable(clients int, edges func() int) *Table {
	n := shards
	for n*ways < clients {
		n *= 2
	}
	return &Table{sets: make([][ways]slot, n), edges: edges}
}

func (t *Table) set(k Key) (*[ways]slot, *shard) {
	i := binary.BigEndian.Uint64(k[:]) & uint64(len(t.sets)-1)
	return &t.sets[i], &t.shards[i%shards]
}

// find returns the slot of a key, or the one to be given to it: of all in its
// set the one that is full soonest, whose loss gives away least.
func (t *Table) find(set *[ways]slot, k Key, now int64) *slot {
	least := &set[0]
	for i := range set {
		s := &set[i]
		if s.key == k {
			return s
		}
		if s.full < least.full {
			least = s
		}
	}
	if least.full > now {
		t.forgotten.Add(1)
	}
	*least = slot{key: k}
	return least
}

// Allow counts one request of a client, if it may pass.
func (t *Table) Allow(l *Limit, k Key, now time.Time) Verdict {
	set, sh := t.set(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := t.find(set, k, now.UnixNano())
	full, v := l.judge(time.Unix(0, s.full), now)
	s.full = full.UnixNano()
	if v.Passes {
		s.held++
		t.tell(sh, s, l)
	}
	return v
}

// maxUntold bounds what a shard keeps to be told; more is not told.
const maxUntold = 256

// tell notes what is worth telling: what the others would let in beside it
// together stays below half a burst, and who comes once is nobody's business.
func (t *Table) tell(sh *shard, s *slot, l *Limit) {
	edges := 1
	if t.edges != nil {
		edges = t.edges()
	}
	if edges < 2 || int(s.held) < max(1, l.burst()/(2*edges)) || len(sh.untold) == maxUntold {
		return
	}
	sh.untold = append(sh.untold, Use{Key: s.key, Requests: s.held, Interval: l.interval()})
	s.held = 0
}

// Take returns what this edge let in since it was asked last, for the others.
func (t *Table) Take() (out []Use) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		out = append(out, sh.untold...)
		sh.untold = sh.untold[:0]
		sh.mu.Unlock()
	}
	return out
}

// Hear counts what another edge let in.
func (t *Table) Hear(uses []Use, now time.Time) {
	for _, u := range uses {
		set, sh := t.set(u.Key)
		sh.mu.Lock()
		s := t.find(set, u.Key, now.UnixNano())
		s.full = max(s.full, now.UnixNano()) + int64(u.Requests)*int64(u.Interval)
		sh.mu.Unlock()
	}
}

// Forgotten counts clients that were forgotten before their buckets were full,
// for want of room.
func (t *Table) Forgotten() int64 { return t.forgotten.Load() }
