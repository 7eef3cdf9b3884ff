package proc

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// hold ties the child to this process. Linux sends the parent-death signal
// when the thread that forked ends, not the process; so the goroutine that
// forks keeps its thread until the child has ended and calls release.
func hold(attr *syscall.SysProcAttr) (release func()) {
	runtime.LockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
	return runtime.UnlockOSThread
}

// reap waits for the child's end. It sweeps while the child is a zombie, for
// until it is reaped nobody else can get its pid, and so its group's.
func reap(cmd *exec.Cmd, sweep func()) error {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	sweep()
	return cmd.Wait()
}
