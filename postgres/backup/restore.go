package backup

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"meridian"
	"meridian/postgres/instance"
)

// A Restored says what Restore did.
type Restored struct {
	Backup   Backup
	Timeline uint32       // along which the log was replayed
	Until    meridian.LSN // how far the archive goes on it
	Last     string       // when the last transaction committed that was replayed; "" if none was
	Why      string
}

// Restore makes a database as it was at a target, of a system that a place
// holds; 0 is the only one that is there.
func Restore(ctx context.Context, p Place, system uint64, to instance.Target, into *instance.Instance) (Restored, error) {
	if system == 0 {
		var err error
		if system, err = only(ctx, p); err != nil {
			return Restored{}, err
		}
	}
	backups, err := Backups(ctx, p, system)
	if err != nil {
		return Restored{}, err
	}
	files, turns, err := logOf(ctx, p, system)
	if err != nil {
		return Restored{}, err
	}
	by, err := find(backups, files, turns, to)
	if err != nil {
		return Restored{}, err
	}
	if major := into.Binaries().Major(); by.Backup.Major != major {
		return Restored{}, meridian.WithKind(meridian.Invalid, fmt.Errorf("base backup %s was made by PostgreSQL %d, the programs found are of %d", by.Backup.Name, by.Backup.Major, major))
	}
	to.Timeline = by.Timeline
	last, err := run(ctx, p, by, to, into)
	return Restored{by.Backup, by.Timeline, by.Until, last, by.Why}, err
}

func run(ctx context.Context, p Place, by way, to instance.Target, into *instance.Instance) (last string, err error) {
	packed, err := p.Get(ctx, basePrefix(by.Backup.System)+by.Backup.Name+"/base.tar.zst")
	if err != nil {
		return "", err
	}
	defer packed.Close()
	dec, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return "", err
	}
	defer dec.Close()
	return into.Recover(ctx, io.Reader(dec), func(dir string) error {
		for _, f := range by.Files {
			content, err := fetchLog(ctx, p, by.Backup.System, f)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, f.File), content, 0o600); err != nil {
				return err
			}
		}
		return nil
	}, to)
}

func only(ctx context.Context, p Place) (uint64, error) {
	all, err := Systems(ctx, p)
	if err != nil {
		return 0, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	var names []string
	for _, id := range all {
		names = append(names, fmt.Sprint(id))
	}
	if len(all) == 0 {
		return 0, meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no backup in %v", p))
	}
	return 0, meridian.WithKind(meridian.Invalid, fmt.Errorf("there are backups of %d database systems: %s; name one", len(all), strings.Join(names, ", ")))
}
