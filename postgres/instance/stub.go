package instance

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian"
)

// dropStubs removes WAL files of timelines that do not reach to where their
// timeline begins. A standby streams a new timeline from the start of the file
// in which it forks: cut off before the fork, the file holds only what that of
// the timeline before holds too. PostgreSQL reads the newest timeline's file,
// finds its end, asks for what comes next, sees that it lies on an older
// timeline, and ends: "according to history file, WAL location ... belongs to
// timeline 1, but previous recovered WAL file came from timeline 2". It would at
// each start. Without the file it reads the older one, and streams the rest.
func (in *Instance) dropStubs(ctx context.Context, c controlFile) error {
	newest := in.newestFrom(c.newest())
	h, err := in.historyOf(newest)
	if err != nil {
		return err
	}
	seen := map[uint64]bool{} // segments whose file is whole
	for i := len(h) - 1; i >= 0 && h[i].End > c.Redo; i-- {
		fork, tl := h[i].End, newest
		if i < len(h)-1 {
			tl = h[i+1].Timeline
		}
		if n := uint64(fork) / c.Segment; !seen[n] {
			whole, err := in.dropStub(ctx, tl, fork, c.Segment)
			if err != nil {
				return err
			}
			seen[n] = whole
		}
	}
	return nil
}

// newestFrom returns the timeline that PostgreSQL recovers to from one: the last
// of an unbroken row of history files.
func (in *Instance) newestFrom(timeline uint32) uint32 {
	for {
		if _, err := os.Stat(filepath.Join(in.data(), "pg_wal", historyFile(timeline+1))); err != nil {
			return timeline
		}
		timeline++
	}
}

// dropStub removes the file in which a timeline begins, if it has no record
// there. It reports whether the file is there and has one.
func (in *Instance) dropStub(ctx context.Context, timeline uint32, fork meridian.LSN, segment uint64) (whole bool, err error) {
	wal := filepath.Join(in.data(), "pg_wal")
	file := segmentFile(timeline, fork, segment)
	if _, err := os.Stat(filepath.Join(wal, file)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	said, err := in.output(ctx, "pg_waldump", append([]string{"--limit", "1"}, waldumpArgs(wal, timeline, segment, fork, 0)...)...)
	switch {
	case err == nil && strings.Contains(said, "rmgr: "):
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err == nil || !strings.Contains(err.Error(), "could not find a valid record"):
		return false, err // nobody knows
	}
	in.log.Warn("a timeline's log that was cut off before the timeline begins is removed: it is streamed anew",
		"timeline", timeline, "begins", fork.String(), "file", file)
	if err := os.Remove(filepath.Join(wal, file)); err != nil {
		return false, err
	}
	return false, syncDir(wal)
}
