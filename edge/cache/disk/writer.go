package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A job is something to do on the disk.
type job struct {
	forget bool // the table: it does not say any more what lives
	unlink bool
	slot   uint32

	entry *Entry
	head  func() []byte
	body  func(io.Writer) error // nil appends a head to the file that is there
	held  int64                 // bytes of memory until it is done
}

// An Item is a response that is to be written.
type Item struct {
	Label
	Soft     time.Time // when it was made stale; zero if it was not
	Held     any       // what Find returns until it is written
	HeadSize int64     // at most
	BodySize int64

	// Head and Body are called when its turn comes.
	Head func() []byte
	Body func(io.Writer) error
}

// Offer has a response written. It returns nil if there is no room, or too much
// waits already.
func (s *Store) Offer(i Item) *Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := i.HeadSize + i.BodySize
	if s.queued+held > s.cfg.Queue {
		s.stats.Skipped++
		return nil
	}
	e := s.insert(i.Label, length(i.BodySize)+i.HeadSize+footerSize)
	if e == nil {
		return nil
	}
	e.held, e.soft = i.Held, i.Soft
	s.queued += held
	s.enqueue(job{entry: e, head: i.Head, body: i.Body, held: held})
	return e
}

// Rehead has the head of an entry that is on disk replaced. The old one is not
// found any more by a later process. Until the new one is written, Find returns
// held.
func (s *Store) Rehead(e *Entry, held any, headSize int64, head func() []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.gone || s.disabled || !s.room(roundUp(headSize)) || e.gone {
		return false
	}
	s.mark(e.slot, 0, time.Time{})
	e.size += roundUp(headSize + footerSize)
	s.bytes += roundUp(headSize + footerSize)
	e.soft, e.news, e.held, e.written = time.Time{}, e.news+1, held, false
	s.queued += headSize
	s.enqueue(job{entry: e, head: head, held: headSize})
	return true
}

// run does what there is to do, until the store is closed.
func (s *Store) run() {
	for s.ctx.Err() == nil {
		j, ok := s.take()
		if !ok {
			select {
			case <-s.wake:
			case <-s.ctx.Done():
			}
			continue
		}
		s.do(j)
	}
}

func (s *Store) take() (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) == 0 {
		return j, false
	}
	j = s.jobs[0]
	s.jobs[0] = job{}
	if s.jobs = s.jobs[1:]; len(s.jobs) == 0 {
		s.jobs = nil
	}
	return j, true
}

func (s *Store) do(j job) {
	if j.forget {
		os.Remove(filepath.Join(s.cfg.Dir, tableName)) // where that fails as well, nothing helps
		return
	}
	if j.unlink {
		err := os.Remove(s.path(j.slot))
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil || errors.Is(err, fs.ErrNotExist) { // else the slot is lost: what is there may stay
			s.free = append(s.free, j.slot)
		}
		return
	}
	s.mu.Lock()
	e, gone := j.entry, j.entry.gone
	s.mu.Unlock()
	if !gone {
		s.wrote(j, s.write(e, j))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued -= j.held
}

// write writes an entry's file, or appends a head to it.
func (s *Store) write(e *Entry, j job) error {
	if j.body == nil {
		return s.appendHead(e, j.head())
	}
	return s.create(e, func(w io.Writer) error { return j.body(w) }, j.head)
}

// create writes a file beside its place, and puts it there.
func (s *Store) create(e *Entry, body func(io.Writer) error, head func() []byte) (err error) {
	tmp := filepath.Join(s.cfg.Dir, tmpPrefix+strconv.FormatUint(e.seq, 16))
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = s.place(tmp, e.slot)
		}
		if err != nil {
			os.Remove(tmp)
		}
	}()
	w := newBlockWriter(f)
	if err := body(w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	_, err = f.Write(seal(head(), footer{id: s.table.id, seq: e.seq, body: uint64(w.n)}))
	return err
}

const tmpPrefix = "new-"

// place moves a file to where a slot has it.
func (s *Store) place(tmp string, slot uint32) error {
	err := os.Rename(tmp, s.path(slot))
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(filepath.Dir(s.path(slot)), 0o700); err == nil {
			err = os.Rename(tmp, s.path(slot))
		}
	}
	return err
}

