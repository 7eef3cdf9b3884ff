package disk

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"meridian/edge/cache/index"
)

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

// path is where the file of a slot is.
func (s *Store) path(slot uint32) string {
	return filepath.Join(s.cfg.Dir, fmt.Sprintf("%02x", slot&0xff), fmt.Sprintf("%08x", slot))
}

// Drop drops an entry.
func (s *Store) Drop(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.gone {
		s.remove(e)
	}
}
