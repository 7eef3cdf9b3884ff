package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"meridian/config"
	"meridian/internal/sockdir"
)

// Options say which world to bring up, and how.
type Options struct {
	File    *config.File
	State   string // folder; made if it does not exist
	Block   int    // 127.Block.0.0/16; 0 takes the first free one
	Program string // the meridian binary that nodes run
	Build   Builder
	Report  func(Progress) // told of each part as it becomes ready
}

// ErrRunning says that the state folder's world is up already.
var ErrRunning = errors.New("already running")

// Up brings a world up, calls ready with its record, and runs it until ctx is
// over or somebody asks for its end. It returns once every process is gone.
func Up(ctx context.Context, o Options, ready func(Record)) error {
	state, note, err := settle(o.State)
	if err != nil {
		return err
	}
	if old, err := Read(state); err == nil && Connect(old).Alive(ctx) {
		return ErrRunning
	}
	if note != "" {
		o.Report(Progress{Note: note})
	}
	if os.Getuid() != 0 {
		o.Report(Progress{Note: "not root: PostgreSQL and the functions run as you, not each as a user of its own"})
	}
	plan, block, held, err := takeBlock(o, state)
	if err != nil {
		return err
	}
	defer held.Close()
	plan, record, err := prepare(ctx, o, plan, block, state)
	if err != nil {
		return err
	}
	s, err := newSupervisor(state, o.Program, plan, o.Report)
	if err != nil {
		return err
	}
	return s.run(ctx, record, ready)
}

// prepare makes everything that nodes need before the first of them starts.
// Nothing runs yet when it fails.
func prepare(ctx context.Context, o Options, plan config.File, block int, state string) (config.File, Record, error) {
	var err error
	step := func(part string, do func() error) {
		begin := time.Now()
		if err == nil {
			if err = do(); err == nil {
				o.Report(Progress{Part: part, Took: time.Since(begin)})
			}
		}
	}
	step("secrets", func() error { return secrets(&plan, state) })
	step("certificates", func() error { return certificates(&plan) })
	step("functions built", func() error { return bundles(ctx, &plan, state, o.Build) })
	if err != nil {
		return plan, Record{}, err
	}
	dir, err := sockdir.For(state)
	if err != nil {
		return plan, Record{}, err
	}
	control, _ := plan.Node(ControlNode)
	return plan, Record{
		PID: os.Getpid(), Block: block, Domain: plan.Domain, State: state,
		CA:     filepath.Join(plan.PKI, "ca.pem"),
		Admin:  fmt.Sprintf("http://%s:%d", control.Address, control.Ports.Admin),
		Token:  filepath.Join(state, "secrets", AdminToken),
		Socket: filepath.Join(dir, "supervisor.sock"),
		Plan:   filepath.Join(state, "world.yaml"),
	}, nil
}

// takeBlock claims the block that is asked for, or that of the last time, or
// else the first free one.
func takeBlock(o Options, state string) (config.File, int, io.Closer, error) {
	plan, block, held, err := take(*o.File, previousBlock(o.Block, state), state)
	if err != nil && o.Block == 0 {
		return take(*o.File, 0, state)
	}
	return plan, block, held, err
}

// previousBlock returns the block that is asked for, or the one that this
// state folder's world had the last time: addresses should not change.
func previousBlock(asked int, state string) int {
	if asked != 0 {
		return asked
	}
	if old, err := Read(state); err == nil {
		return old.Block
	}
	return 0
}

// run starts the nodes and stays until the end.
func (s *Supervisor) run(ctx context.Context, record Record, ready func(Record)) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	os.Remove(record.Socket)
	l, err := net.Listen("unix", record.Socket)
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	srv := &http.Server{Handler: s.handler(end)}
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(l) }() // awaited below
	defer func() { srv.Close(); <-served; os.Remove(record.Socket) }()
	if err := record.write(); err != nil {
		return err
	}
	err = s.startAll(ctx)
	if err == nil {
		ready(record)
		<-ctx.Done()
	} else if ctx.Err() != nil {
		err = nil // told to end while starting
	}
	end()
	s.stopAll()
	return err
}
