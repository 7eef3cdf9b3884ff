package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meridian"
)

// A region whose data is lost takes the copy of a further standby of its own,
// where there is one: that need not cross the sea, and the further standby finds
// in it the log that it needs to follow on.
//
// It is behind, though. What the region has confirmed before may be missing in
// it, so that a mark beside the data keeps it from reporting how much it has,
// until it has again what the primary had when the copy was made.

// borrowable is how far behind the primary a copy may be: PostgreSQL keeps more
// log than that for everybody (wal_keep_size).
const borrowable = 48 << 20

// errNoLender says that there is nobody to borrow from.
var errNoLender = errors.New("no further standby is near")

// borrow copies the database of a further standby nearby. Where the last copy of
// that kind could not follow, its mark is still there: another one could not.
func (in *Instance) borrow(ctx context.Context) error {
	if _, err := os.Stat(in.debt()); in.deps.Near == nil || err == nil {
		return errNoLender
	}
	of, err := in.ask(ctx)
	if err != nil {
		return err
	}
	if err := in.lends(ctx, of); err != nil {
		return err
	}
	stop, err := in.serveSocket(ctx, in.near(), in.deps.Near)
	if err != nil {
		return err
	}
	defer stop()
	if err := in.begin(); err != nil {
		return err
	}
	err = in.program(ctx, "", "pg_basebackup", "--pgdata", in.partial(),
		"--dbname", conninfo(in.near(), in.cfg.slot()), "--wal-method", "stream", "--checkpoint", "fast", "--no-manifest")
	if err != nil {
		return fmt.Errorf("copy a further standby's database: %w", err)
	}
	if err := in.configure(in.partial(), Standby); err != nil {
		return err
	}
	if err := in.run.write(in.debt(), fmt.Sprintf("%d %s\n", of.Timeline, of.At)); err != nil {
		return err
	}
	if err := in.finish(); err != nil {
		return err
	}
	in.stats.borrowed.Inc()
	in.log.Info("copied from a further standby", "owes", of.At.String(), "timeline", of.Timeline)
	return nil
}

// lends reports why the further standby's copy is of no use to who follows the
// primary that answered, or nil.
func (in *Instance) lends(ctx context.Context, of answer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := connect(ctx, in.deps.Near, Superuser, "postgres", map[string]string{"replication": "database"})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	at, err := in.position(ctx, conn)
	if err != nil {
		return err
	}
	fork, left := of.History.left(at.Timeline)
	switch {
	case of.Recovering:
		return errors.New("the primary is not promoted yet")
	case at.Role != Standby || at.System != of.System:
		return fmt.Errorf("it is a %s of database system %d, the primary is %d", at.Role, at.System, of.System)
	case at.Timeline != of.Timeline && !left, left && at.Flushed > fork:
		return fmt.Errorf("it is at %s on timeline %d, which the primary's history does not have", at.Flushed, at.Timeline)
	case at.Replayed+borrowable < of.At:
		return fmt.Errorf("it is at %s, and the primary at %s", at.Replayed, of.At)
	}
	return nil
}

// owes reports whether the data is a copy that lacks what its region may have
// confirmed before. Once it does not, the mark goes.
func (in *Instance) owes(r Report) error {
	content, err := os.ReadFile(in.debt())
	if errors.Is(err, fs.ErrNotExist) || in.forgetful {
		return nil
	}
	var timeline uint32
	var said string
	if err == nil {
		_, err = fmt.Sscanf(string(content), "%d %s", &timeline, &said)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", in.debt(), err)
	}
	at, err := meridian.ParseLSN(said)
	if err != nil {
		return fmt.Errorf("%s: %w", in.debt(), err)
	}
	if r.Timeline > timeline || r.Timeline == timeline && r.Replayed >= at {
		return in.settleDebt()
	}
	return fmt.Errorf("its data was copied from a further standby; it has %s on timeline %d, and the primary had %s on %d then", r.Replayed, r.Timeline, at, timeline)
}

// debtPeriod is how often it is looked whether a copy has what it owes.
const debtPeriod = time.Second

// payDebt waits until it has.
func (in *Instance) payDebt(ctx context.Context) {
	for wait(ctx, debtPeriod) == nil {
		if _, err := os.Stat(in.debt()); err != nil {
			return
		}
		if r, err := in.Report(ctx); err == nil {
			err = in.owes(r)
			in.log.Debug("a copy of a further standby's data", "owes", err)
		}
	}
}

// settleDebt removes the mark: the data has what it owed, or is another's copy.
func (in *Instance) settleDebt() error {
	if err := ignoreMissing(os.Remove(in.debt())); err != nil {
		return err
	}
	return syncDir(in.cfg.Dir)
}

func (in *Instance) debt() string { return filepath.Join(in.cfg.Dir, "borrowed") }
func (in *Instance) near() string { return filepath.Join(in.cfg.SocketDir, "near") }
