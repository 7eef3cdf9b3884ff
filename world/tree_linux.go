package world

import (
	"bytes"
	"os"
	"slices"
	"strconv"
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

// parentOf reads the fourth field of /proc/PID/stat; the second, the name, is
// in brackets and may hold anything.
func parentOf(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return -1
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 2 || string(f[0]) == "Z" {
		return -1
	}
	ppid, _ := strconv.Atoi(string(f[1]))
	return ppid
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
