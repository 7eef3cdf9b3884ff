package lambda

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"meridian"
	"meridian/lambda/pool"
	"meridian/lambda/sandbox"
)

// maxEvent is the most bytes that an event may have: Lambda's 6 MiB.
const maxEvent = 6 << 20

// A Lambda runs the functions of one region.
type Lambda struct {
	cfg       Config
	databases map[string]Database
	log       *slog.Logger
	tracer    trace.Tracer
	metrics   *metrics
	fleets    map[string]*fleet
	session   string // tells this run's environments from those of the one before

	// Set by Run before anything is started.
	memory *sandbox.Memory
	dir    string
}

// New checks the config. It starts nothing.
func New(cfg Config, deps Deps) (*Lambda, error) {
	cfg, deps = cfg.withDefaults(), deps.withDefaults()
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	l := &Lambda{
		cfg: cfg, databases: deps.Databases, log: deps.Log, tracer: deps.Tracer, metrics: m,
		fleets: map[string]*fleet{}, session: strings.ToLower(rand.Text()[:8]),
	}
	for _, fn := range cfg.Functions {
		if err := fn.check(deps); err != nil {
			return nil, fmt.Errorf("function %q: %w", fn.Name, err)
		}
		if l.fleets[fn.Name] != nil {
			return nil, fmt.Errorf("function %q: there are two", fn.Name)
		}
		l.fleets[fn.Name] = newFleet(l, fn)
	}
	return l, nil
}

// Run starts the functions' minimum and serves until ctx ends. It calls ready
// once each of those processes has asked for work, or has failed to start.
// When ctx ends, new invocations are refused and those that were accepted are
// given Config.Drain to end.
func (l *Lambda) Run(ctx context.Context, ready func()) error {
	undo, err := l.prepare()
	if err != nil {
		return fmt.Errorf("lambda: %w", err)
	}
	defer undo()

	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var fleets sync.WaitGroup
	for _, f := range l.fleets {
		fleets.Go(func() { f.run(life) })
	}
	if l.started(ctx) {
		ready()
		<-ctx.Done()
	}
	l.drain()
	end()
	fleets.Wait()
	return nil
}

// prepare makes the folder and finds out how memory is limited.
func (l *Lambda) prepare() (undo func(), err error) {
	l.dir = l.cfg.Dir
	if l.dir == "" {
		if l.dir, err = os.MkdirTemp("", "meridian-lambda-"); err != nil {
			return nil, err
		}
		if err := os.Chmod(l.dir, 0o711); err != nil { // the functions' users pass through it
			return nil, err
		}
	}
	l.memory = sandbox.NewMemory(l.log)
	return func() {
		l.memory.Close()
		if l.cfg.Dir == "" {
			os.RemoveAll(l.dir)
		}
	}, nil
}

// started waits until all functions are up. It reports false if ctx ended first.
func (l *Lambda) started(ctx context.Context) bool {
	for _, f := range l.fleets {
		select {
		case <-f.up:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// drain waits for what was accepted, but not for ever.
func (l *Lambda) drain() {
	var idle []<-chan struct{}
	for _, f := range l.fleets {
		idle = append(idle, f.drain())
	}
	limit := time.NewTimer(l.cfg.Drain)
	defer limit.Stop()
	for _, done := range idle {
		select {
		case <-done:
		case <-limit.C:
			return
		}
	}
}

// Invoke runs a function once and waits for its answer, until ctx ends or the
// invocation's deadline passes; without a deadline, twice the function's
// timeout. The event is never given to a second process, whatever happens.
//
// Observed is set beside an error too: an invocation that failed may have
// written.
func (l *Lambda) Invoke(ctx context.Context, inv meridian.Invocation) (meridian.Answer, error) {
	f := l.fleets[inv.Function]
	switch {
	case f == nil:
		return meridian.Answer{}, fail(functionUnknown, "Function not found: %s", inv.Function)
	case len(inv.Event) > maxEvent:
		return meridian.Answer{}, fail(eventTooLarge, "an event of %d bytes, want at most %d", len(inv.Event), maxEvent)
	}
	ctx, span := l.tracer.Start(withParent(ctx, inv), "lambda.invoke")
	defer span.End()
	c := &call{
		inv: inv, ctx: context.WithoutCancel(ctx), xray: xray(trace.SpanContextFromContext(ctx)),
		arrived: time.Now(), done: make(chan struct{}),
	}
	f.m.inFlight.Inc()
	answer, err := f.invoke(ctx, c)
	f.m.inFlight.Dec()
	f.record(span, c, err)
	return answer, err
}

func (f *fleet) invoke(ctx context.Context, c *call) (meridian.Answer, error) {
	deadline := c.inv.Deadline
	if deadline.IsZero() {
		deadline = c.arrived.Add(2 * f.fn.Timeout)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := f.submit(c); err != nil {
		return meridian.Answer{}, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return meridian.Answer{}, f.gone(c, ctx.Err())
	}
	a := meridian.Answer{Observed: c.observed}
	if c.err == nil {
		a.Body = io.NopCloser(bytes.NewReader(c.answer))
	}
	return a, c.err
}

// gone returns the error for a caller who waits no longer.
func (f *fleet) gone(c *call, cause error) error {
	waited := f.abandon(c)
	switch {
	case !errors.Is(cause, context.DeadlineExceeded):
		return meridian.WithKind(meridian.Canceled, fmt.Errorf("invoke %s: %w", f.fn.Name, cause))
	case waited:
		return fail(noSlot, "no slot of %s got free before the deadline: %s", f.fn.Name, c.why)
	}
	return meridian.WithKind(meridian.Timeout, fmt.Errorf("invoke %s: the caller's deadline passed: %w", f.fn.Name, cause))
}

// record says in span and metrics what became of c.
func (f *fleet) record(span trace.Span, c *call, err error) {
	f.mu.Lock()
	env, cold, why := "", c.cold, c.why
	if c.env != nil {
		env = c.env.name
	}
	f.mu.Unlock()
	f.m.ended(time.Since(c.arrived), cold, err)
	span.SetAttributes(
		attribute.String("function", f.fn.Name), attribute.String("env", env),
		attribute.Bool("cold start", cold), attribute.String("why", why),
	)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
}

// Stats is what is known of one function at this instant.
type Stats struct {
	Function string
	pool.View
	Failure string // of the last start, if it failed
}

// Stats returns what is known of each function, in the order of the config.
func (l *Lambda) Stats() []Stats {
	all := make([]Stats, 0, len(l.cfg.Functions))
	for _, fn := range l.cfg.Functions {
		f := l.fleets[fn.Name]
		f.mu.Lock()
		s := Stats{Function: fn.Name, View: f.view(time.Now())}
		if f.failure != nil {
			s.Failure = f.failure.Error()
		}
		f.mu.Unlock()
		all = append(all, s)
	}
	return all
}
