package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"meridian"
	"meridian/internal/keyring"
)

// A Keeper is the control store.
type Keeper interface {
	Get(key string) (value []byte, rev int64, ok bool)
	Keys(prefix string) []string
	Watch() <-chan struct{}
	CompareAndSwap(ctx context.Context, key string, oldRev int64, value []byte) (bool, error)
	Delete(ctx context.Context, key string) error
	Sync(ctx context.Context) error
}

// Where the store has what certmagic keeps, and its locks.
const (
	prefix     = "acme/"
	lockPrefix = "acme-locks/"
)

// A Storage is certmagic's storage on the control store.
type Storage struct {
	keep  Keeper
	ring  func() (keyring.Ring, error)
	log   *slog.Logger
	locks locks
}

// NewStorage returns the storage that keep has, encrypted by ring. Owner names
// this node and its start in locks.
func NewStorage(keep Keeper, ring func() (keyring.Ring, error), owner string, log *slog.Logger) *Storage {
	return &Storage{keep: keep, ring: ring, log: log, locks: locks{keep: keep, owner: owner, held: map[string]*held{}, pause: lockPause, expiry: lockExpiry}}
}

// A stored is one value.
type stored struct {
	keyring.Sealed
	At time.Time `json:"at"`
}

// storeTries bounds how often a value is written that others write too.
const storeTries = 5

// Store implements certmagic.Storage.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	ring, err := s.ring()
	if err != nil {
		return err
	}
	sealed, err := ring.Seal(prefix+key, value)
	if err != nil {
		return err
	}
	text, err := json.Marshal(stored{sealed, time.Now().UTC()})
	if err != nil {
		return err
	}
	for range storeTries {
		_, rev, _ := s.keep.Get(prefix + key)
		if ok, err := s.keep.CompareAndSwap(ctx, prefix+key, rev, text); ok || err != nil {
			return err
		}
	}
	return meridian.WithKind(meridian.Unavailable, fmt.Errorf("store %s: it kept changing", key))
}

// Load implements certmagic.Storage.
func (s *Storage) Load(_ context.Context, key string) ([]byte, error) {
	v, err := s.read(key)
	if err != nil {
		return nil, err
	}
	ring, err := s.ring()
	if err != nil {
		return nil, err
	}
	return ring.Open(prefix+key, v.Sealed)
}

func (s *Storage) read(key string) (v stored, err error) {
	text, _, ok := s.keep.Get(prefix + key)
	if !ok {
		return v, fs.ErrNotExist
	}
	return v, json.Unmarshal(text, &v)
}

// Delete implements certmagic.Storage. A directory goes with all below it.
func (s *Storage) Delete(ctx context.Context, key string) error {
	var errs []error
	for _, k := range s.keep.Keys(prefix + key) {
		if k == prefix+key || strings.HasPrefix(k, prefix+key+"/") {
			errs = append(errs, s.keep.Delete(ctx, k))
		}
	}
	return errors.Join(errs...)
}

// Exists implements certmagic.Storage.
func (s *Storage) Exists(_ context.Context, key string) bool {
	if _, _, ok := s.keep.Get(prefix + key); ok {
		return true
	}
	return len(s.keep.Keys(prefix+key+"/")) > 0
}

// List implements certmagic.Storage.
func (s *Storage) List(_ context.Context, dir string, recursive bool) (keys []string, err error) {
	under := prefix
	if dir = strings.Trim(dir, "/"); dir != "" {
		under += dir + "/"
	}
	seen := map[string]bool{}
	for _, k := range s.keep.Keys(under) {
		rest := strings.TrimPrefix(k, under)
		if name, _, deep := strings.Cut(rest, "/"); deep && !recursive {
			rest = name
		}
		if full := strings.TrimPrefix(under, prefix) + rest; !seen[full] {
			seen[full] = true
			keys = append(keys, full)
		}
	}
	if len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// Stat implements certmagic.Storage.
func (s *Storage) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	v, err := s.read(key)
	if errors.Is(err, fs.ErrNotExist) && s.Exists(context.Background(), key) {
		return certmagic.KeyInfo{Key: key}, nil
	}
	return certmagic.KeyInfo{Key: key, Modified: v.At, Size: int64(len(v.Box)), IsTerminal: err == nil}, err
}

// Lock implements certmagic.Locker.
func (s *Storage) Lock(ctx context.Context, name string) error {
	if err := s.locks.lock(ctx, name); err != nil {
		return err
	}
	// Who had the lock before may have stored what this node has not seen yet.
	return s.keep.Sync(ctx)
}

// Unlock implements certmagic.Locker.
func (s *Storage) Unlock(ctx context.Context, name string) error { return s.locks.unlock(ctx, name) }

// reseal seals anew what is under an older key than the newest.
func (s *Storage) reseal(ctx context.Context) {
	ring, err := s.ring()
	if err != nil {
		return
	}
	for _, k := range s.keep.Keys(prefix) {
		key := strings.TrimPrefix(k, prefix)
		v, err := s.read(key)
		if err != nil || ring.Newest(v.Sealed) {
			continue
		}
		text, err := ring.Open(k, v.Sealed)
		if err == nil {
			err = s.Store(ctx, key, text)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("what ACME keeps stays under an old key", "key", key, "why", err.Error())
		}
	}
}

// once lets one caller in at a time, and not too often.
type once struct {
	mu   sync.Mutex // guards what follows
	last time.Time
}

// due reports whether enough time has gone by since it last did.
func (o *once) due(now time.Time, every time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.last) < every {
		return false
	}
	o.last = now
	return true
}
