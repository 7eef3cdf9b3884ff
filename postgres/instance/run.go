package instance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"meridian"
	"meridian/internal/proc"
)

const (
	fastShutdown      = 8 * time.Second // then SIGQUIT
	immediateShutdown = time.Second     // then SIGKILL to the group
	firstPause        = 100 * time.Millisecond
	longestPause      = 3 * time.Second
)

// errForeign ends a PostgreSQL whose data is of another database than the
// primary's.
var errForeign = errors.New("the primary is another database")

// Run makes the data if there is none, runs PostgreSQL on it in that role, and
// starts it again when it dies. It calls ready once, when PostgreSQL first
// accepts connections; a standby's reads are consistent then, though maybe old.
//
// It returns nil once ctx is canceled and PostgreSQL has ended (at most 10 s),
// and an error if the data cannot be used or PostgreSQL never came up on it.
func (in *Instance) Run(ctx context.Context, role Role, ready func()) error {
	if err := in.prepare(); err != nil {
		return in.fail(err)
	}
	unlock, err := in.lock()
	if err != nil {
		return in.fail(err)
	}
	defer unlock()
	if role == Standby {
		stop, err := in.serveUpstream(ctx)
		if err != nil {
			return in.fail(err)
		}
		defer stop()
	}
	ready = sync.OnceFunc(ready)
	came := false // up at least once
	up := func() { came = true; ready() }
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := in.once(ctx, role, up)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errForeign): // Decide sees it too
		case !came || meridian.KindOf(err) == meridian.Invalid:
			return in.fail(err)
		default:
			in.log.Error("postgres ended, starting it again", "pause", pause, "err", err)
		}
		if wait(ctx, pause) != nil {
			return nil
		}
	}
}

func (in *Instance) fail(err error) error {
	return fmt.Errorf("PostgreSQL of %s: %w", in.cfg.Region, err)
}

// once prepares the data and runs PostgreSQL until it ends.
func (in *Instance) once(ctx context.Context, role Role, up func()) error {
	if err := in.provide(ctx, role); err != nil {
		return err
	}
	if err := in.configure(in.data(), role); err != nil {
		return err
	}
	if err := in.clearStale(ctx); err != nil {
		return err
	}
	return in.serve(ctx, up)
}

// serve runs the postmaster until ctx is canceled (then nil) or it ends.
func (in *Instance) serve(ctx context.Context, up func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	foreign := func() {
		select {
		case in.foreign <- struct{}{}:
		default:
		}
		cancel(errForeign)
	}
	out := &logWriter{log: in.log, foreign: foreign}
	cmd := in.command("postgres", "-D", in.data())
	cmd.Stderr = out
	began := time.Now()
	p, err := proc.Start(cmd)
	if err != nil {
		return err
	}
	in.stats.starts.Inc()
	in.running.Store(int64(p.PID()))
	defer in.running.Store(0)
	defer in.stats.up.Set(0)

	var probing sync.WaitGroup
	probing.Go(func() {
		if in.accepts(ctx, p) {
			in.stats.up.Set(1)
			in.log.Info("postgres accepts connections", "version", in.bin.Version, "after", time.Since(began))
			up()
		}
	})
	defer probing.Wait()
	select {
	case <-p.Done():
		cancel(nil)
		return fmt.Errorf("postgres ended by itself (%v): %s", p.Err(), out.complaint())
	case <-ctx.Done():
		stop(p)
		return context.Cause(ctx)
	}
}

// stop ends a postmaster: fast, then at once, then by force. What was
// committed survives each of them.
func stop(p *proc.Process) {
	p.Signal(syscall.SIGINT)
	timer := time.NewTimer(fastShutdown)
	defer timer.Stop()
	select {
	case <-p.Done():
		return
	case <-timer.C:
	}
	ctx, cancel := context.WithTimeout(context.Background(), immediateShutdown)
	defer cancel()
	p.Stop(ctx, syscall.SIGQUIT)
}

// accepts waits until PostgreSQL lets the superuser in, and reports whether
// that came before ctx or the process ended. It tries only once the
// postmaster's status is "ready": each try before that is a line in the log.
func (in *Instance) accepts(ctx context.Context, p *proc.Process) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if pid, status := in.postmaster(); pid == p.PID() && status == "ready" {
			if conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil); err == nil {
				conn.Close(ctx)
				return true
			}
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
