package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"meridian"
)

// A turn is where a history left a timeline for the next one.
type turn struct {
	Timeline uint32
	End      meridian.LSN
}

// A history lists the turns that led to a timeline, oldest first.
type history []turn

// parseHistory reads a timeline history file: a timeline, where it was left,
// and why, on each line. A restore that ended on an ancestor of the timeline
// that it followed writes where it ended as that timeline's end, before the
// ancestor's own: it is where all of them were left.
func parseHistory(content string) (h history, err error) {
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return nil, fmt.Errorf("timeline history: line %.80q", line)
		}
		tl, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil || tl == 0 || len(h) > 0 && uint32(tl) <= h[len(h)-1].Timeline {
			return nil, fmt.Errorf("timeline history: timeline %.80q", f[0])
		}
		end, err := meridian.ParseLSN(f[1])
		if err != nil {
			return nil, fmt.Errorf("timeline history: position %.80q", f[1])
		}
		for i := range h {
			h[i].End = min(h[i].End, end)
		}
		h = append(h, turn{uint32(tl), end})
	}
	return h, nil
}

// left returns where the history left a timeline, or false if it never was on it.
func (h history) left(timeline uint32) (meridian.LSN, bool) {
	for _, t := range h {
		if t.Timeline == timeline {
			return t.End, true
		}
	}
	return 0, false
}

// fork returns where the history before timeline ended.
func (h history) fork() meridian.LSN {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].End
}

// newest returns the timeline that was left last.
func (h history) newest() uint32 {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].Timeline
}

func historyFile(timeline uint32) string { return fmt.Sprintf("%08X.history", timeline) }

// historyOf reads the history of a timeline that this data is on.
func (in *Instance) historyOf(timeline uint32) (history, error) {
	return historyIn(filepath.Join(in.data(), "pg_wal"), timeline)
}

func historyIn(wal string, timeline uint32) (history, error) {
	content, err := os.ReadFile(filepath.Join(wal, historyFile(timeline)))
	if errors.Is(err, fs.ErrNotExist) && timeline == 1 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseHistory(string(content))
}

// maxReserved bounds the files that reserve writes: by how much terms may grow
// between two promotions. They grow by one when a primary had to go above what
// standbys pledged, and by none when a move is refused.
const maxReserved = 1 << 16

// reserve makes the next promotion take timeline term, or a higher one, where
// PostgreSQL would take the first number that this node has not seen. Two
// regions that were promoted apart from each other would take the same then,
// and everything that compares histories (a standby that follows, pg_rewind)
// would hold them for one. Terms are unique.
//
// PostgreSQL takes the number after the last history file in an unbroken row
// that begins at the timeline of now. The files that fill the row name no ancestor, so that no standby turns to
// those timelines; the ancestors' own are made where a clone lacks them.
func (in *Instance) reserve(now uint32, term uint64) error {
	if term <= uint64(now)+1 {
		return nil
	}
	if term > math.MaxUint32 || term-uint64(now) > maxReserved {
		return fmt.Errorf("term %d on timeline %d: want at most %d more", term, now, maxReserved)
	}
	own, err := in.historyOf(now)
	if err != nil {
		return err
	}
	// Nobody writes until it is done, and each file waits for the disk.
	row, at := own.row(now, term), make(chan struct{}, reservedAtOnce)
	errs := make([]error, len(row))
	var files sync.WaitGroup
	for i, tl := range row {
		at <- struct{}{}
		files.Go(func() {
			defer func() { <-at }()
			errs[i] = in.reserveOne(own, tl)
		})
	}
	files.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return syncDir(filepath.Join(in.data(), "pg_wal"))
}

// reservedAtOnce is how many files are on their way to the disk at once.
const reservedAtOnce = 32

// reserveOne makes the history file of a timeline, unless it is there.
func (in *Instance) reserveOne(own history, tl uint32) error {
	name := filepath.Join(in.data(), "pg_wal", historyFile(tl))
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := in.run.write(name, own.upTo(tl)); err != nil {
		return fmt.Errorf("reserve timeline %d: %w", tl, err)
	}
	return nil
}

// row returns the timelines whose history files must be there for the next one
// after now to be term: the ancestors, now and all between it and term.
func (h history) row(now uint32, term uint64) (out []uint32) {
	for _, t := range append(slices.Clone(h), turn{Timeline: now}) {
		if t.Timeline > 1 {
			out = append(out, t.Timeline)
		}
	}
	for tl := uint64(now) + 1; tl < term; tl++ {
		out = append(out, uint32(tl))
	}
	return out
}

// unreserve removes what a promotion that never was has reserved: PostgreSQL
// starts a standby for the newest timeline that it finds a file of, and would
// wait for log of it forever.
func (in *Instance) unreserve(now uint32) error {
	var unused []string
	for tl := now + 1; ; tl++ {
		name := filepath.Join(in.data(), "pg_wal", historyFile(tl))
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		if unused = append(unused, name); string(content) != reserved {
			unused = nil
		}
	}
	for _, name := range unused {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// reserved is the history file of a timeline that was never written on.
const reserved = "# Reserved by Meridian: there is no such timeline.\n"

// upTo writes the history file of a timeline: of an ancestor as it was, of any
// other as one without ancestors.
func (h history) upTo(timeline uint32) string {
	if _, ours := h.left(timeline); !ours {
		return reserved
	}
	var b strings.Builder
	for _, t := range h {
		if t.Timeline < timeline {
			fmt.Fprintf(&b, "%d\t%s\tno recovery target specified\n", t.Timeline, t.End)
		}
	}
	return b.String()
}
