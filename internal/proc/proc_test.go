package proc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sh = "/bin/sh"

func TestOutputAndExitStatusComeBack(t *testing.T) {
	var out bytes.Buffer
	p, err := Start(Cmd{Path: sh, Args: []string{"-c", "cat; echo $WHO; exit 3"}, Env: []string{"WHO=me"}, Stdin: strings.NewReader("in "), Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Err(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("ended with %v, want exit status 3", err)
	}
	if out.String() != "in me\n" {
		t.Errorf("wrote %q", out.String())
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal after the end: %v", err)
	}
}

func TestMissingProgramIsAnError(t *testing.T) {
	if _, err := Start(Cmd{Path: "/nowhere/at/all"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsTheGroupOfAChildThatIgnoresSIGTERM(t *testing.T) {
	r, w := pipe(t)
	p, err := Start(Cmd{Path: sh, Args: []string{"-c", `trap "" TERM; sleep 1000 & echo ready; wait; sleep 1000`}, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx, syscall.SIGTERM); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	gone(t, out)
}

func TestGroupEndsWithItsLeader(t *testing.T) {
	r, w := pipe(t)
	p, err := Start(Cmd{Path: sh, Args: []string{"-c", "sleep 1000 & exit 0"}, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	gone(t, r) // sleep held the pipe
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, w
}

// gone waits until nobody holds the pipe's other end.
func gone(t *testing.T, r io.Reader) {
	t.Helper()
	end := make(chan struct{})
	go func() {
		io.Copy(io.Discard, r)
		close(end)
	}()
	select {
	case <-end:
	case <-time.After(10 * time.Second):
		t.Fatal("a process still holds the pipe")
	}
}
