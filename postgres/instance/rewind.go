package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"meridian"
)

// rewind makes data that took another turn than the primary's follow it. What
// the primary lacks is kept first. Where pg_rewind cannot do it, the data is
// moved aside, and the next step copies the primary's.
func (in *Instance) rewind(ctx context.Context, v View, theirs history) error {
	c, err := in.control(ctx, in.data())
	if err != nil {
		return err
	}
	if err := in.keep(c, v, theirs); err != nil {
		return err
	}
	err = in.rewindTo(ctx, c, v)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case meridian.KindOf(err) == meridian.PrimaryUnavailable:
		return err // nothing was touched yet
	case err != nil:
		in.log.Warn("rewinding failed", "err", err)
		return in.moveAside(v.Folder.System, "it took another turn, and pg_rewind cannot undo it")
	}
	in.stats.rewinds.Inc()
	return nil
}

func (in *Instance) keep(c controlFile, v View, theirs history) error {
	own, err := in.historyOf(v.Timeline)
	if err != nil {
		return err
	}
	spans := apart(append(own, turn{v.Timeline, v.End}), append(theirs, turn{v.Primary, forever}))
	if len(spans) == 0 {
		return nil
	}
	dir, err := in.keepTail(c, spans)
	if err != nil {
		return err
	}
	in.log.Warn("this region has log that the primary has not; it is kept, and undone here",
		"from", spans[0].From.String(), "to", v.End.String(), "kept", dir)
	return nil
}

// errNotDiverged is pg_rewind's, of a copy that PostgreSQL says cannot follow.
var errNotDiverged = errors.New("pg_rewind finds nothing to undo, yet the copy cannot follow")

// rewindTo runs pg_rewind. A mark beside the data says that it is under way:
// data that it left half done is of no use.
func (in *Instance) rewindTo(ctx context.Context, c controlFile, v View) error {
	began := time.Now()
	if err := in.checkpointUpstream(ctx, v.Primary); err != nil {
		return err
	}
	noted := time.Now()
	// pg_rewind ends a crash recovery itself, as a primary's only.
	if !strings.HasPrefix(c.State, "shut down") {
		if err := ignoreMissing(os.Remove(filepath.Join(in.data(), "standby.signal"))); err != nil {
			return err
		}
	}
	if err := in.configure(in.data(), Primary); err != nil {
		return err
	}
	if err := in.run.write(in.rewinding(), "pg_rewind runs\n"); err != nil {
		return err
	}
	said, err := in.pgRewind(ctx)
	if unconnected(err) {
		return errors.Join(meridian.WithKind(meridian.PrimaryUnavailable, err), os.Remove(in.rewinding()))
	}
	if err != nil {
		return err
	}
	in.log.Info("pg_rewind", "said", oneLine(said), "took", time.Since(noted), "checkpoint", noted.Sub(began))
	if v.Turned && strings.Contains(said, "no rewind required") {
		return errNotDiverged
	}
	if err := in.configure(in.data(), Standby); err != nil { // the files are the primary's now
		return err
	}
	return os.Remove(in.rewinding())
}

// pgRewind runs it. To end a crash recovery it starts a server of its own, before
// it touches anything; that one refuses to run while processes of the server
// that was killed are about.
func (in *Instance) pgRewind(ctx context.Context) (said string, err error) {
	for end := time.Now().Add(lingering); ; {
		said, err = in.pipe(ctx, "", io.Discard, "pg_rewind", "--target-pgdata", in.data(),
			"--source-server", ownerConninfo(in.upstream()))
		if !held(err) || time.Now().After(end) {
			return said, err
		}
		if wait(ctx, firstPause) != nil {
			return said, err
		}
	}
}

// unconnected reports whether pg_rewind did not reach the primary, or lost it
// before it had the list of its files: until then it does not touch the data.
func unconnected(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "error: connection to server on socket") || strings.Contains(err.Error(), "could not fetch file list"))
}

func (in *Instance) rewinding() string { return filepath.Join(in.cfg.Dir, "rewinding") }

// halfRewound reports whether a rewind was cut off.
func (in *Instance) halfRewound() bool {
	_, err := os.Stat(in.rewinding())
	return !errors.Is(err, fs.ErrNotExist)
}

// checkpointUpstream makes the primary note its timeline in its control file.
// Until it has, pg_rewind says that there is nothing to do.
func (in *Instance) checkpointUpstream(ctx context.Context, timeline uint32) error {
	conn, err := connect(ctx, in.dialUpstream, Superuser, "postgres", nil)
	if err != nil {
		return meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("checkpoint on the primary: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "CHECKPOINT").ReadAll(); err != nil {
		return meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("checkpoint on the primary: %w", err))
	}
	if in.cfg.Further == "" {
		return nil
	}
	// A standby makes one only where it has replayed a primary's.
	noted, err := one(ctx, conn, "SELECT timeline_id FROM pg_control_checkpoint()")
	if err == nil && noted != strconv.FormatUint(uint64(timeline), 10) {
		err = fmt.Errorf("its last one is on timeline %s, and it follows %d", noted, timeline)
	}
	if err != nil {
		return meridian.WithKind(meridian.PrimaryUnavailable, fmt.Errorf("checkpoint on the region's PostgreSQL: %w", err))
	}
	return nil
}

func ownerConninfo(upstream string) string {
	return fmt.Sprintf("host='%s' port=5432 user=%s dbname=postgres application_name=pg_rewind connect_timeout=10 sslmode=disable gssencmode=disable",
		upstream, Superuser)
}
