package instance

import (
	"context"
	"errors"
	"sync"

	"meridian/internal/proc"
)

// errStopped ends a PostgreSQL that Stop was called for.
var errStopped = errors.New("stopped")

// A life is what was asked of a running instance, and how far it is.
type life struct {
	mu sync.Mutex // guards what follows
	lifeState
	changed chan struct{} // closed at each change
}

type lifeState struct {
	supervised bool // Run runs
	role       Role
	promoting  bool // role says standby; the data says whether it still is one
	stopped    bool // PostgreSQL shall not run

	run     context.CancelCauseFunc // ends what once does; nil while nothing runs
	process *proc.Process           // the newest postmaster
	up      bool                    // PostgreSQL accepts connections
	step    Step                    // that is taken before it can start
	err     error                   // why the last run ended, or nil
}

// now returns the state and a channel that is closed when it changes.
func (l *life) now() (lifeState, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.lifeState, l.changed
}

func (l *life) set(change func(*lifeState)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.lifeState)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// until waits for a state that done accepts.
func (l *life) until(ctx context.Context, done func(lifeState) bool) (lifeState, error) {
	for {
		s, changed := l.now()
		if done(s) {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
}