// appendHead gives a file another head, and a number with it.
func (s *Store) appendHead(e *Entry, head []byte) error {
	f, err := os.OpenFile(s.path(e.slot), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, ft, err := readHead(f, info.Size(), s.cfg.Unchecked)
	if err != nil {
		return err
	}
	s.mu.Lock()
	ft.seq, s.next = s.next, s.next+1
	s.mu.Unlock()
	if _, err := f.WriteAt(seal(head, ft), info.Size()); err != nil {
		return err
	}
	s.mu.Lock()
	e.seq = ft.seq
	s.mu.Unlock()
	return nil
}

// wrote publishes an entry that is written, or drops one that could not be.
func (s *Store) wrote(j job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := j.entry
	if j.body == nil {
		e.news--
	}
	switch {
	case e.gone:
	case err != nil:
		s.stats.Fails++
		s.remove(e)
		s.deps.Log.Warn("a response was not written to disk", "path", e.Path, "why", err.Error())
	default:
		s.stats.Written++
		if e.news == 0 {
			e.held, e.written = nil, true
			s.mark(e.slot, e.seq, e.soft)
		}
	}
}

// load reads what the folder holds, and removes what does not live.
func (s *Store) load() {
	begin, found := time.Now(), make([]bool, len(s.table.slots))
	s.sweep(func(slot uint32) { found[slot] = s.adopt(slot) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(found) - 1; i >= 0; i-- {
		if seq, _ := s.table.get(uint32(i)); seq >= s.next {
			s.next = seq + 1
		}
		if !found[i] {
			s.mark(uint32(i), 0, time.Time{})
			s.free = append(s.free, uint32(i))
		}
	}
	s.next = max(s.next, 1)
	s.during = nil
	s.room(0)
	s.deps.Log.Info("the cache on disk is read", "responses", s.order.Len(), "bytes", s.bytes, "took", time.Since(begin))
}

// sweep calls f for each slot that has a file, and removes what is none.
func (s *Store) sweep(f func(slot uint32)) {
	top, _ := os.ReadDir(s.cfg.Dir) // what cannot be read is not there
	for _, d := range top {
		if !d.IsDir() {
			if d.Name() != tableName && len(d.Name()) > len(tmpPrefix) && d.Name()[:len(tmpPrefix)] == tmpPrefix {
				os.Remove(filepath.Join(s.cfg.Dir, d.Name()))
			}
			continue
		}
		files, _ := os.ReadDir(filepath.Join(s.cfg.Dir, d.Name()))
		for _, file := range files {
			if s.ctx.Err() != nil {
				return
			}
			n, err := strconv.ParseUint(file.Name(), 16, 32)
			name := filepath.Join(s.cfg.Dir, d.Name(), file.Name())
			if err != nil || n >= uint64(len(s.table.slots)) || s.path(uint32(n)) != name {
				continue
			}
			f(uint32(n))
		}
	}
}

// adopt takes in the file of a slot, if it lives, and else removes it.
func (s *Store) adopt(slot uint32) bool {
	seq, soft := s.table.get(slot)
	var e *Entry
	if seq != 0 {
		e = s.entry(slot, seq)
	}
	s.mu.Lock()
	if e != nil {
		e.soft = soft
		if e = s.settle(e); e != nil {
			s.mu.Unlock()
			return true
		}
	}
	s.mu.Unlock()
	s.table.set(slot, 0, time.Time{})
	os.Remove(s.path(slot))
	return false
}

// entry reads an entry from its file; nil if that cannot be read.
func (s *Store) entry(slot uint32, seq uint64) *Entry {
	head, body, err := s.open(slot, seq)
	if err == nil {
		var info os.FileInfo
		if info, err = body.file.Stat(); err == nil {
			var l Label
			if l, err = s.deps.Label(head); err == nil {
				body.Close()
				return &Entry{Label: l, slot: slot, seq: seq, size: roundUp(info.Size()), written: true}
			}
		}
		body.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Damaged++
	s.deps.Log.Warn("a response on disk cannot be read, and is dropped", "slot", slot, "why", err.Error())
	return nil
}

// settle takes in what was found, unless it was dropped meanwhile. With Store.mu
// held.
func (s *Store) settle(e *Entry) *Entry {
	if s.during.superseded[kind{e.Key, e.Variant}] {
		return nil
	}
	for _, old := range s.entries[e.Key] {
		if old.Variant == e.Variant {
			return nil
		}
	}
	for _, p := range s.during.purges {
		switch {
		case !p.Matches(e.Label):
		case p.Soft.IsZero():
			return nil
		case e.soft.IsZero():
			e.soft = p.Soft
			s.mark(e.slot, e.seq, e.soft)
		}
	}
	s.enter(e)
	return e
}
