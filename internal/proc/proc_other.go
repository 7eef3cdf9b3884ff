//go:build !linux

package proc

import (
	"os/exec"
	"syscall"
)

// hold does nothing: there is no parent-death signal to arrange.
func hold(*syscall.SysProcAttr) (release func()) { return func() {} }

// reap waits for the child's end and sweeps right after it: there is no wait
// that leaves the child unreaped.
func reap(cmd *exec.Cmd, sweep func()) error {
	err := cmd.Wait()
	sweep()
	return err
}
