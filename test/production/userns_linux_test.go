package production_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"meridian/test/harness"
)

// inside is set in the process that asOrdinaryUser starts: the folder where it
// finds the machine's own /run.
const inside = "MERIDIAN_TEST_RUN"

// asOrdinaryUser runs the calling test once more, in a user namespace where an
// ordinary user may make network namespaces, and stays that user
// (user_namespaces(7)).
func asOrdinaryUser(t *testing.T) {
	t.Helper()
	bin := harness.Binary(t) // there is no network inside: what the go command lacks it gets now
	output(t, bin, "build", "--out", t.TempDir(), filepath.Join(harness.Root(t), "examples/hello/meridian.yaml"))
	id := func(n int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: n, HostID: n, Size: 1}}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: id(os.Getuid()), GidMappings: id(os.Getgid()),
		AmbientCaps: []uintptr{capNetAdmin, capSysAdmin},
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Skipf("only root may make network namespaces on this system: %v", err)
	}
	if err != nil {
		t.Fatalf("as an ordinary user in a namespace: %v\n%s", err, out)
	}
}

// Of capabilities(7).
const capNetAdmin, capSysAdmin = 12, 21

// ownRun puts a /run of this process's own over the machine's, since ip keeps
// the names of namespaces there. All else in it stays where it was.
func ownRun(t *testing.T, machine string) {
	t.Helper()
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"/run", machine, "", syscall.MS_BIND | syscall.MS_REC},
		{"tmpfs", "/run", "tmpfs", 0},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			t.Fatalf("mount %s on %s: %v", m.source, m.target, err)
		}
	}
	entries, err := os.ReadDir(machine)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "netns" {
			continue
		}
		if err := os.Symlink(filepath.Join(machine, e.Name()), filepath.Join("/run", e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}
