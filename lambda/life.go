package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/lambda/bundle"
	"meridian/lambda/pool"
	"meridian/lambda/runtimeapi"
	"meridian/lambda/sandbox"
)

// An attachment is one database of one environment.
type attachment struct {
	name string
	db   Database
}

// run starts the process, waits for its end, which may be asked for by quit
// or ctx, and settles what it leaves behind.
func (e *environment) run(ctx context.Context) {
	var undo []func()
	defer func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}()
	box, err := e.start(&undo)
	if err != nil {
		e.bury(nil, fail(initFailed, "start: %v", err))
		return
	}
	failed := e.watch(ctx, box)
	exit := box.Exit()
	e.bury(&exit, failed)
}

// start makes all that the process needs, and the process. What it made, undo
// undoes, last first.
func (e *environment) start(undo *[]func()) (*sandbox.Sandbox, error) {
	fn := e.f.fn
	task, err := e.f.place()
	if err != nil {
		return nil, err
	}
	scratch := filepath.Join(e.f.dir, fn.Name, e.name)
	if err := sandbox.Private(scratch, fn.UID, fn.GID); err != nil {
		return nil, err
	}
	*undo = append(*undo, func() { os.RemoveAll(scratch) })

	ln, err := sandbox.Listen(context.Background(), e.f.cfg.Listen, fn.UID)
	if err != nil {
		return nil, fmt.Errorf("open a Runtime API: %w", err)
	}
	*undo = append(*undo, e.serve(ln))

	vars, err := e.attach(undo)
	if err != nil {
		return nil, err
	}
	r := sandbox.Runtime{
		Function: fn.Name, Region: string(e.f.cfg.Region), API: ln.Addr().String(), LogStream: time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + e.name,
		MemoryMiB: fn.MemoryMiB, Concurrency: fn.Concurrency, Kept: e.kept, TaskRoot: task, Scratch: scratch,
	}
	return e.f.memory.Start(sandbox.Spec{
		Name: e.name, Program: filepath.Join(task, bundle.Bootstrap), Dir: task,
		Env: sandbox.Environ(r, fn.Env, vars), UID: fn.UID, GID: fn.GID, MemoryMiB: fn.MemoryMiB, Line: e.line,
	})
}

// serve serves the Runtime API on ln until the function that it returns is
// called, which waits for the server's end.
func (e *environment) serve(ln net.Listener) (stop func()) {
	var running sync.WaitGroup // Serve, and each connection
	srv := &http.Server{
		Handler: runtimeapi.Handler{Host: e}, MaxHeaderBytes: runtimeapi.MaxHeader,
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				running.Add(1)
			case http.StateClosed:
				running.Done()
			}
		},
	}
	running.Go(func() { srv.Serve(ln) }) // returns when it is closed
	return func() {
		srv.Close()
		running.Wait()
	}
}

// attach announces the environment to its databases and returns the variables
// that name them.
func (e *environment) attach(undo *[]func()) (map[string]string, error) {
	vars := map[string]string{}
	for i, name := range e.f.fn.Databases {
		db := e.f.databases[name]
		u, detach, err := db.Attach(e.name)
		if err != nil {
			return nil, fmt.Errorf("attach to database %s: %w", name, err)
		}
		*undo = append(*undo, detach)
		e.attached = append(e.attached, attachment{name, db})
		vars["DATABASE_URL_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = u
		if i > 0 {
			continue
		}
		vars["DATABASE_URL"] = u
		if err := libpq(u, vars); err != nil {
			return nil, fmt.Errorf("database %s: %w", name, err)
		}
	}
	return vars, nil
}

// libpq adds the variables that say the same as a URL to PostgreSQL's clients.
func libpq(raw string, vars map[string]string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("its URL cannot be read") // the error would show the password
	}
	password, _ := u.User.Password()
	for name, v := range map[string]string{
		"PGHOST": u.Hostname(), "PGPORT": u.Port(), "PGUSER": u.User.Username(), "PGPASSWORD": password,
		"PGDATABASE": strings.TrimPrefix(u.Path, "/"), "PGSSLMODE": u.Query().Get("sslmode"),
	} {
		if v != "" {
			vars[name] = v
		}
	}
	return nil
}

