package disk

import (
	"errors"
	"io"
	"time"
)

// A Sink writes a body as it comes by, as long as the disk keeps up.
type Sink struct {
	s      *Store
	entry  *Entry
	blocks chan []byte
	end    chan error // nil: the body is whole
	dead   bool       // it was given up
}

// maxSinks bounds how many bodies are written as they come by, and sinkBehind
// how many pieces of each may wait.
const (
	maxSinks   = 16
	sinkBehind = 64
)

var errGivenUp = errors.New("given up")

// Create returns a sink for a body of size bytes, or nil. What is written is not
// found before Commit's admit said so.
func (s *Store) Create(l Label, headSize, size int64) *Sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	need := roundUp(length(size) + headSize + footerSize)
	if s.sinks >= maxSinks || s.during != nil || s.disabled || s.ctx.Err() != nil || need > s.cfg.Bytes/2 || !s.room(need) {
		s.stats.Skipped++
		return nil
	}
	e := &Entry{Label: l, size: need, slot: s.free[len(s.free)-1], seq: s.next}
	s.free, s.next = s.free[:len(s.free)-1], s.next+1
	s.bytes += need // it is not in the index yet
	s.sinks++
	return &Sink{s: s, entry: e, blocks: make(chan []byte, sinkBehind), end: make(chan error, 1)}
}

// Start begins the writing. head makes the head once the body is whole, and
// admit then puts the entry in its place by Publish, or does not.
func (k *Sink) Start(head func() []byte, admit func(publish func(soft time.Time) bool)) {
	s := k.s
	s.work.Go(func() {
		err := s.create(k.entry, k.pour, head)
		placed := false
		publish := func(soft time.Time) bool { placed = s.publish(k.entry, soft); return placed }
		if err == nil {
			admit(publish)
		} else {
			admit(nil)
		}
		k.done(err, placed)
	})
}

// done gives back what a body took that has no place.
func (k *Sink) done(err error, placed bool) {
	s := k.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sinks--
	if placed {
		return
	}
	s.bytes -= k.entry.size
	if err != nil && !errors.Is(err, errGivenUp) {
		s.stats.Fails++
	}
	s.enqueue(job{unlink: true, slot: k.entry.slot})
}

// pour writes what comes.
func (k *Sink) pour(w io.Writer) error {
	for {
		select {
		case b := <-k.blocks:
			if _, err := w.Write(b); err != nil {
				return err
			}
		case err := <-k.end:
			for err == nil {
				select {
				case b := <-k.blocks:
					_, err = w.Write(b)
				default:
					return nil
				}
			}
			return err
		case <-k.s.ctx.Done():
			return errGivenUp
		}
	}
}

// publish puts an entry into the index that was written.
func (s *Store) publish(e *Entry, soft time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || s.disabled {
		return false
	}
	for _, old := range s.entries[e.Key] {
		if old.Variant == e.Variant {
			s.remove(old)
			break
		}
	}
	s.bytes -= e.size // enter adds it
	e.soft, e.written = soft, true
	s.enter(e)
	s.mark(e.slot, e.seq, e.soft)
	s.stats.Written++
	return true
}

// Offer adds bytes, unless the disk is too far behind: then the sink is given up.
func (k *Sink) Offer(b []byte) {
	if k.dead || len(b) == 0 {
		return
	}
	select {
	case k.blocks <- append([]byte(nil), b...):
	default:
		k.GiveUp()
	}
}

// GiveUp ends a sink whose body did not become whole.
func (k *Sink) GiveUp() {
	if !k.dead {
		k.dead = true
		k.end <- errGivenUp
	}
}

// Finish says that the body is whole.
func (k *Sink) Finish() {
	if !k.dead {
		k.dead = true
		k.end <- nil
	}
}
