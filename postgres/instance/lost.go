package instance

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"meridian"
)

// A LostTransaction committed on a primary whose history was abandoned.
type LostTransaction struct {
	XID    uint32
	LSN    meridian.LSN // of its commit record
	Handle string       // what the proxy put into it; "" if nothing
}

// Prefix marks the messages in the log that hold a transaction's handle:
// pg_logical_emit_message(true, Prefix, handle).
const Prefix = "meridian"

// Lost lists the transactions of a Tail's folder in the order in which they
// committed. One that carries several handles is listed with each.
func Lost(ctx context.Context, dir string) ([]LostTransaction, error) {
	tail, err := readTail(dir)
	if err != nil {
		return nil, err
	}
	bin, err := Find()
	if err != nil {
		return nil, meridian.WithKind(meridian.Unavailable, err)
	}
	var lost []LostTransaction
	for _, s := range tail.Spans {
		found, err := toolbox{bin: bin}.lost(ctx, tail, s)
		if err != nil {
			return nil, fmt.Errorf("list what was lost on timeline %d: %w", s.Timeline, err)
		}
		lost = append(lost, found...)
	}
	return lost, nil
}

func (t toolbox) lost(ctx context.Context, tail Tail, s Span) ([]LostTransaction, error) {
	first := uint64(s.From) / tail.Segment * tail.Segment
	if first >= tail.Segment {
		before := meridian.LSN(first - tail.Segment)
		if _, err := os.Stat(filepath.Join(tail.Dir, segmentFile(s.Timeline, before, tail.Segment))); err == nil {
			first = uint64(before)
		}
	}
	l := losses{from: s.From, handles: map[uint32][]string{}}
	err := t.dump(ctx, tail.Dir, s.Timeline, tail.Segment, meridian.LSN(first), s.To, l.add)
	return l.lost, err
}

// losses gathers the handles of transactions until they commit.
type losses struct {
	from    meridian.LSN // commits before it are not lost
	handles map[uint32][]string
	lost    []LostTransaction
}

var (
	messageDesc = regexp.MustCompile(`^MESSAGE (non-)?transactional, prefix "(.*)"; payload \((\d+) bytes\): ((?:[0-9A-F]{2} ?)*)$`)
	commitDesc  = regexp.MustCompile(`^COMMIT(?:_PREPARED (\d+):)? \d{4,}-\d\d-\d\d `)
	subxacts    = regexp.MustCompile(`; subxacts:((?: \d+)+)`)
)

func (l *losses) add(r record) error {
	switch {
	case r.Manager == "LogicalMessage":
		return l.message(r)
	case r.Manager == "Transaction" && strings.HasPrefix(r.Desc, "COMMIT"):
		return l.commit(r)
	}
	return nil
}

func (l *losses) message(r record) error {
	f := messageDesc.FindStringSubmatch(r.Desc)
	if f == nil {
		return fmt.Errorf("pg_waldump: message at %s: %.120q", r.LSN, r.Desc)
	}
	if f[1] != "" || f[2] != Prefix {
		return nil
	}
	payload, err := hex.DecodeString(strings.ReplaceAll(f[4], " ", ""))
	if err != nil || strconv.Itoa(len(payload)) != f[3] {
		return fmt.Errorf("pg_waldump: message at %s: payload %.120q, want %s bytes", r.LSN, f[4], f[3])
	}
	l.handles[r.XID] = append(l.handles[r.XID], string(payload))
	return nil
}

func (l *losses) commit(r record) error {
	f := commitDesc.FindStringSubmatch(r.Desc)
	if f == nil {
		return fmt.Errorf("pg_waldump: commit at %s: %.120q", r.LSN, r.Desc)
	}
	xid := r.XID
	if f[1] != "" {
		n, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			return fmt.Errorf("pg_waldump: commit at %s: %w", r.LSN, err)
		}
		xid = uint32(n)
	}
	ids := []uint32{xid}
	if f := subxacts.FindStringSubmatch(r.Desc); f != nil {
		for _, s := range strings.Fields(f[1]) {
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return fmt.Errorf("pg_waldump: commit at %s: %w", r.LSN, err)
			}
			ids = append(ids, uint32(n))
		}
	}
	l.close(ids, r.LSN)
	return nil
}

// close lists a transaction, the first of ids, with the handles of all of them.
func (l *losses) close(ids []uint32, at meridian.LSN) {
	var handles []string
	for _, id := range ids {
		handles = append(handles, l.handles[id]...)
		delete(l.handles, id)
	}
	if at < l.from {
		return
	}
	if len(handles) == 0 {
		handles = []string{""}
	}
	for _, h := range handles {
		l.lost = append(l.lost, LostTransaction{XID: ids[0], LSN: at, Handle: h})
	}
}
