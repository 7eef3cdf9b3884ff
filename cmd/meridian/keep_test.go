package main

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestWhatComesBeforeKeepIsPassedOn asks for a restart when the node has ended its
// work in this process, and nobody waits for signals: the process that has its
// place hears it.
func TestWhatComesBeforeKeepIsPassedOn(t *testing.T) {
	next := exec.Command("sh", "-c", "trap 'echo asked; exit 0' USR2; echo hears; while :; do sleep 1 & wait $!; done")
	out, err := next.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Process.Kill() })
	lines := bufio.NewScanner(out)
	lines.Scan() // it hears signals
	asked := hear()
	syscall.Kill(os.Getpid(), syscall.SIGUSR2)
	got := <-asked.restart // it has come
	asked.restart <- got
	if err := keep(t.Context(), t.TempDir(), next.Process.Pid, asked); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "asked" {
		t.Errorf("the next process heard nothing: %v", lines.Err())
	}
}
