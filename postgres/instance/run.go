package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// errStranded ends a PostgreSQL that cannot follow the primary from the data
// that it has.
var errStranded = errors.New("it cannot follow the primary from this data")

// Run makes the data if there is none, runs PostgreSQL on it in that role, and
// starts it again when it dies. It calls ready once, when PostgreSQL first
// accepts connections; a standby's reads are consistent then, though maybe old.
// Meanwhile Stop, Start, Promote, Recruit and Follow may be called.
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
	if in.deps.Upstream != nil {
		stop, err := in.serveUpstream(ctx)
		if err != nil {
			return in.fail(err)
		}
		defer stop()
	}
	in.life.set(func(s *lifeState) { *s = lifeState{supervised: true, role: role} })
	defer in.life.set(func(s *lifeState) { s.supervised = false })
	return in.supervise(ctx, sync.OnceFunc(ready))
}

// supervise runs PostgreSQL whenever it shall run, until ctx is canceled.
func (in *Instance) supervise(ctx context.Context, ready func()) error {
	came := false // up at least once
	pause, began := firstPause, time.Now()
	up := func() { came, pause = true, firstPause; ready() }
	for {
		if _, err := in.life.until(ctx, func(s lifeState) bool { return !s.stopped }); err != nil {
			return nil
		}
		err := in.once(ctx, up)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errStopped):
			continue
		case errors.Is(err, errStranded): // Decide sees it too
		case held(err) && time.Since(began) < lingering:
			in.log.Warn("processes of a PostgreSQL that was killed are still about", "pause", pause)
		case !came || meridian.KindOf(err) == meridian.Invalid:
			return in.fail(err)
		default:
			in.log.Error("postgres ended, starting it again", "pause", pause, "err", err)
		}
		in.rest(ctx, pause)
		pause = min(2*pause, longestPause)
	}
}

// lingering is how long processes of a PostgreSQL that was killed may take to
// notice.
const lingering = 5 * time.Second

// held reports whether a server did not start because of them: they have the
// shared memory of the one before.
func held(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "pre-existing shared memory block") || strings.Contains(err.Error(), "old server processes"))
}

// rest waits before the next try, unless PostgreSQL shall not run at all.
func (in *Instance) rest(ctx context.Context, pause time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	in.life.until(ctx, func(s lifeState) bool { return s.stopped })
}

func (in *Instance) fail(err error) error {
	return fmt.Errorf("PostgreSQL of %s: %w", in.cfg.Region, err)
}

// once prepares the data and runs PostgreSQL until it ends.
func (in *Instance) once(ctx context.Context, up func()) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in.life.set(func(s *lifeState) {
		if s.run = cancel; s.stopped {
			cancel(errStopped)
		}
	})
	defer in.life.set(func(s *lifeState) { s.run, s.up, s.err = nil, false, err })
	role, err := in.settleRole()
	if err != nil {
		return err
	}
	up = in.counted(up)
	if in.cfg.Outlive {
		p, err := in.adopt(ctx, role)
		if err != nil {
			return err
		}
		if p != nil {
			return in.serve(ctx, role, p, up)
		}
	}
	if err := in.provide(ctx, role); err != nil {
		return err
	}
	if err := in.configure(in.data(), role); err != nil {
		return err
	}
	if err := in.clearStale(ctx); err != nil {
		return err
	}
	if role == Standby {
		c, err := in.control(ctx, in.data())
		if err != nil {
			return err
		}
		if err := in.unreserve(c.newest()); err != nil {
			return err
		}
	}
	return in.serve(ctx, role, nil, up)
}

// counted also notes that PostgreSQL is up.
func (in *Instance) counted(up func()) func() {
	return func() { in.life.set(func(s *lifeState) { s.up = true }); up() }
}

// settleRole returns the role to run in. A promotion that a crash cut off is
// done if the data says so, and to be asked for again if not.
func (in *Instance) settleRole() (Role, error) {
	s, _ := in.life.now()
	if !s.promoting {
		return s.role, nil
	}
	f, err := inspect(in.data())
	if err != nil || f.Standby {
		return Standby, err
	}
	return Primary, nil
}

// serve runs the postmaster, or the one that is adopted, until ctx is canceled
// or it ends.
func (in *Instance) serve(ctx context.Context, role Role, p *proc.Process, up func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &logWriter{log: in.log, trouble: func(why trouble) {
		if role == Standby {
			in.strand(cancel, why)
		}
	}}
	began := time.Now()
	from := in.logEndsAt()
	if p == nil {
		var err error
		if p, err = in.launch(out); err != nil {
			return err
		}
		from = 0
	}
	in.running.Store(int64(p.PID()))
	in.life.set(func(s *lifeState) { s.process = p })
	defer in.running.Store(0)
	defer in.stats.up.Set(0)

	var helping sync.WaitGroup
	defer helping.Wait()
	drained := func() {}
	if in.cfg.Outlive {
		ended, read := make(chan struct{}), make(chan struct{})
		go func() { defer close(read); in.follow(from, out, ended) }() // drained waits
		drained = sync.OnceFunc(func() { close(ended); <-read })
		defer drained()
	}
	helping.Go(func() {
		if in.accepts(ctx, p) {
			if role == Standby {
				if err := in.sortsAlike(ctx); meridian.KindOf(err) == meridian.Invalid {
					cancel(err)
					return
				} else if err != nil && ctx.Err() == nil {
					in.log.Warn("whether this machine sorts as the primary's does is not known", "err", err)
				}
			}
			in.stats.up.Set(1)
			in.log.Info("postgres accepts connections", "version", in.bin.Version, "after", time.Since(began))
			up()
			in.checkpoints(ctx)
		}
	})
	if role == Standby && in.cfg.Further == "" {
		helping.Go(func() { in.payDebt(ctx) })
		helping.Go(func() { in.keepSlots(ctx) })
	}
	defer cancel(nil)
	select {
	case <-p.Done():
		drained()
		return fmt.Errorf("postgres ended by itself (%v): %s", p.Err(), out.complaint())
	case <-ctx.Done():
		if !in.leaving.Load() {
			stop(p)
		}
		return context.Cause(ctx)
	}
}

// strand ends a PostgreSQL that cannot follow from here; Decide shall ask.
func (in *Instance) strand(cancel context.CancelCauseFunc, why trouble) {
	select {
	case in.trouble <- why:
	default:
	}
	cancel(errStranded)
}

// checkpoints makes one whenever chores asks for it, until ctx is canceled.
func (in *Instance) checkpoints(ctx context.Context) {
	for {
		select {
		case <-in.chores:
		case <-ctx.Done():
			return
		}
		if err := in.Checkpoint(ctx); err != nil && ctx.Err() == nil {
			in.log.Warn("checkpoint failed", "err", err)
		}
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
