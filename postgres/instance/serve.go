package instance

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"meridian"
	"meridian/internal/proc"
)

// A tenure is one postmaster's time, from its start, or from when it was
// adopted, to its end.
type tenure struct {
	in     *Instance
	role   Role
	p      *proc.Process
	out    *logWriter
	began  time.Time
	cancel context.CancelCauseFunc // ends it
}

// serve runs the postmaster, or the one that is adopted, until ctx is canceled
// or it ends.
func (in *Instance) serve(ctx context.Context, role Role, p *proc.Process, up func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t := &tenure{in: in, role: role, p: p, began: time.Now(), cancel: cancel}
	t.out = &logWriter{log: in.log, trouble: t.trouble}
	from, err := t.begin()
	if err != nil {
		return err
	}
	defer in.running.Store(0)
	defer in.stats.up.Set(0)
	var helping sync.WaitGroup
	defer helping.Wait()
	drained := t.listen(from)
	defer drained()
	defer cancel(nil)
	helping.Go(func() { t.open(ctx, up) })
	if role == Standby && in.cfg.Further == "" {
		helping.Go(func() { in.payDebt(ctx) })
		helping.Go(func() { in.keepSlots(ctx) })
	}
	select {
	case <-t.p.Done():
		drained()
		return fmt.Errorf("postgres ended by itself (%v): %s", t.p.Err(), t.out.complaint())
	case <-ctx.Done():
		if !in.leaving.Load() {
			stop(t.p)
		}
		return context.Cause(ctx)
	}
}

// begin starts the postmaster, if none is adopted, and returns from where in
// its log it has not been heard.
func (t *tenure) begin() (from int64, err error) {
	from = t.in.logEndsAt()
	if t.p == nil {
		if t.p, err = t.in.launch(t.out); err != nil {
			return 0, err
		}
		from = 0
	}
	t.in.running.Store(int64(t.p.PID()))
	t.in.life.set(func(s *lifeState) { s.process = t.p })
	return from, nil
}

// listen follows the log of a postmaster that may outlive this process. What it
// returns waits until all that was written is read.
func (t *tenure) listen(from int64) (drained func()) {
	if !t.in.cfg.Outlive {
		return func() {} // the log is a pipe
	}
	ended, read := make(chan struct{}), make(chan struct{})
	go func() { defer close(read); t.in.follow(from, t.out, ended) }() // drained waits
	return sync.OnceFunc(func() { close(ended); <-read })
}

// open calls up once PostgreSQL accepts connections, and then makes checkpoints
// until the tenure ends.
func (t *tenure) open(ctx context.Context, up func()) {
	in := t.in
	if !in.accepts(ctx, t.p) || !t.sorts(ctx) {
		return
	}
	in.stats.up.Set(1)
	in.log.Info("postgres accepts connections", "version", in.bin.Version, "after", time.Since(t.began))
	up()
	in.checkpoints(ctx)
}

// sorts reports whether PostgreSQL may be read as far as is known: a standby
// that sorts otherwise than the primary would find nothing by its indexes, and
// is ended.
func (t *tenure) sorts(ctx context.Context) bool {
	if t.role != Standby {
		return true
	}
	err := t.in.sortsAlike(ctx)
	if meridian.KindOf(err) == meridian.Invalid {
		t.cancel(err)
		return false
	}
	if err != nil && ctx.Err() == nil {
		t.in.log.Warn("whether this machine sorts as the primary's does is not known", "err", err)
	}
	return true
}

// trouble ends a standby that cannot follow from here; Decide shall ask.
func (t *tenure) trouble(why trouble) {
	if t.role != Standby {
		return
	}
	select {
	case t.in.trouble <- why:
	default:
	}
	t.cancel(errStranded)
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
