package instance

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"meridian"
)

// A controlFile is what PostgreSQL noted of a data folder.
type controlFile struct {
	State      string // "shut down", "shut down in recovery", "in production", ...
	System     uint64
	Checkpoint meridian.LSN // where the last checkpoint's record begins
	Redo       meridian.LSN
	Timeline   uint32       // of the last checkpoint
	Recovered  meridian.LSN // what a standby had replayed at the least
	Branch     uint32       // the timeline of Recovered, also after a promotion; 0 if none
	Segment    uint64       // bytes of a WAL file
}

// newest is the timeline that the data was last written on.
func (c controlFile) newest() uint32 { return max(c.Timeline, c.Branch) }

func (in *Instance) control(ctx context.Context, dir string) (controlFile, error) {
	said, err := in.output(ctx, "pg_controldata", "-D", dir)
	if err != nil {
		return controlFile{}, err
	}
	return parseControl(said)
}

func parseControl(said string) (c controlFile, err error) {
	fields := map[string]string{}
	for line := range strings.Lines(said) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	number := func(name string, bits int) uint64 {
		n, e := strconv.ParseUint(fields[name], 10, bits)
		if e != nil {
			note(fmt.Errorf("pg_controldata: %s: %w", name, e))
		}
		return n
	}
	lsn := func(name string) meridian.LSN {
		l, e := meridian.ParseLSN(fields[name])
		if e != nil {
			note(fmt.Errorf("pg_controldata: %s: %w", name, e))
		}
		return l
	}
	c = controlFile{
		State:      fields["Database cluster state"],
		System:     number("Database system identifier", 64),
		Checkpoint: lsn("Latest checkpoint location"),
		Redo:       lsn("Latest checkpoint's REDO location"),
		Timeline:   uint32(number("Latest checkpoint's TimeLineID", 32)),
		Recovered:  lsn("Minimum recovery ending location"),
		Branch:     uint32(number("Min recovery ending loc's timeline", 32)),
		Segment:    number("Bytes per WAL segment", 64),
	}
	if err == nil && (c.Segment < walPage || c.Segment&(c.Segment-1) != 0) {
		err = fmt.Errorf("pg_controldata: WAL segments of %d bytes", c.Segment)
	}
	return c, err
}

// walPage is XLOG_BLCKSZ as every distribution builds it.
const walPage = 8192

// The headers that stand at the start of a WAL file and of its other pages.
const (
	longHeader  = 40
	shortHeader = 24
)

// recordEnd returns the position after a record, which is what a standby that
// has replayed it reports. The record begins at start, and its length counts
// no page header.
func recordEnd(start meridian.LSN, length uint32, segment uint64) meridian.LSN {
	pos, left := uint64(start), uint64(length+7)&^7 // the next one is aligned to 8
	for left > 0 {
		switch {
		case pos%segment == 0:
			pos += longHeader
		case pos%walPage == 0:
			pos += shortHeader
		}
		n := min(left, walPage-pos%walPage)
		pos, left = pos+n, left-n
	}
	return meridian.LSN(pos)
}

// segmentFile names the WAL file that holds a position.
func segmentFile(timeline uint32, at meridian.LSN, segment uint64) string {
	n, perID := uint64(at)/segment, (uint64(1)<<32)/segment
	return fmt.Sprintf("%08X%08X%08X", timeline, n/perID, n%perID)
}

// checkpointEnd returns where the record of the last checkpoint ends. Its
// length is the record's first field, in the byte order of the machine.
func (in *Instance) checkpointEnd(dir string, c controlFile) (meridian.LSN, error) {
	f, err := os.Open(filepath.Join(dir, "pg_wal", segmentFile(c.Timeline, c.Checkpoint, c.Segment)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [4]byte
	if _, err := f.ReadAt(b[:], int64(uint64(c.Checkpoint)%c.Segment)); err != nil {
		return 0, fmt.Errorf("checkpoint record at %s: %w", c.Checkpoint, err)
	}
	return recordEnd(c.Checkpoint, binary.NativeEndian.Uint32(b[:]), c.Segment), nil
}
