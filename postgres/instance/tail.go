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

// end returns the timeline that the data is on and where its log ends. After a
// crash only the log itself tells.
func (in *Instance) end(ctx context.Context) (timeline uint32, end meridian.LSN, err error) {
	c, err := in.control(ctx, in.data())
	if err != nil {
		return 0, 0, err
	}
	switch c.State {
	case "shut down":
		end, err = in.checkpointEnd(in.data(), c)
		return c.newest(), end, err
	case "shut down in recovery":
		return c.newest(), c.Recovered, nil
	}
	start := c.Checkpoint
	if c.newest() != c.Timeline {
		own, err := in.historyOf(c.newest())
		if err != nil {
			return 0, 0, err
		}
		start = own.fork()
	}
	end = start
	err = in.dump(ctx, filepath.Join(in.data(), "pg_wal"), c.newest(), start, 0, func(r record) {
		end = recordEnd(r.LSN, r.Length, c.Segment)
	})
	if err == nil && end == start {
		err = fmt.Errorf("no record of timeline %d can be read at %s", c.newest(), start)
	}
	return c.newest(), end, err
}

// A record is a line of pg_waldump's.
type record struct {
	Manager string // "Transaction", "LogicalMessage", ...
	Length  uint32 // without page headers
	XID     uint32 // 0 if none
	LSN     meridian.LSN
	Desc    string
}

// recordLine is how pg_waldump writes a record, from PostgreSQL 15 to 19.
var recordLine = regexp.MustCompile(`^rmgr: (\S+) +len \(rec/tot\): +\d+/ *(\d+), tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, desc: (.*)$`)

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

// dump calls each for every record in dir from start on; to end, or, if that
// is 0, to the last whole one.
func (in *Instance) dump(ctx context.Context, dir string, timeline uint32, start, end meridian.LSN, each func(record)) error {
	args := []string{"--path", dir, "--timeline", strconv.FormatUint(uint64(timeline), 10), "--start", start.String()}
	if end != 0 {
		args = append(args, "--end", end.String())
	}
	pr, pw := io.Pipe()
	parsed := make(chan error, 1)
	go func() { // ends with the pipe, which is closed below
		parsed <- eachRecord(pr, each)
	}()
	ran := in.pipe(ctx, "", pw, "pg_waldump", args...)
	pw.Close()
	if err := <-parsed; err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if end != 0 {
		return ran
	}
	return nil // the end of the log is an error to pg_waldump
}

func eachRecord(from *io.PipeReader, each func(record)) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 64<<20) // a message's payload is in its line, in hexadecimal
	for lines.Scan() {
		if skipped(lines.Text()) {
			continue
		}
		r, err := parseRecord(lines.Text())
		if err != nil {
			from.CloseWithError(err)
			return err
		}
		each(r)
	}
	if err := lines.Err(); err != nil {
		from.CloseWithError(err)
		return err
	}
	return nil
}

// skippedLine says that the start was not a record's.
var skippedLine = regexp.MustCompile(`^(pg_waldump: )?first record is after `)

func skipped(line string) bool { return line == "" || skippedLine.MatchString(line) }
