// Package lifecycle runs the parts of a node: it starts them in order, and
// stops them in the opposite order.
//
// A request enters a node at the edge and ends at the database, so a node is
// built from the database up and taken down from the edge: nothing accepts
// work that the parts below it can no longer finish.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RunFunc serves until ctx is canceled. It calls ready once, when it can do its
// work; the next part is started only then. When ctx is canceled it finishes
// what it has accepted and returns nil.
type RunFunc func(ctx context.Context, ready func()) error

// A Group is an ordered list of parts. The zero value is empty and usable.
type Group struct {
	// Grace says how long each part may take to stop, when it is told to. Nil
	// means 10s.
	Grace func() time.Duration
	// Started, if set, is told of each part that got ready, and how long it took.
	Started func(name string, took time.Duration)

	parts []*part
}

// Add appends a part. A part may use the parts added before it.
func (g *Group) Add(name string, run RunFunc) {
	g.parts = append(g.parts, &part{name: name, run: run})
}

// Run starts every part and blocks until ctx is canceled or a part returns.
// It then stops the parts, last started first. It returns the failures of all
// parts, joined, or nil if ctx was canceled and every part stopped cleanly.
func (g *Group) Run(ctx context.Context) error {
	ctx, fail := context.WithCancel(ctx)
	defer fail()

	var started []*part
	for _, p := range g.parts {
		started = append(started, p)
		begin := time.Now()
		if !p.start(ctx, fail) {
			break
		}
		if g.Started != nil {
			g.Started(p.name, time.Since(begin))
		}
	}
	if len(started) == len(g.parts) {
		<-ctx.Done()
	}

	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		errs = append(errs, started[i].stop(g.grace()))
	}
	return errors.Join(errs...)
}

func (g *Group) grace() time.Duration {
	if g.Grace == nil {
		return 10 * time.Second
	}
	return g.Grace()
}

type part struct {
	name string
	run  RunFunc
	quit context.CancelFunc
	done chan struct{} // closed when run has returned
	err  error         // what run returned; read only once done is closed
}

// start runs p, calls fail when it returns, and reports whether it got ready.
func (p *part) start(ctx context.Context, fail func()) bool {
	// A part outlives ctx: ctx says when to begin stopping, not to be gone.
	own, quit := context.WithCancel(context.WithoutCancel(ctx))
	p.quit, p.done = quit, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer fail()
		defer close(p.done)
		p.err = p.run(own, func() { close(ready) })
		if p.err == nil && own.Err() == nil {
			p.err = errors.New("returned before it was stopped")
		}
	}()
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *part) stop(grace time.Duration) error {
	p.quit()
	select {
	case <-p.done:
	case <-time.After(grace):
		return fmt.Errorf("%s: still running %v after it was stopped", p.name, grace)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}
