//go:build !linux

package world

import "syscall"

// signalFamily sends sig to the process group of pid. Children that lead
// groups of their own are not reached on this system; they end when they
// notice that their parent did.
func signalFamily(pid int, sig syscall.Signal) { syscall.Kill(-pid, sig) }

// killFamily kills the process group of pid.
func killFamily(pid int) { signalFamily(pid, syscall.SIGKILL) }
