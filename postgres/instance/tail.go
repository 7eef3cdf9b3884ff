package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meridian"
)

// end returns the timeline that the data is on and where its log ends. Unless
// it was shut down cleanly, only the log itself tells.
func (in *Instance) end(ctx context.Context, c controlFile) (end meridian.LSN, err error) {
	if c.State == "shut down" {
		return in.checkpointEnd(in.data(), c)
	}
	start := c.Checkpoint
	if c.newest() != c.Timeline { // promoted, and no checkpoint since
		own, err := in.historyOf(c.newest())
		if err != nil {
			return 0, err
		}
		start = own.fork()
	}
	end = start
	err = in.dump(ctx, filepath.Join(in.data(), "pg_wal"), c.newest(), c.Segment, start, 0, func(r record) error {
		end = recordEnd(r.LSN, r.Length, c.Segment)
		return nil
	})
	if err == nil && end == start {
		err = fmt.Errorf("no record of timeline %d can be read at %s", c.newest(), start)
	}
	return end, err
}

// A Span is a piece of one timeline.
type Span struct {
	Timeline uint32       `json:"timeline"`
	From     meridian.LSN `json:"from"`
	To       meridian.LSN `json:"to"`
}

// A Tail is log that the primary's history does not have, kept because its
// transactions may have been acknowledged.
type Tail struct {
	Dir     string    `json:"-"` // where its files are
	System  uint64    `json:"system"`
	Spans   []Span    `json:"spans"` // never empty; the first begins where the histories part
	Segment uint64    `json:"segment"`
	Kept    time.Time `json:"kept"`
}

// apart returns what history ours has that theirs has not; each ends with the
// timeline that it is on now.
func apart(ours, theirs history) (spans []Span) {
	from, shared := meridian.LSN(0), true
	for i, t := range ours {
		if shared = shared && i < len(theirs) && theirs[i].Timeline == t.Timeline; shared {
			from = min(t.End, theirs[i].End)
			shared = t.End == theirs[i].End
		}
		if t.End > from {
			spans = append(spans, Span{t.Timeline, from, t.End})
		}
		from = t.End
	}
	return spans
}

// forever ends the timeline that a primary is on.
const forever = meridian.LSN(math.MaxUint64)

// keepTail copies the log of spans to a folder beside the data, before a
// rewind removes it. It is there whole or not at all; one that is there stays.
func (in *Instance) keepTail(c controlFile, spans []Span) (dir string, err error) {
	dir = filepath.Join(in.tails(), fmt.Sprintf("%d-%X", spans[0].Timeline, uint64(spans[0].From)))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	for _, d := range []string{in.tails(), tmp} {
		if err := in.run.folder(d); err != nil {
			return "", err
		}
	}
	for _, name := range tailFiles(spans, c.Segment) {
		err := in.copyFile(filepath.Join(in.data(), "pg_wal", name.file), filepath.Join(tmp, name.file))
		if err != nil && !(name.optional && errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("keep the log that the primary lacks: %w", err)
		}
	}
	about, err := json.MarshalIndent(Tail{System: c.System, Spans: spans, Segment: c.Segment, Kept: time.Now().UTC()}, "", "\t")
	if err != nil {
		return "", err
	}
	if err := in.run.write(filepath.Join(tmp, manifest), string(about)+"\n"); err != nil {
		return "", err
	}
	if err := syncDir(tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", err
	}
	return dir, syncDir(in.tails())
}

func (in *Instance) tails() string { return filepath.Join(in.cfg.Dir, "lost") }

// manifest is the file that makes a folder a Tail.
const manifest = "tail.json"

type tailFile struct {
	file     string
	optional bool
}

// tailFiles names the WAL files that hold spans, and the one before: the
// handle of a transaction stands before its commit.
func tailFiles(spans []Span, segment uint64) (files []tailFile) {
	for _, s := range spans {
		first := uint64(s.From) / segment
		if first > 0 {
			files = append(files, tailFile{segmentFile(s.Timeline, meridian.LSN((first-1)*segment), segment), true})
		}
		for n := first; n <= (uint64(s.To)-1)/segment; n++ {
			files = append(files, tailFile{segmentFile(s.Timeline, meridian.LSN(n*segment), segment), false})
		}
	}
	return files
}

func (in *Instance) copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	return in.run.own(to)
}

// Tails lists what was kept, oldest first.
func (in *Instance) Tails() ([]Tail, error) { return Tails(in.cfg.Dir) }

// Tails lists what was kept in a state folder, oldest first.
func Tails(state string) (tails []Tail, err error) {
	names, err := filepath.Glob(filepath.Join(state, "lost", "*", manifest))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if filepath.Ext(filepath.Dir(name)) == ".tmp" {
			continue
		}
		t, err := readTail(filepath.Dir(name))
		if err != nil {
			return nil, err
		}
		tails = append(tails, t)
	}
	slices.SortFunc(tails, func(a, b Tail) int { return a.Kept.Compare(b.Kept) })
	return tails, nil
}

func readTail(dir string) (t Tail, err error) {
	content, err := os.ReadFile(filepath.Join(dir, manifest))
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(content, &t); err != nil {
		return t, fmt.Errorf("%s: %w", filepath.Join(dir, manifest), err)
	}
	if len(t.Spans) == 0 || t.Segment < walPage || t.Segment&(t.Segment-1) != 0 {
		return t, fmt.Errorf("%s: no span, or segments of %d bytes", filepath.Join(dir, manifest), t.Segment)
	}
	t.Dir = dir
	return t, nil
}
