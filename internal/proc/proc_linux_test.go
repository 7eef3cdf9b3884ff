package proc

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets this binary be the parent that TestNoChildOutlivesItsParent kills.
func TestMain(m *testing.M) {
	if how := os.Getenv("PROC_TEST_PARENT"); how != "" {
		p, err := Start(Cmd{Path: sh, Args: []string{"-c", "echo $$; exec cat"}, Stdin: os.Stdin, Stdout: os.Stdout, Outlive: how == "outlive"})
		if err != nil {
			panic(err)
		}
		<-p.Done()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestNoChildOutlivesItsParent kills a parent that has no chance to clean up.
func TestNoChildOutlivesItsParent(t *testing.T) {
	r, w := pipe(t)
	in, feed := pipe(t) // held open here, so that cat does not end by itself
	defer feed.Close()
	parent, err := Start(Cmd{Path: "/proc/self/exe", Env: []string{"PROC_TEST_PARENT=1"}, Stdin: in, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(line)); err != nil || pid == parent.PID() {
		t.Fatalf("child said %q", line)
	}
	// Not Kill, which ends the group: the grandchild leads another one.
	if err := parent.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, out)
}
