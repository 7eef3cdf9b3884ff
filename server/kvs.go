package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/internal/kv"
	"meridian/store"
)

// kvsPrefix is where the store holds what was changed in key-value stores:
// + name + "/" + key: a pairRecord.
const kvsPrefix = "kvs/"

// A pairRecord is a key's value, over what the file of its store says.
type pairRecord struct {
	Value   string    `json:"value"`
	Deleted bool      `json:"deleted,omitempty"`
	Updated time.Time `json:"updated"`
}

// ofFile is the ETag of a value that nobody changed since the file, and none
// that of a key that is not there.
const (
	ofFile = "file"
	none   = "none"
)

// A pairLedger is what kvs needs of a store.Store.
type pairLedger interface {
	View() interface {
		entry
		entries
	}
	Watch() <-chan struct{}
	CompareAndSwap(ctx context.Context, key string, rev int64, value []byte) (bool, error)
}

// kvs are the key-value stores: what their files say, and what the store says of
// each key over it. Functions read snapshots of it, in memory.
type kvs struct {
	store pairLedger
	log   *slog.Logger
	now   func() time.Time

	files atomic.Pointer[map[string]*kv.Snapshot]
	mu    sync.Mutex // held while seen is made anew
	seen  atomic.Pointer[map[string]seenStore]
}

// A seenStore is a snapshot, and of what it was made.
type seenStore struct {
	mark string
	base *kv.Snapshot
	*kv.Snapshot
}

// storeRules are the keys of the file of which stores take new values.
var storeRules = []string{"keyValueStores"}

// newKVS reads the files of the stores.
func newKVS(f *config.File, s pairLedger, log *slog.Logger) (*kvs, error) {
	k := &kvs{store: s, log: log, now: time.Now}
	swap, err := k.prepare(f)
	if err != nil {
		return nil, err
	}
	swap()
	return k, nil
}

// prepare reads the stores of a file, and returns what puts them in the place of
// those that are. What was changed in a store lies over its new file as it lay
// over the old.
func (k *kvs) prepare(f *config.File) (swap func(), err error) {
	files, err := storeFiles(f)
	if err != nil {
		return nil, err
	}
	return func() { k.files.Store(&files); k.refresh() }, nil
}

func storeFiles(f *config.File) (map[string]*kv.Snapshot, error) {
	files := map[string]*kv.Snapshot{}
	for name, c := range f.KeyValueStores {
		values, at := map[string]string{}, time.Time{}
		if c.File != "" {
			b, err := os.ReadFile(c.File)
			if err == nil {
				values, err = kv.Parse(b)
			}
			if err != nil {
				return nil, fmt.Errorf("key-value store %s: %w", name, err)
			}
			if info, err := os.Stat(c.File); err == nil {
				at = info.ModTime()
			}
		}
		base, err := kv.New(name, at, at, values)
		if err != nil {
			return nil, fmt.Errorf("key-value store %s: %w", name, err)
		}
		files[name] = base
	}
	return files, nil
}

// Snapshot returns what a store holds, as this node knows it; nil if there is none.
func (k *kvs) Snapshot(name string) *kv.Snapshot { return (*k.seen.Load())[name].Snapshot }

// run keeps the snapshots new, until ctx is over.
func (k *kvs) run(ctx context.Context, ready func()) error {
	ready()
	follow(ctx, k.store, 0, k.refresh)
	return nil
}

// refresh makes new snapshots of the stores that changed.
func (k *kvs) refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := map[string]seenStore{}
	if p := k.seen.Load(); p != nil {
		was = *p
	}
	now := map[string]seenStore{}
	for name, base := range *k.files.Load() {
		es := k.store.View().Prefix(kvsPrefix + name + "/")
		s := seenStore{stateOf(es), base, was[name].Snapshot}
		if s.mark != was[name].mark || s.base != was[name].base {
			s.Snapshot = k.layered(base, es)
		}
		now[name] = s
	}
	k.seen.Store(&now)
}

// stateOf tells two states of a store apart: each change has a newer revision.
func stateOf(es []store.Entry) string {
	newest := int64(0)
	for _, e := range es {
		newest = max(newest, e.Rev)
	}
	return fmt.Sprint(len(es), "@", newest)
}

// layered puts what was changed over what the file says. An entry that cannot be
// read, or with which the store would be too large, is left out and said.
func (k *kvs) layered(base *kv.Snapshot, es []store.Entry) *kv.Snapshot {
	values, gone, newest := map[string]string{}, []string(nil), base.Updated
	prefix := kvsPrefix + base.Name + "/"
	for _, e := range es {
		var r pairRecord
		if err := json.Unmarshal(e.Value, &r); err != nil {
			k.log.Error("entry of the store cannot be read, left out", "key", e.Key, "why", err.Error())
			continue
		}
		if key := strings.TrimPrefix(e.Key, prefix); r.Deleted {
			gone = append(gone, key)
		} else {
			values[key] = r.Value
		}
		if r.Updated.After(newest) {
			newest = r.Updated
		}
	}
	s, err := base.With(values, gone, newest)
	if err != nil {
		k.log.Error("a key-value store would not hold what was put into it: it stays as its file says", "store", base.Name, "why", err.Error())
		return base
	}
	return s
}

