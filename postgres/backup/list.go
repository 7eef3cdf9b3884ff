package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"meridian"
	"meridian/postgres/instance"
)

// maxNote bounds what is read of a note or a timeline's history.
const maxNote = 1 << 20

// Systems lists the database systems that a place has something of.
func Systems(ctx context.Context, p Place) (out []uint64, err error) {
	objects, err := p.List(ctx, "")
	seen := map[uint64]bool{}
	for _, o := range objects {
		name, _, _ := strings.Cut(o.Key, "/")
		if id, err := strconv.ParseUint(name, 10, 64); err == nil && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out, err
}

// Backups lists the base backups of a system that are whole.
func Backups(ctx context.Context, p Place, system uint64) (out []Backup, err error) {
	objects, err := p.List(ctx, basePrefix(system))
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if !strings.HasSuffix(o.Key, "/backup.json") {
			continue
		}
		var b Backup
		note, err := fetch(ctx, p, o.Key, maxNote)
		if err == nil {
			err = json.Unmarshal(note, &b)
		}
		if err == nil && (b.System != system || b.Segment == 0 || b.End < b.Start || o.Key != basePrefix(system)+b.Name+"/backup.json") {
			err = fmt.Errorf("it is of another backup")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// logOf lists the log of a system, and where each timeline left its ancestors.
func logOf(ctx context.Context, p Place, system uint64) ([]logKey, map[uint32]map[uint32]meridian.LSN, error) {
	objects, err := p.List(ctx, logPrefix(system))
	if err != nil {
		return nil, nil, err
	}
	files, turns := logKeys(objects), map[uint32]map[uint32]meridian.LSN{}
	for _, f := range files {
		if len(f.File) == 24 {
			continue
		}
		content, err := fetchLog(ctx, p, system, f)
		if err != nil {
			return nil, nil, err
		}
		tl, err := strconv.ParseUint(f.File[:8], 16, 32)
		if err == nil {
			turns[uint32(tl)], err = instance.Turns(string(content))
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.File, err)
		}
	}
	return files, turns, nil
}

// fetchLog returns the content of a file of the log, which must be what its
// name says.
func fetchLog(ctx context.Context, p Place, system uint64, k logKey) ([]byte, error) {
	packed, err := fetch(ctx, p, logPrefix(system)+k.String(), maxLog)
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxLog))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	content, err := dec.DecodeAll(packed, nil)
	if err == nil && !k.Partial && hashOf(content) != k.Hash {
		err = fmt.Errorf("its content is another than it was: its hash is %s", hashOf(content))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	return content, nil
}

// maxLog is the largest WAL file that PostgreSQL knows.
const maxLog = 1 << 30

func fetch(ctx context.Context, p Place, key string, limit int64) ([]byte, error) {
	r, err := p.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}

// needless reports whether an object is a WAL file that ends before from.
func needless(key string, from meridian.LSN, segment uint64) bool {
	k, ok := parseLogKey(key[strings.LastIndex(key, "/")+1:])
	if !ok {
		return false
	}
	_, start, err := instance.SegmentOf(k.File, segment)
	return err == nil && start+meridian.LSN(segment) <= from
}

// A Reach is a base backup and how far the log leads from it.
type Reach struct {
	Backup
	Until meridian.LSN
}

// List lists the base backups of all systems that a place holds.
func List(ctx context.Context, p Place) (out []Reach, err error) {
	systems, err := Systems(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, system := range systems {
		backups, err := Backups(ctx, p, system)
		if err != nil {
			return nil, err
		}
		files, turns, err := logOf(ctx, p, system)
		if err != nil {
			return nil, err
		}
		for _, b := range backups {
			out = append(out, Reach{b, lay(b, files, turns, 0).Until})
		}
	}
	return out, nil
}
