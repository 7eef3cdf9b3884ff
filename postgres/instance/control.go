package instance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"meridian"
)

// Stopped says where a cluster's log ends after a clean stop.
type Stopped struct {
	System   uint64
	Timeline uint32
	// LSN is the end of the shutdown checkpoint's record: a standby that has
	// replayed this much lacks nothing. For a standby that was stopped it is
	// what that had replayed for certain.
	LSN meridian.LSN
}

// Role returns what PostgreSQL runs as, or shall run as.
func (in *Instance) Role() Role {
	s, _ := in.life.now()
	return s.role
}

// PID returns that of PostgreSQL, 0 while none runs: what it was asked for once
// it may lack after another start, on data that was copied or rewound.
func (in *Instance) PID() int { return int(in.running.Load()) }

// Checkpoint writes out what changed, so that the next stop is short.
func (in *Instance) Checkpoint(ctx context.Context) error {
	return in.exec(ctx, "CHECKPOINT")
}

// exec runs a statement as the superuser.
func (in *Instance) exec(ctx context.Context, sql string) error {
	conn, err := connect(ctx, in.Dial, Superuser, "postgres", nil)
	if err != nil {
		return in.unavailable(sql, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return in.unavailable(sql, err)
	}
	return nil
}

func (in *Instance) unavailable(doing string, err error) error {
	return meridian.WithKind(meridian.Unavailable, fmt.Errorf("%s on PostgreSQL of %s: %w", doing, in.cfg.Region, err))
}

// Stop ends PostgreSQL cleanly and keeps it from running until Start. Each
// standby that is connected has received the whole log before the end; one
// that is connected but frozen holds the end up, so cut it first.
//
// When ctx ends first, or after 8 s, PostgreSQL is ended at once: it stays
// down, the error says so, and no position is known.
func (in *Instance) Stop(ctx context.Context) (Stopped, error) {
	in.life.set(func(s *lifeState) {
		if s.stopped = true; s.run != nil {
			s.run(errStopped)
		}
	})
	s, err := in.life.until(ctx, ended)
	if err != nil && s.process != nil {
		s.process.Signal(syscall.SIGQUIT)
		s, _ = in.life.until(context.WithoutCancel(ctx), ended)
	}
	if !s.supervised {
		return Stopped{}, in.unavailable("stop", errors.New("it is not run at all"))
	}
	at, stateErr := in.stoppedAt(context.WithoutCancel(ctx))
	if err = errors.Join(stateErr, err); err != nil {
		return Stopped{}, in.unavailable("stop", err)
	}
	return at, nil
}

// haltPoll is how often a PostgreSQL that stops is looked at.
const haltPoll = 2 * time.Millisecond

// Halt is the first half of a primary's Stop, for who is in a hurry: it returns
// once the shutdown checkpoint is on disk. Nothing is written any more then,
// and the position is final, while PostgreSQL still brings the end of its log
// to the standbys that are connected, for a round trip at the least. Stop waits
// for that too.
//
// When ctx ends first, it is as with Stop.
func (in *Instance) Halt(ctx context.Context) (Stopped, error) {
	in.life.set(func(s *lifeState) {
		if s.stopped = true; s.run != nil {
			s.run(errStopped)
		}
	})
	for {
		if s, _ := in.life.now(); ended(s) {
			return in.Stop(ctx)
		}
		if in.shutDown() {
			if at, err := in.stoppedAt(ctx); err == nil {
				return at, nil
			}
		}
		if wait(ctx, haltPoll) != nil {
			return in.Stop(ctx)
		}
	}
}

// Where PostgreSQL's control file has its state, in all versions that Meridian
// runs, and the state of a primary that wrote its last checkpoint.
const (
	stateOffset = 16
	stateEnded  = 1
)

// shutDown reports whether the data's control file may say "shut down". It is
// looked at without a program's start, which takes longer than the answer is
// worth; pg_controldata then says it for sure.
func (in *Instance) shutDown() bool {
	f, err := os.Open(filepath.Join(in.data(), "global", "pg_control"))
	if err != nil {
		return false
	}
	defer f.Close()
	var b [4]byte
	_, err = f.ReadAt(b[:], stateOffset)
	return err == nil && binary.NativeEndian.Uint32(b[:]) == stateEnded
}

// ended reports whether no PostgreSQL runs.
func ended(s lifeState) bool { return s.run == nil }

func (in *Instance) stoppedAt(ctx context.Context) (Stopped, error) {
	c, err := in.control(ctx, in.data())
	if err != nil {
		return Stopped{}, err
	}
	at := Stopped{System: c.System, Timeline: c.newest(), LSN: c.Recovered}
	switch c.State {
	case "shut down":
		at.LSN, err = in.checkpointEnd(in.data(), c)
	case "shut down in recovery":
	default:
		err = fmt.Errorf("it did not end cleanly: its state is %q", c.State)
	}
	return at, err
}

// Start runs PostgreSQL again in a role, and returns once it accepts
// connections. A standby that cannot do without the primary waits for it. When
// ctx ends first, PostgreSQL is still to run in that role, and tried again and
// again; the error says why it does not yet.
func (in *Instance) Start(ctx context.Context, role Role) error {
	if s, _ := in.life.now(); !s.stopped && s.role != role {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("start PostgreSQL of %s as %s: it runs as %s", in.cfg.Region, role, s.role))
	}
	in.life.set(func(s *lifeState) { s.stopped, s.role, s.promoting, s.err = false, role, false, nil })
	s, err := in.life.until(ctx, func(s lifeState) bool { return s.up || !s.supervised })
	switch {
	case err != nil:
		return in.unavailable("start", errors.Join(err, s.err))
	case !s.supervised:
		return in.unavailable("start", errors.New("it is not run at all"))
	}
	return nil
}

// Assume changes the role of a PostgreSQL that never came up since Run began:
// its data waits for somebody to follow, and shall follow nobody now.
func (in *Instance) Assume(role Role) error {
	if s, _ := in.life.now(); !s.supervised || s.up || s.stopped {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("PostgreSQL of %s does not wait to start: it cannot change to %s", in.cfg.Region, role))
	}
	in.life.set(func(s *lifeState) {
		s.role, s.promoting = role, false
		if s.run != nil {
			s.run(errStopped)
		}
	})
	return nil
}

// Data returns what the data folder holds, whoever runs on it: a primary's
// data, a standby's, or "" if there is none. A node that died on the way
// finds out here which role to Run in: only a standby's can be promoted.
func (in *Instance) Data() (Role, error) {
	f, err := inspect(in.data())
	switch {
	case err != nil || !f.Exists:
		return "", err
	case f.Standby:
		return Standby, nil
	}
	return Primary, nil
}
