package world

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
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

// signalFamily sends sig to pid and all that descend from it. Each is stopped
// before its children are listed, so that none escapes by forking meanwhile.
func signalFamily(pid int, sig syscall.Signal) {
	var all []int
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
		return
	}
	for _, p := range all {
		syscall.Kill(p, sig)
	}
}
