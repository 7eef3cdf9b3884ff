package disk

import (
	"fmt"
	"os"
	"time"
)

// A Found is an entry as it is now.
type Found struct {
	*Entry
	Soft time.Time // when it was made stale; zero if it was not
	Held any       // what was offered, if it is not written yet
}

// Find returns the entries of a key, the newest last, for use.
func (s *Store) Find(key [16]byte) (out []Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries[key] {
		out = append(out, Found{e, e.soft, e.held})
	}
	return out
}

// Used notes that an entry was of use: it stays longer.
func (s *Store) Used(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.used = true
}

// Lives reports whether an entry is still there.
func (s *Store) Lives(e *Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !e.gone
}

// Read returns an entry's head and its body. What is not what was put in is
// dropped, and an error.
func (s *Store) Read(e *Entry) (head []byte, body *Body, err error) {
	s.mu.Lock()
	slot, seq, gone := e.slot, e.seq, e.gone
	s.mu.Unlock()
	if gone {
		return nil, nil, os.ErrNotExist
	}
	head, body, err = s.open(slot, seq)
	if err != nil {
		s.broken(e, seq, err)
		return nil, nil, err
	}
	body.failed = func(err error) { s.broken(e, seq, err) }
	return head, body, nil
}

// ReadBody returns an entry's body alone, which is of size bytes.
func (s *Store) ReadBody(e *Entry, size int64) (*Body, error) {
	s.mu.Lock()
	slot, seq := e.slot, e.seq
	s.mu.Unlock()
	f, err := os.Open(s.path(slot))
	if !s.Lives(e) { // else nobody has put another file there meanwhile
		if err == nil {
			f.Close()
		}
		return nil, os.ErrNotExist
	}
	if err != nil {
		s.broken(e, seq, err)
		return nil, err
	}
	return &Body{Size: size, file: f, unchecked: s.cfg.Unchecked, begin: -1, failed: func(err error) { s.broken(e, seq, err) }}, nil
}

// open opens the file in a slot, if it is the one with a number.
func (s *Store) open(slot uint32, seq uint64) ([]byte, *Body, error) {
	f, err := os.Open(s.path(slot))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	var head []byte
	var ft footer
	if err == nil {
		head, ft, err = readHead(f, info.Size(), s.cfg.Unchecked)
	}
	if err == nil && (ft.id != s.table.id || ft.seq != seq) {
		err = fmt.Errorf("%w: it is another file", errDamaged)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return head, &Body{Size: int64(ft.body), file: f, unchecked: s.cfg.Unchecked, begin: -1, failed: func(error) {}}, nil
}

// broken drops an entry whose file cannot be read, unless it is another by now.
func (s *Store) broken(e *Entry, seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.gone || e.seq != seq || e.news > 0 {
		return
	}
	s.stats.Damaged++
	s.remove(e)
	s.deps.Log.Warn("a response on disk cannot be read, and is dropped", "path", e.Path, "why", err.Error())
}
