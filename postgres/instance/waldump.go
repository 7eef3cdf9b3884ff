package instance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"

	"meridian"
)

// A record is a line of pg_waldump's.
type record struct {
	Manager string // "Transaction", "LogicalMessage", ...
	Length  uint32 // without page headers
	XID     uint32 // 0 if none
	LSN     meridian.LSN
	Desc    string
}

// recordLine is how pg_waldump writes a record; skippedLine says that the
// start was not one's.
var (
	recordLine  = regexp.MustCompile(`^rmgr: (\S+) +len \(rec/tot\): +\d+/ *(\d+), tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, desc: (.*)$`)
	skippedLine = regexp.MustCompile(`^(pg_waldump: )?first record is after `)
)

// maxRecordLine holds a message's payload in hexadecimal.
const maxRecordLine = 64 << 20

func parseRecord(line string) (r record, err error) {
	f := recordLine.FindStringSubmatch(line)
	if f == nil {
		return r, fmt.Errorf("pg_waldump: line %.120q is no record", line)
	}
	length, err1 := strconv.ParseUint(f[2], 10, 32)
	xid, err2 := strconv.ParseUint(f[3], 10, 32)
	lsn, err3 := meridian.ParseLSN(f[4])
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return r, fmt.Errorf("pg_waldump: line %.120q: %w", line, err)
		}
	}
	return record{Manager: f[1], Length: uint32(length), XID: uint32(xid), LSN: lsn, Desc: f[5]}, nil
}

// waldumpArgs are pg_waldump's for the log in dir from start on: to end, or to the
// last whole record if that is 0. They name the first file and the last. Without
// them pg_waldump asks the one that the folder happens to list first how large files
// are, and refuses if PostgreSQL has made that ahead of time and not begun it.
func waldumpArgs(dir string, timeline uint32, segment uint64, start, end meridian.LSN) []string {
	args := []string{"--path", dir, "--start", start.String()}
	first := segmentFile(timeline, start, segment)
	if end != 0 {
		return append(args, "--end", end.String(), first, segmentFile(timeline, max(start, end-1), segment))
	}
	last := first
	all, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%08X????????????????", timeline)))
	for _, file := range all {
		last = max(last, filepath.Base(file))
	}
	return append(args, first, last)
}

// dump calls each for every record in dir from start on: to end, all of which
// must be there, or, if end is 0, to the last whole one. Files have so many bytes
// as segment says.
func (t toolbox) dump(ctx context.Context, dir string, timeline uint32, segment uint64, start, end meridian.LSN, each func(record) error) error {
	args := waldumpArgs(dir, timeline, segment, start, end)
	r, w := io.Pipe()
	ran := make(chan error, 1)
	go func() { // ends with the program, which ends when nobody reads; ran says so
		_, err := t.pipe(ctx, "", w, "pg_waldump", args...)
		w.Close()
		ran <- err
	}()
	err := eachRecord(r, each)
	r.CloseWithError(err)
	told := <-ran
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case end != 0:
		return told
	}
	return nil // the end of the log is an error to pg_waldump
}

func eachRecord(from io.Reader, each func(record) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxRecordLine)
	for lines.Scan() {
		if line := lines.Text(); line == "" || skippedLine.MatchString(line) {
			continue
		}
		r, err := parseRecord(lines.Text())
		if err == nil {
			err = each(r)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
