package sandbox

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"meridian/internal/proc"
)

// TestListenerLetsItsUserIn and no other: the same process is let in as the
// right user and turned away as the wrong one.
func TestListenerLetsItsUserInAndNoOther(t *testing.T) {
	if os.Getuid() != 0 {
		ln, err := Listen(t.Context(), netip.MustParseAddr("127.0.0.1"), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if _, ok := ln.(*ownListener); ok {
			t.Error("a check that needs root")
		}
		return
	}
	for _, addr := range []string{"127.0.0.1", "::1"} {
		for uid, want := range map[int]string{61001: "exit status 0", 61002: "exit status 1"} {
			ln, err := Listen(t.Context(), netip.MustParseAddr(addr), 61001)
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					c.Write([]byte{1})
					c.Close()
				}
			}()
			if got := dialAs(t, uid, ln.Addr().String()); got != want {
				t.Errorf("%s, user %d: %s, want %s", addr, uid, got, want)
			}
			ln.Close()
			<-served
		}
	}
}

// dialAs runs this binary as another user, from a place where that user can
// reach it.
func dialAs(t *testing.T, uid int, addr string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "exe")
	if err := copyFile("/proc/self/exe", exe); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(proc.Cmd{Path: exe, Dir: "/", Env: []string{"SANDBOX_TEST_DIAL=" + addr}, UID: uid, GID: uid, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return Exit{Err: p.Err()}.String()
}