// watch waits for the process's end, and brings it about when it must. It
// returns why the start failed, if it did.
func (e *environment) watch(ctx context.Context, box *sandbox.Sandbox) (failed error) {
	limit := time.NewTimer(e.f.cfg.InitTimeout)
	defer limit.Stop()
	ready := e.ready
	for {
		select {
		case <-ready:
			ready = nil
			limit.Stop()
		case <-limit.C:
			box.Kill()
			return fail(initTimedOut, "Init timed out after %.2f seconds", e.f.cfg.InitTimeout.Seconds())
		case <-box.Done():
			return nil
		case <-e.quit:
			if e.isLate() {
				box.Kill()
			} else {
				box.Terminate(e.f.cfg.Grace)
			}
			return nil
		case <-ctx.Done():
			e.stop()
			box.Terminate(e.f.cfg.Grace)
			return nil
		}
	}
}

// stop notes that the process ends because the node does.
func (e *environment) stop() {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	e.state, e.stopped = pool.Leaving, true
}

func (e *environment) isLate() bool {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	return e.late
}

// bury takes a dead environment out of its fleet, and fails what it held. exit
// is nil if it never ran; failed says why its start failed, if that is known.
func (e *environment) bury(exit *sandbox.Exit, failed error) {
	f := e.f
	f.mu.Lock()
	expected := e.state == pool.Leaving || e.initErr != nil
	switch {
	case e.initErr != nil:
		failed = reported(initFailed, *e.initErr)
	case failed == nil && !expected && e.answered == 0 && len(e.calls) == 0:
		failed = died("-", *exit)
	}
	e.state = pool.Leaving
	held := slices.Collect(maps.Values(e.calls))
	clear(e.calls)
	f.remove(e, failed)
	orphans, why := f.orphans()
	f.mu.Unlock()

	e.report(exit, failed, held, expected)
	for _, c := range held {
		c.timer.Stop()
		if e.stopped {
			c.finish(nil, fail(notRunning, "the node stopped before %s answered", f.fn.Name))
		} else {
			c.finish(nil, died(c.inv.ID, *exit))
		}
	}
	for _, c := range orphans {
		c.finish(nil, why)
	}
	f.kick()
}

// report tells the operator how an environment ended.
func (e *environment) report(exit *sandbox.Exit, failed error, held []*call, expected bool) {
	var facts []any
	if exit != nil {
		facts = append(facts, "exit", exit.String(), "out_of_memory", exit.OutOfMemory)
	}
	var requests []string
	for _, c := range held {
		if !c.late {
			requests = append(requests, c.inv.ID)
		}
	}
	switch {
	case failed != nil:
		if exit != nil {
			facts = append(facts, "stderr", exit.Stderr)
		}
		e.log.Error("function failed to start", append(facts, "err", failed)...)
	case exit != nil && (!expected || exit.OutOfMemory):
		e.f.m.crashes.Inc()
		e.log.Error("function crashed", append(facts, "requests", requests, "stderr", exit.Stderr)...)
	default:
		e.log.Info("environment ended", facts...)
	}
}

// line logs what the process writes, with the request if that is known: the
// only one that it has, or, as a line may come after the answer, had.
func (e *environment) line(stream, line string) {
	e.log.Info("function output", "stream", stream, "request", e.request(), "line", line)
}

func (e *environment) request() string {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	switch {
	case len(e.calls) == 1:
		for _, c := range e.calls {
			return c.inv.ID
		}
	case len(e.calls) == 0 && e.f.fn.Concurrency == 1:
		return e.last
	}
	return ""
}
