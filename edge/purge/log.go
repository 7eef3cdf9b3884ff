package purge

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/edge/cache"
)

// How much a log holds: what an edge may miss and still be told one by one. An
// edge that missed more is told that it did, and takes all that it has for
// stale.
const (
	retention = time.Hour
	maxLog    = 40 << 10 // bytes of JSON
)

// A Log is what the store keeps of the purges that one node took, the newest
// last. Each has a number, so that a reader knows whether it missed some that
// the log no longer has.
type Log struct {
	Next    uint64        `json:"next"` // number of the next purge; the last of Purges has the one before
	Purges  []cache.Purge `json:"purges"`
	Started time.Time     `json:"started"` // tells a log that begins anew from its predecessor
}

// With returns the log with more purges. What it has already, by its ID, it
// does not take again; what is old, or too much, it forgets.
func (l Log) With(more []cache.Purge, now time.Time) Log {
	out := Log{Next: l.Next, Purges: slices.Clone(l.Purges), Started: l.Started}
	if out.Started.IsZero() {
		out.Started = now
	}
	for _, p := range more {
		if !slices.ContainsFunc(out.Purges, func(q cache.Purge) bool { return q.ID == p.ID }) {
			out.Purges, out.Next = append(out.Purges, p), out.Next+1
		}
	}
	out.Purges = slices.DeleteFunc(out.Purges, func(p cache.Purge) bool { return now.Sub(p.At) > retention })
	size := 0
	for i := len(out.Purges) - 1; i >= 0; i-- {
		b, _ := json.Marshal(out.Purges[i]) // strings, bools and a time: cannot fail
		if size += len(b) + 1; size > maxLog {
			out.Purges = out.Purges[i+1:]
			break
		}
	}
	return out
}

// A Position is how far somebody has read a log.
type Position struct {
	next    uint64
	started time.Time
}

// MarshalText implements encoding.TextMarshaler, so that a position can outlive
// its reader.
func (p Position) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatUint(p.next, 10) + " " + p.started.Format(time.RFC3339Nano)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Position) UnmarshalText(b []byte) (err error) {
	next, started, _ := strings.Cut(string(b), " ")
	if p.next, err = strconv.ParseUint(next, 10, 64); err != nil {
		return err
	}
	p.started, err = time.Parse(time.RFC3339Nano, started)
	return err
}

// Position returns the log's end.
func (l Log) Position() Position { return Position{l.Next, l.Started} }

// Since returns what came after a position, and whether there was more than the
// log still has. The zero Position is the start of every log.
func (l Log) Since(p Position) (missed []cache.Purge, more bool) {
	if !p.started.Equal(l.Started) { // another log: it is read whole
		return l.Purges, p.started.IsZero() && l.Next > uint64(len(l.Purges)) || !p.started.IsZero()
	}
	if p.next >= l.Next {
		return nil, false
	}
	n := l.Next - p.next
	if n > uint64(len(l.Purges)) {
		return l.Purges, true
	}
	return l.Purges[uint64(len(l.Purges))-n:], false
}
