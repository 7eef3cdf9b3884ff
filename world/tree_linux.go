package world

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// family returns pid and all that descend from it, parents first.
func family(pid int) []int {
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if child, err := strconv.Atoi(e.Name()); err == nil {
			children[parentOf(child)] = append(children[parentOf(child)], child)
		}
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}

// parentOf returns the parent of a process, or -1 if it has ended.
func parentOf(pid int) int {
	f := stat(pid)
	if f == nil {
		return -1
	}
	ppid, _ := strconv.Atoi(f[1])
	return ppid
}

// bornAt returns when a process started, in ticks since the boot, or "" if it
// has ended.
func bornAt(pid int) string {
	if f := stat(pid); f != nil {
		return f[19]
	}
	return ""
}

// stat returns the fields of /proc/PID/stat from the third on, the state; the
// second, the name, is in brackets and may hold anything. It returns nil for
// a process that has ended, reaped or not.
func stat(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 || f[0] == "Z" {
		return nil
	}
	return f
}

// killWait bounds how long killFamily waits for what it killed.
const killWait = 2 * time.Second

// killFamily kills pid and all that descend from it, and returns once none of
// them runs: what starts in their place finds their ports, locks and shared
// memory free.
func killFamily(pid int) {
	all := signalFamily(pid, syscall.SIGKILL)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(killWait); slices.ContainsFunc(all, runs) && time.Now().Before(end); {
		<-tick.C
	}
}

// sweep kills what is left of a family, as listed before, whose head has ended
// in peace: a process in a session of its own may have stayed behind.
func sweep(listed []relative) {
	for _, r := range listed {
		if bornAt(r.pid) == r.born && r.born != "" {
			killFamily(r.pid)
		}
	}
}

// A relative is one process: a pid can have another owner later, but not one
// that was born at the same tick.
type relative struct {
	pid  int
	born string
}

// relatives lists all that descend from pid.
func relatives(pid int) (out []relative) {
	for _, p := range family(pid)[1:] {
		out = append(out, relative{p, bornAt(p)})
	}
	return out
}

// runs reports whether a process is there and no zombie.
func runs(pid int) bool { return parentOf(pid) >= 0 }

// signalFamily sends sig to pid and all that descend from it, and returns
// them. Each is stopped before its children are listed, so that none escapes
// by forking meanwhile.
func signalFamily(pid int, sig syscall.Signal) (all []int) {
	known := map[int]bool{}
	for {
		grew := false
		for _, p := range family(pid) {
			if !known[p] {
				known[p], grew = true, true
				all = append(all, p)
				syscall.Kill(p, syscall.SIGSTOP)
			}
		}
		if !grew {
			break
		}
	}
	if sig == syscall.SIGSTOP {
		return all
	}
	for _, p := range all {
		syscall.Kill(p, sig)
	}
	return all
}
