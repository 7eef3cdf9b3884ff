package disk

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"meridian/edge/cache/index"
)

// A Config is what an operator may say of a store.
type Config struct {
	Dir   string // its own; nothing else may be in it
	Bytes int64  // of files at most
	Queue int64  // bytes in memory that wait to be written; 0 means 16 MiB
	Node  string // whose it is: what another node wrote is not read

	Boot string // names the start of the machine; "" means that the machine says so

	// Unchecked does not look at checksums. It is the negative control of what
	// they are for, and of no other use.
	Unchecked bool
}

// Deps is what the program provides. Label must be given.
type Deps struct {
	// Label reads what an entry is found by from its head.
	Label func(head []byte) (Label, error)
	Log   *slog.Logger
}

// A Label is what an entry is found by.
type Label struct {
	Key     [16]byte // a hash that strangers cannot make collide
	Variant uint64   // tells the entries of one key apart: a newer one takes the place of an older
	Host    string
	Path    string
	Tags    []string
}

// An Entry is one response that is, or is about to be, on disk.
type Entry struct {
	Label

	// What follows is guarded by Store.mu.
	slot    uint32
	seq     uint64
	size    int64 // on disk
	soft    time.Time
	held    any  // what was offered, until it is written
	gone    bool // dropped: what is done for it is in vain
	news    int  // heads that wait to take the place of the one on disk
	used    bool
	written bool // what the table says of it holds
	at      *list.Element
}

// A Store is a folder of responses. Its methods may be called by many
// goroutines at once; none but Open, Close, Read and a Body's waits for the disk.
type Store struct {
	cfg   Config
	deps  Deps
	table *table
	stop  context.CancelFunc
	ctx   context.Context
	work  sync.WaitGroup
	wake  chan struct{} // holds one nudge for the worker

	mu       sync.Mutex // guards what follows; nothing is waited for under it
	entries  map[[16]byte][]*Entry
	index    *index.Index[*Entry]
	order    list.List // of *Entry: the newest, and what was used, first
	bytes    int64
	free     []uint32
	next     uint64 // number of the next entry
	jobs     []job
	queued   int64 // bytes of what jobs hold
	sinks    int
	during   *during // while what is there is being read
	disabled bool    // the disk failed: nothing is written any more
	stats    Stats
}

// during is what was done while the folder was being read, and is done to what
// is found there.
type during struct {
	superseded map[kind]bool
	purges     []Purge
}

// A kind is what only one entry is of.
type kind struct {
	key     [16]byte
	variant uint64
}

// Stats counts what became of responses.
type Stats struct {
	Entries, Bytes                            int64
	Written, Evicted, Skipped, Damaged, Fails uint64
}

// slotBytes is how many bytes of a store there are for one slot: a store of
// small responses is bounded by their number, since each takes memory.
const (
	slotBytes = 16 << 10
	minSlots  = 1 << 10
	maxSlots  = 1 << 20
	fileBlock = 4 << 10 // file systems give room in these
)

// Open opens the folder, and makes it if it is not there. What it finds is read
// in the background; nothing is taken in before that is done.
func Open(cfg Config, deps Deps) (*Store, error) {
	if cfg.Queue == 0 {
		cfg.Queue = 16 << 20
	}
	if cfg.Boot == "" {
		cfg.Boot = machineBoot()
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache on disk: %w", err)
	}
	t, fresh, err := openTable(filepath.Join(cfg.Dir, tableName), cfg.Node, cfg.Boot, int(min(max(cfg.Bytes/slotBytes, minSlots), maxSlots)))
	if err != nil {
		return nil, fmt.Errorf("cache on disk: %s: %w", cfg.Dir, err)
	}
	deps.Log.Info("cache on disk", "folder", cfg.Dir, "bytes", cfg.Bytes, "empty_since", fresh)
	s := &Store{
		cfg: cfg, deps: deps, table: t, wake: make(chan struct{}, 1),
		entries: map[[16]byte][]*Entry{}, index: index.New[*Entry](), during: &during{superseded: map[kind]bool{}},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() {
		s.load()
		s.run()
	})
	return s, nil
}

const tableName = "table"

// Close ends the writing. What waits to be written is given up.
func (s *Store) Close() error {
	s.stop()
	s.work.Wait()
	return s.table.close(!s.disabled)
}

// Discard forgets what a folder holds, if there is one. A cache that runs
// without it hears of purges that the folder does not.
func Discard(dir string) error {
	err := os.Remove(filepath.Join(dir, tableName)) // this is enough, whatever becomes of the rest
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// Stats returns what the store counted.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Entries, st.Bytes = int64(s.order.Len()), s.bytes
	return st
}

// Loading reports whether what was there is still being read.
func (s *Store) Loading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.during != nil
}

// Pending reports whether something waits to be written.
func (s *Store) Pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.during != nil || len(s.jobs) > 0 || s.queued > 0 || s.sinks > 0
}

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

// path is where the file of a slot is.
func (s *Store) path(slot uint32) string {
	return filepath.Join(s.cfg.Dir, fmt.Sprintf("%02x", slot&0xff), fmt.Sprintf("%08x", slot))
}

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

// Drop drops an entry.
func (s *Store) Drop(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.gone {
		s.remove(e)
	}
}
