package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"meridian"
)

// Outcomes are the handles of the transactions that are part of a promoted
// server's history, as far back as its log was read.
type Outcomes struct {
	System   uint64
	Timeline uint32       // that the server is on
	Fork     meridian.LSN // where the history before it ended; 0 on the first timeline
	Forks    map[uint32]meridian.LSN
	Since    meridian.LSN // what committed before it was not looked for
	Handles  map[string]Committed
}

// A Committed transaction.
type Committed struct {
	XID uint32
	LSN meridian.LSN // of its commit record
}

// Find reads the log in a server's data folder from since, or from the oldest
// that is there, to where the server's timeline began, which is where its
// history and that of its lost predecessor part.
func (o *Outcomes) Find(ctx context.Context, data string, since meridian.LSN) error {
	bin, err := Find()
	if err != nil {
		return meridian.WithKind(meridian.Unavailable, err)
	}
	in := &Instance{toolbox: toolbox{bin: bin}}
	c, err := in.control(ctx, data)
	if err != nil {
		return err
	}
	found, err := outcomes(ctx, in.toolbox, data, c, since)
	if err != nil {
		return fmt.Errorf("look for handles in the log of %s: %w", data, err)
	}
	*o = found
	return nil
}

func outcomes(ctx context.Context, t toolbox, data string, c controlFile, since meridian.LSN) (Outcomes, error) {
	wal := filepath.Join(data, "pg_wal")
	h, err := historyIn(wal, c.newest())
	if err != nil {
		return Outcomes{}, err
	}
	o := Outcomes{System: c.System, Timeline: c.newest(), Fork: h.fork(), Forks: map[uint32]meridian.LSN{}, Handles: map[string]Committed{}}
	for _, turn := range h {
		o.Forks[turn.Timeline] = turn.End
	}
	if o.Since = o.Fork; o.Fork == 0 || since >= o.Fork {
		return o, nil
	}
	dir, err := os.MkdirTemp("", "meridian-log-")
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(dir)
	if o.Since, err = linkLog(dir, wal, h, c, since); err != nil || o.Since >= o.Fork {
		return o, err
	}
	l := losses{from: o.Since, handles: map[uint32][]string{}}
	if err := t.dump(ctx, dir, c.newest(), c.Segment, o.Since, o.Fork, l.add); err != nil {
		return o, err
	}
	for _, x := range l.lost {
		if x.Handle != "" && x.LSN < o.Fork {
			o.Handles[x.Handle] = Committed{x.XID, x.LSN}
		}
	}
	return o, nil
}

// linkLog makes one row of files, as of one timeline, of the log that led to
// where h ends, back to the file that holds since or to the oldest that is
// there. It returns where the row begins. The file in which a timeline began
// holds the end of the one before as well, so the newest timeline that has a
// file is the one to take.
func linkLog(dir, wal string, h history, c controlFile, since meridian.LSN) (meridian.LSN, error) {
	size, end := c.Segment, uint64(h.fork())
	lines := []uint32{c.newest()}
	for i := len(h) - 1; i >= 0; i-- {
		lines = append(lines, h[i].Timeline)
	}
	begin := h.fork()
	for n := int64((end - 1) / size); n >= int64(uint64(since)/size); n-- {
		at := meridian.LSN(uint64(n) * size)
		ok, err := linkOne(dir, wal, lines, at, c)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		begin = at
	}
	return begin, nil
}

func linkOne(dir, wal string, lines []uint32, at meridian.LSN, c controlFile) (bool, error) {
	for _, tl := range lines {
		for _, suffix := range []string{"", ".partial"} {
			file := filepath.Join(wal, segmentFile(tl, at, c.Segment)+suffix)
			if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return false, err
			}
			return true, os.Symlink(file, filepath.Join(dir, segmentFile(c.newest(), at, c.Segment)))
		}
	}
	return false, nil
}
