package limit

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// A Use is what one edge tells the others: so many requests of a client were let in.
type Use struct {
	Key      Key
	Requests int32
	Interval time.Duration // that each takes
}

const (
	useSize = 16 + 4 + 8 // bytes of one on the wire
	maxUses = shards * maxUntold
	// maxDebt bounds what one use takes of a client: no limit is for longer.
	maxDebt = 24 * time.Hour
)

// WriteUses writes uses for ReadUses.
func WriteUses(w io.Writer, uses []Use) error {
	b := make([]byte, 0, len(uses)*useSize)
	for _, u := range uses {
		b = append(b, u.Key[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(u.Requests))
		b = binary.BigEndian.AppendUint64(b, uint64(u.Interval))
	}
	_, err := w.Write(b)
	return err
}

// ReadUses reads uses until the end of r, and refuses what no edge would tell.
func ReadUses(r io.Reader) ([]Use, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxUses*useSize+1))
	if err != nil {
		return nil, fmt.Errorf("uses: %w", err)
	}
	if len(b)%useSize != 0 || len(b) > maxUses*useSize {
		return nil, fmt.Errorf("uses: %d bytes: want a multiple of %d, at most %d", len(b), useSize, maxUses*useSize)
	}
	var out []Use
	for ; len(b) > 0; b = b[useSize:] {
		u := Use{Key(b[:16]), int32(binary.BigEndian.Uint32(b[16:])), time.Duration(binary.BigEndian.Uint64(b[20:]))}
		if u.Requests < 1 || u.Interval < 1 || u.Interval > maxDebt/time.Duration(u.Requests) {
			return nil, fmt.Errorf("uses: %d requests of %v each: want some, within %v", u.Requests, u.Interval, maxDebt)
		}
		out = append(out, u)
	}
	return out, nil
}
