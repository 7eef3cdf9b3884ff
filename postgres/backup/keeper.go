package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/postgres/instance"
)

const (
	tick          = time.Second      // between looks at the log
	partialPeriod = 10 * time.Second // between copies of the WAL file that is being written
	basePeriod    = time.Minute      // between looks at whether a base backup is due
	patience      = 10 * time.Minute // for sending one file
)

// Deps is what a Keeper is given.
type Deps struct {
	Place    Place
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Region   meridian.Region
	Database string
	Major    int // of PostgreSQL
	// Primary reports whether this region is the primary now: it alone makes
	// base backups, and copies the WAL file that is being written.
	Primary func() bool
}

// A Source is the PostgreSQL whose log is kept; *instance.Instance is one.
type Source interface {
	KeepLog(context.Context) (end instance.LogEnd, gap bool, err error)
	ReleaseLog(context.Context, meridian.LSN) error
	Finished(instance.LogEnd) ([]instance.LogFile, error)
	Unfinished(instance.LogEnd) (string, []byte, error)
	BaseBackup(context.Context, io.Writer) error
}

// A State is how a Keeper does.
type State struct {
	Archived time.Time `json:"archived,omitzero"` // all of the log that there was at this time is in the place
	Newest   time.Time `json:"newest,omitzero"`   // when the newest base backup ended
	Error    string    `json:"error,omitempty"`   // why the last try failed; "" if it did not
}

// A Keeper keeps one region's part of the backups.
type Keeper struct {
	cfg   Config
	deps  Deps
	from  Source
	log   *slog.Logger
	stats metrics

	base   sync.Mutex  // held while a base backup is made
	taking atomic.Bool // the same: the log since its beginning is still needed here

	sent    map[string]bool // files known to be in the place
	partial string          // the WAL file of which the place has a part
	at      instance.LogEnd // up to where that part goes
	copied  time.Time       // when it was made

	mu    sync.Mutex // guards what follows
	state State
	gap   bool // log was lost before it was sent
}

// New returns a keeper. It does nothing before Run.
func New(cfg Config, from Source, deps Deps) *Keeper {
	if cfg.Every == 0 {
		cfg.Every = 24 * time.Hour
	}
	if cfg.Keep == 0 {
		cfg.Keep = 7
	}
	k := &Keeper{cfg: cfg, deps: deps, from: from, sent: map[string]bool{}, log: deps.Log.With("hop", "postgres", "region", string(deps.Region))}
	k.stats = newMetrics(deps.Metrics, deps, k.State)
	return k
}

// State returns how it goes.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Run sends the log, and makes base backups when they are due, until ctx is
// over. A failure ends nothing: it is told, and tried again.
func (k *Keeper) Run(ctx context.Context, ready func()) error {
	ready()
	var wg sync.WaitGroup
	wg.Go(func() { k.every(ctx, basePeriod, "base backup", k.takeIfDue) })
	k.every(ctx, tick, "archive the log", k.send)
	wg.Wait()
	return nil
}

// every does something again and again, and tells each new reason why it cannot.
func (k *Keeper) every(ctx context.Context, period time.Duration, what string, do func(context.Context) error) {
	t := time.NewTicker(period)
	defer t.Stop()
	said := ""
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		why := k.note(what, err)
		if why != "" && why != said {
			k.log.Error("backup", "what", what, "err", err)
		} else if why == "" && said != "" {
			k.log.Info("backup goes on", "what", what)
		}
		said = why
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// note keeps what went wrong for State, until the same thing goes well.
func (k *Keeper) note(what string, err error) (why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		why = fmt.Sprintf("%s: %v", what, err)
		k.state.Error = why
		k.stats.failures.Inc()
	case strings.HasPrefix(k.state.Error, what+": "):
		k.state.Error = ""
	}
	return why
}

// send brings to the place what it lacks of the log.
func (k *Keeper) send(ctx context.Context) error {
	began := time.Now()
	end, gap, err := k.from.KeepLog(ctx)
	if gap {
		k.mu.Lock()
		k.gap = true
		k.mu.Unlock()
		k.log.Error("log was given up before the archive got it: a restore to a time in it is not possible; a new base backup follows")
	}
	if err != nil {
		return err
	}
	files, err := k.from.Finished(end)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := k.sendFile(ctx, end.System, f); err != nil {
			return err
		}
	}
	if begin := end.LSN - end.LSN%meridian.LSN(end.Segment); begin > end.Kept && !k.taking.Load() {
		if err := k.from.ReleaseLog(ctx, begin); err != nil {
			return err
		}
	}
	if k.deps.Primary() {
		if err := k.sendPart(ctx, end); err != nil {
			return err
		}
	}
	if end.Kept = 0; !k.deps.Primary() || k.at == end {
		k.mu.Lock()
		k.state.Archived = began
		k.mu.Unlock()
	}
	return nil
}

// sendFile sends one file of the log, unless the place has it.
func (k *Keeper) sendFile(ctx context.Context, system uint64, f instance.LogFile) error {
	if k.sent[f.Name] {
		return nil
	}
	content, err := readWhole(f.Path)
	if err != nil {
		return err
	}
	key := logKey{File: f.Name, Hash: hashOf(content)}
	there, err := k.deps.Place.List(ctx, logPrefix(system)+f.Name+".")
	if err != nil {
		return err
	}
	for _, other := range logKeys(there) {
		switch {
		case other == key:
			return k.done(ctx, system, f.Name)
		case !other.Partial:
			return meridian.WithKind(meridian.Invalid, fmt.Errorf("there is another %s already (%s, not %s): does a second world write to %s?", f.Name, other.Hash, key.Hash, k.cfg.To))
		}
	}
	if err := k.put(ctx, logPrefix(system)+key.String(), content); err != nil {
		return err
	}
	k.stats.files.Inc()
	return k.done(ctx, system, f.Name)
}

// done notes that the place has a file, and removes the part of it that was
// sent before.
func (k *Keeper) done(ctx context.Context, system uint64, name string) error {
	k.sent[name] = true
	if k.partial == name {
		return k.deps.Place.Delete(ctx, logPrefix(system)+logKey{File: name, Partial: true}.String())
	}
	return nil
}

// sendPart copies the WAL file that is being written, where something was.
func (k *Keeper) sendPart(ctx context.Context, end instance.LogEnd) error {
	end.Kept = 0
	if k.at == end || time.Since(k.copied) < partialPeriod {
		return nil
	}
	if uint64(end.LSN)%end.Segment == 0 {
		k.at = end // nothing of the next file is written
		return nil
	}
	name, content, err := k.from.Unfinished(end)
	if err != nil {
		return err
	}
	if err := k.put(ctx, logPrefix(end.System)+logKey{File: name, Partial: true}.String(), content); err != nil {
		return err
	}
	k.partial, k.at, k.copied = name, end, time.Now()
	return nil
}

// put sends a compressed content.
func (k *Keeper) put(ctx context.Context, key string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	return k.deps.Place.Put(ctx, key, bytes.NewReader(enc.EncodeAll(content, nil)))
}

// readWhole reads a file that PostgreSQL might rename to reuse it. It does not
// while the slot keeps it; this makes sure.
func readWhole(name string) ([]byte, error) {
	before, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	after, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, after) || before.Size() != int64(len(content)) {
		return nil, errors.New(name + " changed while it was read")
	}
	return content, nil
}
