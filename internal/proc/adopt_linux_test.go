package proc

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestAChildThatIsToOutlivesItsParentAndIsAdopted kills the parent of a shell.
// TestNoChildOutlivesItsParent is the control: the same without Outlive.
func TestAChildThatIsToOutlivesItsParentAndIsAdopted(t *testing.T) {
	r, w := pipe(t)
	in, feed := pipe(t)
	parent, err := Start(Cmd{Path: "/proc/self/exe", Env: []string{"PROC_TEST_PARENT=outlive"}, Stdin: in, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid == parent.PID() {
		t.Fatalf("child said %q", line)
	}
	if err := parent.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-parent.Done()
	if _, err := Adopt(pid, func() bool { return false }); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a process that is not meant was adopted: %v", err)
	}
	p, err := Adopt(pid, func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := feed.WriteString("still here\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := out.ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("it said %q, %v", line, err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal after the end: %v", err)
	}
}
