package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clearStale deals with what a killed node left behind. The folder's lock is
// ours, so a postmaster that still runs on it is an orphan and is ended; a
// pid that belongs to somebody else now would keep PostgreSQL from starting,
// and its file is removed. A dead pid is PostgreSQL's own business.
func (in *Instance) clearStale(ctx context.Context) error {
	pidFile := filepath.Join(in.data(), "postmaster.pid")
	pid := pidIn(pidFile)
	if pid == 0 || !alive(pid) {
		pid = 0
	}
	if pid != 0 && runsOn(pid, in.data()) {
		return in.endOrphan(ctx, pid)
	}
	if pid != 0 {
		in.log.Warn("the pid of a PostgreSQL that died belongs to another process now", "pid", pid)
		if err := os.Remove(pidFile); err != nil {
			return err
		}
	}
	socketLock := socketIn(in.cfg.SocketDir) + ".lock"
	if p := pidIn(socketLock); p != 0 && alive(p) {
		return ignoreMissing(os.Remove(socketLock))
	}
	return nil
}

func (in *Instance) endOrphan(ctx context.Context, pid int) error {
	in.log.Warn("ending a PostgreSQL that outlived its node", "pid", pid)
	ctx, cancel := context.WithTimeout(ctx, fastShutdown)
	defer cancel()
	sig := syscall.SIGINT
	for alive(pid) {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end orphan postgres %d: %w", pid, err)
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("orphan postgres %d did not end", pid)
		}
		sig = 0
	}
	return nil
}

// postmaster reads the server's own pid file: its first line, and its eighth,
// which is "starting", "standby" (before it lets readers in), "ready" or
// "stopping".
func (in *Instance) postmaster() (pid int, status string) {
	content, err := os.ReadFile(filepath.Join(in.data(), "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 8 {
		return 0, ""
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	return pid, strings.TrimSpace(lines[7])
}

// pidIn reads the first line of one of PostgreSQL's lock files; 0 if there is
// none. A negative number marks a single-user server.
func pidIn(name string) int {
	content, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(first))
	return max(pid, -pid)
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// runsOn reports whether pid is a PostgreSQL server whose folder is dir: a
// postmaster's working folder is its data. Where the system does not tell
// (there is no /proc), the pid file is believed.
func runsOn(pid int, dir string) bool {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		return true
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return false
	}
	want, err := filepath.EvalSymlinks(dir)
	if err != nil || cwd != want {
		return false
	}
	name, _ := os.ReadFile(filepath.Join(proc, "comm"))
	return bytes.HasPrefix(name, []byte("postgres"))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
