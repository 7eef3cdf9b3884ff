package world

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNoNodeOutlivesItsSupervisor kills a supervisor that has no chance to
// clean up. Its nodes are deaf to the end of the leash, and of those that they
// started none is.
func TestNoNodeOutlivesItsSupervisor(t *testing.T) {
	s := lay(t, nil)
	dir := t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "domain: api.example.test\napi: openapi.yaml\n"+threePlaces)
	write(filepath.Join(dir, "openapi.yaml"), "{}")
	cmd := exec.Command(os.Args[0], "supervise", file, s.state)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for _, n := range threePlacesNodes {
		s.gone(n)
	}
	old, err := Read(s.state)
	if err != nil {
		t.Fatal(err)
	}
	if Connect(old).Alive(t.Context()) {
		t.Error("the dead supervisor answers")
	}
	again := lay(t, nil)
	if err := os.Rename(filepath.Join(s.state, recordName), filepath.Join(again.state, recordName)); err != nil {
		t.Fatal(err)
	}
	again.start() // with what the dead one left
	if again.record.Block != old.Block {
		t.Errorf("block %d, was %d", again.record.Block, old.Block)
	}
}

// TestWithoutTheFamilyAForkLivesOn is the negative control of
// TestALostRegionTakesAllItsProcessesWithIt: killing the node alone does not
// reach what leads a session of its own.
func TestWithoutTheFamilyAForkLivesOn(t *testing.T) {
	s := lay(t, map[string]string{"eu-west-1": "forking"})
	s.start()
	p := s.process("eu-west-1")
	isFork := func(pid int) bool {
		session, err := unix.Getsid(pid)
		return err == nil && session == pid
	}
	all := family(p.PID)
	for patience := time.After(10 * time.Second); len(all) != 3; all = family(p.PID) {
		select {
		case <-patience:
			t.Fatalf("the family of %d is %v", p.PID, all)
		default: // a process shows in /proc a little after it was made
		}
	}
	i := slices.IndexFunc(all, isFork)
	if i < 0 {
		t.Fatalf("no fork among %v", all)
	}
	fork := all[i]
	t.Cleanup(func() { syscall.Kill(fork, syscall.SIGKILL) })
	syscall.Kill(p.PID, syscall.SIGKILL)
	s.hear("eu-west-1 ended by itself, is started again")
	if !runs(fork) {
		t.Errorf("process %d is gone", fork)
	}
}
