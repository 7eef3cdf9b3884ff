package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"meridian"
)

// takeIfDue makes a base backup if this region is the primary and one is due,
// and removes those that nobody needs any more.
func (k *Keeper) takeIfDue(ctx context.Context) error {
	if !k.deps.Primary() {
		return nil
	}
	end, _, err := k.from.KeepLog(ctx)
	if err != nil {
		return err
	}
	backups, err := Backups(ctx, k.deps.Place, end.System)
	if err != nil {
		return err
	}
	newest := newestOf(backups)
	files, turns, err := logOf(ctx, k.deps.Place, end.System)
	if err != nil {
		return err
	}
	k.mu.Lock()
	if newest != nil {
		k.state.Newest = newest.Ended
	}
	gap := k.gap || newest != nil && gapAfter(*newest, files, turns)
	k.mu.Unlock()
	if now, why := due(newest, gap, k.cfg.Every, time.Now()); now {
		k.log.Info("base backup begins", "why", why)
		_, err = k.Take(ctx)
	}
	return err
}

func newestOf(backups []Backup) *Backup {
	var newest *Backup
	for i, b := range backups {
		if newest == nil || b.Ended.After(newest.Ended) {
			newest = &backups[i]
		}
	}
	return newest
}

// Take makes a base backup now, and removes those beyond the number to keep.
// It waits for one that is being made.
func (k *Keeper) Take(ctx context.Context) (Backup, error) {
	k.base.Lock()
	defer k.base.Unlock()
	k.taking.Store(true)
	defer k.taking.Store(false)
	end, _, err := k.from.KeepLog(ctx)
	if err != nil {
		return Backup{}, err
	}
	b := Backup{
		System: end.System, Segment: end.Segment, Database: k.deps.Database, Region: string(k.deps.Region), Major: k.deps.Major,
		Began: time.Now().UTC(),
	}
	b.Name = b.Began.Format("20060102T150405.000Z")
	if err := k.copyBase(ctx, &b); err != nil {
		return b, fmt.Errorf("base backup: %w", err)
	}
	b.Ended = time.Now().UTC()
	note, err := json.Marshal(b)
	if err != nil {
		return b, err
	}
	if err := k.deps.Place.Put(ctx, k.objectOf(b, "backup.json"), bytes.NewReader(note)); err != nil {
		return b, fmt.Errorf("base backup: %w", err)
	}
	k.mu.Lock()
	k.state.Newest, k.gap = b.Ended, false
	k.mu.Unlock()
	k.stats.backups.Inc()
	k.log.Info("base backup made", "name", b.Name, "bytes", b.Bytes, "took", b.Ended.Sub(b.Began))
	return b, k.expire(ctx, b.System)
}

func (k *Keeper) objectOf(b Backup, name string) string {
	return basePrefix(b.System) + b.Name + "/" + name
}

// copyBase streams the backup into the place, without a copy on this disk, and
// reads on the way what it is.
func (k *Keeper) copyBase(ctx context.Context, b *Backup) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stored, packed := io.Pipe()
	looked, tee := io.Pipe()
	var size atomic.Int64
	put, look := make(chan error, 1), make(chan error, 1)
	go func() { // awaited below
		err := k.deps.Place.Put(ctx, k.objectOf(*b, "base.tar.zst"), counted{stored, &size})
		stored.CloseWithError(errors.Join(err, errors.New("the backup's place takes no more")))
		put <- err
	}()
	go func() { // awaited below
		err := readWhat(looked, b)
		if err == nil {
			_, err = io.Copy(io.Discard, looked) // the end of the tar's padding
		}
		looked.CloseWithError(err)
		look <- err
	}()
	err := k.pack(ctx, packed, tee)
	packed.CloseWithError(err)
	tee.CloseWithError(err)
	putErr, lookErr := <-put, <-look
	b.Bytes = size.Load()
	if putErr != nil && !errors.Is(putErr, err) {
		return putErr
	}
	return errors.Join(err, lookErr)
}

func (k *Keeper) pack(ctx context.Context, packed, tee io.Writer) error {
	enc, err := zstd.NewWriter(packed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := k.from.BaseBackup(ctx, io.MultiWriter(enc, tee)); err != nil {
		enc.Close()
		return err
	}
	return enc.Close()
}

// readWhat reads from a base backup's tar which log it needs: its manifest,
// which comes last, says so.
func readWhat(r io.Reader, b *Backup) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return errors.New("the base backup has no manifest")
		}
		if err != nil {
			return err
		}
		if strings.TrimPrefix(h.Name, "./") == "backup_manifest" {
			return readManifest(t, b)
		}
	}
}

func readManifest(r io.Reader, b *Backup) error {
	var m struct {
		Ranges []struct {
			Timeline uint32 `json:"Timeline"`
			Start    string `json:"Start-LSN"`
			End      string `json:"End-LSN"`
		} `json:"WAL-Ranges"`
	}
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return fmt.Errorf("the base backup's manifest: %w", err)
	}
	if len(m.Ranges) == 0 {
		return errors.New("the base backup's manifest names no log")
	}
	for _, x := range m.Ranges {
		start, err1 := meridian.ParseLSN(x.Start)
		end, err2 := meridian.ParseLSN(x.End)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("the base backup's manifest: %w", err)
		}
		if b.Start == 0 || start < b.Start {
			b.Start = start
		}
		if end > b.End {
			b.End, b.Timeline = end, x.Timeline
		}
	}
	return nil
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// expire removes base backups beyond the number to keep, and log that is older
// than what remains. A backup's note goes
// first: what is half removed is no backup.
func (k *Keeper) expire(ctx context.Context, system uint64) error {
	backups, err := Backups(ctx, k.deps.Place, system)
	if err != nil {
		return err
	}
	old, from := expired(backups, k.cfg.Keep)
	for _, b := range old {
		k.log.Info("base backup expired", "name", b.Name)
		for _, name := range []string{"backup.json", "base.tar.zst"} {
			if err := k.deps.Place.Delete(ctx, k.objectOf(b, name)); err != nil {
				return err
			}
		}
	}
	if len(old) == 0 {
		return nil
	}
	objects, err := k.deps.Place.List(ctx, logPrefix(system))
	if err != nil {
		return err
	}
	for _, o := range objects {
		if needless(o.Key, from, backups[0].Segment) {
			if err := k.deps.Place.Delete(ctx, o.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
