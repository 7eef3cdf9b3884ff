package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"meridian"
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
	if err := in.ready(ctx, role); err != nil {
		return err
	}
	return in.serve(ctx, role, nil, up)
}

// ready makes the data such that PostgreSQL can start on it in that role.
func (in *Instance) ready(ctx context.Context, role Role) error {
	if err := in.provide(ctx, role); err != nil {
		return err
	}
	if err := in.configure(in.data(), role); err != nil {
		return err
	}
	if err := in.clearStale(ctx); err != nil || role != Standby {
		return err
	}
	c, err := in.control(ctx, in.data())
	if err != nil {
		return err
	}
	if err := in.unreserve(c.newest()); err != nil {
		return err
	}
	return in.dropStubs(ctx, c)
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