// base returns a store by its name.
func (k *kvs) base(name string) (*kv.Snapshot, error) {
	base := (*k.files.Load())[name]
	if base == nil {
		return nil, meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no key-value store %q; keyValueStores: in the file names them", name))
	}
	return base, nil
}

// Pairs implements admin.Stores.
func (k *kvs) Pairs(name string) ([]client.Pair, error) {
	base, err := k.base(name)
	if err != nil {
		return nil, err
	}
	prefix := kvsPrefix + name + "/"
	changed := map[string]client.Pair{}
	es := k.store.View().Prefix(prefix)
	for _, e := range es {
		var r pairRecord
		if json.Unmarshal(e.Value, &r) == nil {
			changed[strings.TrimPrefix(e.Key, prefix)] = client.Pair{ETag: strconv.FormatInt(e.Rev, 10), Updated: r.Updated}
		}
	}
	now := k.layered(base, es)
	var out []client.Pair
	for _, key := range now.Keys() {
		p, ok := changed[key]
		if !ok {
			p = client.Pair{ETag: ofFile, Updated: base.Updated}
		}
		p.Key = key
		p.Value, _ = now.Get(key)
		out = append(out, p)
	}
	return out, nil
}

// Put implements admin.Stores.
func (k *kvs) Put(ctx context.Context, name string, p client.Pair) (client.Pair, error) {
	base, err := k.base(name)
	if err != nil {
		return p, err
	}
	if err := kv.Check(p.Key, p.Value); err != nil {
		return p, meridian.WithKind(meridian.Invalid, fmt.Errorf("put into %s: %w", name, err))
	}
	at := k.now().UTC()
	if _, err := k.layered(base, k.store.View().Prefix(kvsPrefix+name+"/")).With(map[string]string{p.Key: p.Value}, nil, at); err != nil {
		return p, meridian.WithKind(meridian.Invalid, fmt.Errorf("put into %s: %w", name, err))
	}
	rev, err := k.change(ctx, base, p, pairRecord{Value: p.Value, Updated: at})
	return client.Pair{Key: p.Key, Value: p.Value, ETag: strconv.FormatInt(rev, 10), Updated: at}, err
}

// Delete implements admin.Stores. That the key was there in the file is
// remembered.
func (k *kvs) Delete(ctx context.Context, name string, p client.Pair) error {
	base, err := k.base(name)
	if err != nil {
		return err
	}
	if _, ok := k.layered(base, k.store.View().Prefix(kvsPrefix+name+"/")).Get(p.Key); !ok {
		return meridian.WithKind(meridian.NotFound, fmt.Errorf("%s has no key %q", name, p.Key))
	}
	_, err = k.change(ctx, base, p, pairRecord{Deleted: true, Updated: k.now().UTC()})
	return err
}

// pairTries bounds how often a key is written that others change, where the
// caller does not mind.
const pairTries = 8

// change writes a key's record, if the key still has the ETag that is asked for.
func (k *kvs) change(ctx context.Context, base *kv.Snapshot, p client.Pair, r pairRecord) (int64, error) {
	key := kvsPrefix + base.Name + "/" + p.Key
	for range pairTries {
		e, was := k.store.View().Get(key)
		if p.ETag != "" && p.ETag != etagOf(base, p.Key, e, was) {
			return 0, meridian.WithKind(meridian.Invalid, fmt.Errorf("%s: the key %q has the etag %s, and not %s", base.Name, p.Key, etagOf(base, p.Key, e, was), p.ETag))
		}
		watch := k.store.Watch()
		ok, err := k.store.CompareAndSwap(ctx, key, e.Rev, mustJSON(r))
		if err != nil {
			return 0, fmt.Errorf("change %q of %s: %w", p.Key, base.Name, err)
		}
		if now, there := k.store.View().Get(key); ok && there && now.Rev > e.Rev {
			return now.Rev, nil
		} else if ok {
			return e.Rev, nil // it is there; this node sees it with the next view
		}
		select { // another was faster
		case <-watch:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return 0, meridian.WithKind(meridian.Unavailable, errors.New("the key kept changing"))
}

func etagOf(base *kv.Snapshot, key string, e store.Entry, was bool) string {
	var r pairRecord
	if was && json.Unmarshal(e.Value, &r) == nil {
		if r.Deleted {
			return none
		}
		return strconv.FormatInt(e.Rev, 10)
	}
	if _, ok := base.Get(key); ok {
		return ofFile
	}
	return none
}
