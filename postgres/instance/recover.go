package instance

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"meridian"
	"meridian/internal/proc"
)

// A Target is up to where a database is recovered. The zero LSN and Time mean
// the end of the log.
type Target struct {
	LSN      meridian.LSN
	Time     time.Time
	Timeline uint32
}

func (t Target) settings() map[string]string {
	s := map[string]string{
		// Relative to the data: the state folder's own name may hold anything.
		"restore_command":          `test -f ` + recoverDir + `/%f && cp ` + recoverDir + `/%f %p`,
		"recovery_target_timeline": fmt.Sprint(t.Timeline),
		"recovery_target_action":   "promote",
	}
	switch {
	case t.LSN != 0:
		s["recovery_target_lsn"] = t.LSN.String()
	case !t.Time.IsZero():
		s["recovery_target_time"] = t.Time.UTC().Format("2006-01-02 15:04:05.999999+00")
	}
	return s
}

// recoverDir is where the archive's log lies below the data while it is
// replayed.
const recoverDir = "meridian_recover"

// Recover makes this instance's data from a base backup, as BaseBackup wrote
// it, and the log that fetch puts into a folder, up to a target. The data is
// a primary's then. It becomes visible whole or not at all, and never in the
// place of a database that is there. It returns when the last transaction
// committed that was replayed, as PostgreSQL writes it; "" if none was.
func (in *Instance) Recover(ctx context.Context, backup io.Reader, fetch func(dir string) error, to Target) (last string, err error) {
	if err := in.prepare(); err != nil {
		return "", in.fail(err)
	}
	unlock, err := in.lock()
	if err != nil {
		return "", in.fail(err)
	}
	defer unlock()
	if _, err := os.Lstat(in.data()); !errors.Is(err, fs.ErrNotExist) {
		return "", meridian.WithKind(meridian.Invalid, in.fail(fmt.Errorf("%s is there already; a restore never replaces a database", in.data())))
	}
	if err := in.begin(); err != nil {
		return "", in.fail(err)
	}
	if last, err = in.refill(ctx, backup, fetch, to); err != nil {
		return "", in.fail(errors.Join(err, os.RemoveAll(in.partial())))
	}
	return last, in.finish()
}

func (in *Instance) refill(ctx context.Context, backup io.Reader, fetch func(dir string) error, to Target) (last string, err error) {
	if err := in.unpack(backup); err != nil {
		return "", fmt.Errorf("unpack the base backup: %w", err)
	}
	if err := in.program(ctx, "", "pg_verifybackup", "--quiet", in.partial()); err != nil {
		return "", fmt.Errorf("the base backup is damaged: %w", err)
	}
	logs := filepath.Join(in.partial(), recoverDir)
	if err := in.run.folder(logs); err != nil {
		return "", err
	}
	if err := fetch(logs); err != nil {
		return "", err
	}
	if err := in.ownAll(logs); err != nil {
		return "", err
	}
	if last, err = in.replay(ctx, to); err != nil {
		return "", err
	}
	if err := os.RemoveAll(logs); err != nil {
		return "", err
	}
	return last, in.configure(in.partial(), Primary)
}

func (in *Instance) ownAll(dir string) error {
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return in.run.own(name)
	})
}

// unpack writes a base backup's files. Tablespaces would lie outside of the
// data, which no instance has.
func (in *Instance) unpack(r io.Reader) error {
	root, err := os.OpenRoot(in.partial())
	if err != nil {
		return err
	}
	defer root.Close()
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return in.ownAll(in.partial())
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o700)
		case tar.TypeReg:
			err = unpackFile(root, name, t)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r)
	return err
}

// replay runs PostgreSQL until it has reached the target and is a primary, and
// stops it cleanly.
func (in *Instance) replay(ctx context.Context, to Target) (last string, err error) {
	if err := in.configure(in.partial(), Primary); err != nil {
		return "", err
	}
	s := in.cfg.settings(in.upstream())
	for _, name := range []string{"primary_conninfo", "primary_slot_name"} {
		delete(s, name)
	}
	maps.Copy(s, to.settings())
	for name, content := range map[string]string{"postgresql.conf": conf(s), "recovery.signal": ""} {
		if err := in.run.write(filepath.Join(in.partial(), name), content); err != nil {
			return "", err
		}
	}
	out := &logWriter{log: in.log, trouble: func(trouble) {}}
	cmd := in.command("postgres", "-D", in.partial())
	cmd.Stderr = out
	p, err := proc.Start(cmd)
	if err != nil {
		return "", err
	}
	defer stop(p)
	for {
		done := false
		if done, last, err = in.recovered(ctx); err == nil && done {
			break
		}
		if err := waitFor(ctx, p, 50*time.Millisecond); err != nil {
			return "", fmt.Errorf("replay the log: %w", to.explain(err, out.complaint()))
		}
	}
	if err := in.exec(ctx, "CHECKPOINT"); err != nil {
		return "", err
	}
	p.Signal(syscall.SIGINT)
	if err := waitFor(ctx, p, time.Minute); !errors.Is(err, errEnded) || p.Err() != nil {
		return "", fmt.Errorf("stop after the replay: %w: %s", errors.Join(err, p.Err()), out.complaint())
	}
	return last, nil
}

// explain says what to do about the one failure that is an operator's.
func (t Target) explain(err error, complaint string) error {
	if !strings.Contains(complaint, "recovery ended before configured recovery target") {
		return fmt.Errorf("%w: %s", err, complaint)
	}
	what := "the log in the archive has no commit after " + t.Time.UTC().Format(time.RFC3339Nano)
	if t.LSN != 0 {
		what = "the log in the archive ends before " + t.LSN.String()
	}
	return meridian.WithKind(meridian.NotFound, errors.New(what+"; without a target it is replayed to its end"))
}

var errEnded = errors.New("PostgreSQL ended")

// waitFor waits a while, but not beyond the process's end, which is an error.
func waitFor(ctx context.Context, p *proc.Process, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.Done():
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// recovered reports whether the replay is over, and of when the last
// transaction is that was replayed.
func (in *Instance) recovered(ctx context.Context) (done bool, last string, err error) {
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", map[string]string{"timezone": "UTC"})
	if err != nil {
		return false, "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r, err := row(ctx, conn, "SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()")
	if err != nil {
		return false, "", err
	}
	return r[0] == "f", r[1], nil
}

// LastTimeline returns the timeline that the data was last written on; 1 where
// there is none yet. A world that begins with restored data counts its terms
// from there: a timeline is numbered after its term (timeline.go).
func (in *Instance) LastTimeline(ctx context.Context) (uint32, error) {
	if f, err := inspect(in.data()); err != nil || !f.Exists {
		return 1, err
	}
	c, err := in.control(ctx, in.data())
	return c.newest(), err
}
