package world

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"meridian/config"
	"meridian/internal/leash"
	"meridian/internal/proc"
)

// TestMain lets this binary be a node, what a node starts, and a supervisor to
// be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve": // serve --node NODE --state DIR PLAN
			serveNode(os.Args[3], filepath.Dir(os.Args[6]))
		case "linger":
			linger()
		case "supervise":
			supervise(os.Args[2], os.Args[3])
		}
	}
	os.Exit(m.Run())
}

// serveNode is a node that does nothing but what a supervisor can see. It
// tells the test in the pipe STATE/events, and holds STATE/alive-NODE open,
// with all that it starts, for as long as they live. A file STATE/be-NODE may
// make it misbehave.
func serveNode(name, state string) {
	l := leash.Attach()
	events := pipeEnd(filepath.Join(state, "events"))
	alive := pipeEnd(filepath.Join(state, "alive-"+FolderOf(name)))
	say := func(format string, args ...any) {
		fmt.Fprintf(events, "%s %s\n", name, fmt.Sprintf(format, args...)) // one write: lines stay whole
	}
	manner, _ := os.ReadFile(filepath.Join(state, "be-"+FolderOf(name)))
	switch string(manner) {
	case "failing":
		l.Report(leash.Report{Error: "the disk is full"})
		os.Exit(1)
	case "never ready":
		forever()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "forking":
		fork(alive)
	}
	if _, err := proc.Start(proc.Cmd{Path: os.Args[0], Args: []string{"linger"}, ExtraFiles: []*os.File{alive}}); err != nil {
		say("cannot start its child: %v", err)
	}
	term := make(chan os.Signal, 1)
	if string(manner) != "stubborn" {
		signal.Notify(term, syscall.SIGTERM)
	}
	go func() { <-term; say("stops"); os.Exit(0) }()
	l.Report(leash.Report{Part: "its part"})
	l.Report(leash.Report{Ready: true})
	l.Follow(func(o leash.Order) { say("is told %v", o.Faults) })
	forever() // deaf to the end of the leash: the kernel ends it
}

// fork starts a child in a session of its own, which no signal to the node's
// group reaches and which does not die with the node.
func fork(alive *os.File) {
	cmd := exec.Command(os.Args[0], "linger")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{alive}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// linger lives until it is killed.
func linger() {
	signal.Ignore(syscall.SIGTERM)
	forever()
}

// forever waits for what nobody sends. An empty select would do for a program
// with other goroutines; one without dies of it as of a deadlock.
func forever() {
	never := make(chan os.Signal, 1)
	signal.Notify(never, syscall.SIGUSR2)
	<-never
}

// supervise runs the world of a file until it is killed.
func supervise(file, state string) {
	f, err := config.Load(file)
	if err != nil {
		panic(err)
	}
	o := Options{File: f, State: state, Program: os.Args[0], Build: noBuild, Report: func(Progress) {}}
	err = Up(context.Background(), o, func(r Record) { fmt.Println("ready"); os.Stdout.Close() })
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func noBuild(context.Context, config.Function, string) (string, error) { return os.Args[0], nil }

// pipeEnd opens the writing end of a named pipe.
func pipeEnd(path string) *os.File {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	return f
}

// namedPipe makes a pipe and opens its reading end without waiting for a writer, and a
// writing end that keeps it open until the caller closes it.
func namedPipe(t *testing.T, path string) (r, w *os.File) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	w = pipeEnd(path)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
