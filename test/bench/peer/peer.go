// Package peer runs other projects' programs beside Meridian's in benchmarks, and
// tells what CPU time each took. install.sh unpacks them.
package peer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Programs is the folder of the programs, as BENCH_PROGRAMS says it; "" if there
// are none.
func Programs() string { return os.Getenv("BENCH_PROGRAMS") }

// Command returns the command of one of the programs, with their libraries.
func Command(program string, args ...string) *exec.Cmd {
	root := Programs()
	for _, dir := range []string{"usr/sbin", "usr/bin"} {
		if path := filepath.Join(root, dir, program); exists(path) {
			program = path
			break
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(root, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(root, "usr/lib/aarch64-linux-gnu"), "PATH=/usr/bin:/bin"}
	return cmd
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// Start runs a program with a configuration file until the benchmark ends, and
// returns its process. In config and in more files beside it DIR is a folder of
// its own, and in args FILE is the file. It does not run as root.
func Start(b *testing.B, program, config string, more map[string]string, args ...string) (pid int) {
	b.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	files := map[string]string{program + ".conf": config}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range args {
		args[i] = strings.NewReplacer("FILE", filepath.Join(dir, program+".conf"), "DIR", dir).Replace(args[i])
	}
	cmd := Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if u, err := user.Lookup("postgres"); os.Getuid() == 0 && err == nil { // some refuse to run as root
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		os.Chown(dir, uid, gid)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if b.Failed() {
			said, _ := os.ReadFile(log.Name())
			b.Logf("%s: %s", program, said)
		}
	})
	return cmd.Process.Pid
}

// FreePort returns a port of loopback that nobody listens on.
func FreePort(b *testing.B) int {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Listening waits until somebody listens at a port.
func Listening(b *testing.B, port int) {
	b.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-deadline:
			b.Fatalf("nobody listens at port %d", port)
		case <-tick.C:
			if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				c.Close()
				return
			}
		}
	}
}

// tick is the kernel's unit of CPU time for programs (USER_HZ).
const tick = 10 * time.Millisecond

// CPU returns the CPU time that a process, its children that live and those
// that it has waited for have used.
func CPU(pid int) (used time.Duration) {
	if pid == 0 {
		return 0
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		self := name == fmt.Sprintf("/proc/%d/stat", pid)
		if len(f) < 15 || !self && f[1] != strconv.Itoa(pid) {
			continue
		}
		last := 13 // utime and stime; of pid itself also its children's
		if self {
			last = 15
		}
		for _, ticks := range f[11:last] {
			n, _ := strconv.Atoi(ticks)
			used += time.Duration(n) * tick
		}
	}
	return used
}
