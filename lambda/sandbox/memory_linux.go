package sandbox

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// NewMemory finds out how memory can be limited here, and says so in the log.
func NewMemory(log *slog.Logger) *Memory {
	m := &Memory{groups: findGroups()}
	log.Info("memory limits", "by", m.How())
	return m
}

// resident returns how much memory a process holds, 0 if it is gone.
func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// A cgroup is a folder below which groups with memory limits can be made.
type cgroup struct {
	v   version
	dir string // ours; a group for each process stands in it
}

// A version knows the file names of one version of control groups.
type version struct {
	name, limit, swap, events string
}

var (
	v1 = version{"1", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"}
	v2 = version{"2", "memory.max", "memory.swap.max", "memory.events"}
)

// findGroups tries version 1 and then 2, in this process's own group and then
// at the top. Whether it works is for the kernel to say.
func findGroups() groups {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return noGroups{err.Error()}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return noGroups{err.Error()}
	}
	why := "no control group for memory is mounted"
	for _, c := range candidates(string(own), string(mounts)) {
		if err := c.prepare(); err != nil {
			why = err.Error()
			continue
		}
		return c
	}
	return noGroups{why}
}

// candidates lists the places where groups may be made, from the texts of
// /proc/self/cgroup and /proc/self/mountinfo.
func candidates(own, mounts string) (list []cgroup) {
	name := fmt.Sprintf("meridian-%d", os.Getpid())
	for line := range strings.Lines(mounts) {
		// 36 35 98:0 /root /mount/point rw,... - type source options
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, a := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(a) < 3 {
			continue
		}
		root, point, prefix, v := f[3], f[4], "0::", v2
		switch {
		case a[0] == "cgroup" && strings.Contains(","+a[2]+",", ",memory,"):
			prefix, v = ":memory:", v1
		case a[0] != "cgroup2":
			continue
		}
		if path, ok := ownPath(own, prefix); ok {
			path = strings.TrimPrefix(path, strings.TrimSuffix(root, "/"))
			list = append(list, cgroup{v, filepath.Join(point, path, name)})
		}
		list = append(list, cgroup{v, filepath.Join(point, name)})
	}
	return list
}

// ownPath finds a hierarchy's line in /proc/self/cgroup: "4:memory:/a/b" or "0::/a/b".
func ownPath(own, prefix string) (string, bool) {
	for line := range strings.Lines(own) {
		if i := strings.Index(line, prefix); i >= 0 && (i > 0) == (prefix[0] == ':') {
			return strings.TrimSpace(line[i+len(prefix):]), true
		}
	}
	return "", false
}

func (c cgroup) how() string { return "control groups, version " + c.v.name + ", at " + c.dir }

// prepare makes the folder and sees whether limits can be set below it.
func (c cgroup) prepare() error {
	c.sweep()
	if err := c.mkdir(); err != nil {
		return err
	}
	probe := filepath.Join(c.dir, "probe")
	err := os.Mkdir(probe, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(probe, c.v.limit), []byte("104857600"), 0)
		os.Remove(probe)
	}
	if err != nil {
		c.remove()
	}
	return err
}

// mkdir makes our folder, and on version 2 asks for the controller below it.
func (c cgroup) mkdir() error {
	if err := os.Mkdir(c.dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	if c.v == v2 {
		return os.WriteFile(filepath.Join(c.dir, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	return nil
}

// sweep removes the folders of processes that were killed before they could.
func (c cgroup) sweep() {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(c.dir), "meridian-*"))
	for _, dir := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), "meridian-"))
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			cgroup{c.v, dir}.remove()
		}
	}
}

// remove removes the folder and the groups in it that hold no process.
func (c cgroup) remove() {
	inner, _ := filepath.Glob(filepath.Join(c.dir, "*", "cgroup.procs"))
	for _, f := range inner {
		os.Remove(filepath.Dir(f))
	}
	os.Remove(c.dir)
}

func (c cgroup) add(name string, pid, mib int) guard {
	g := group{c.v, filepath.Join(c.dir, name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil
	}
	limit := []byte(strconv.Itoa(mib << 20))
	if g.write(c.v.limit, limit) != nil || g.write("cgroup.procs", []byte(strconv.Itoa(pid))) != nil {
		g.close()
		return nil
	}
	if c.v == v1 {
		g.write(c.v.swap, limit) // absent without swap accounting
	} else {
		g.write(c.v.swap, []byte("0"))
		g.write("memory.oom.group", []byte("1"))
	}
	return g
}

// A group is the control group of one process.
type group struct {
	v   version
	dir string
}

func (g group) write(file string, b []byte) error {
	return os.WriteFile(filepath.Join(g.dir, file), b, 0)
}

func (group) watch(<-chan struct{}, func()) {} // the kernel does

// exceeded reads the kernel's count: a line "oom_kill 1".
func (g group) exceeded() bool {
	b, err := os.ReadFile(filepath.Join(g.dir, g.v.events))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok && strings.TrimSpace(n) != "0" {
			return true
		}
	}
	return false
}

// close kills what left the process's own group but not this one, and removes
// it. What the kernel has not cleared away by then, Memory.Close removes.
func (g group) close() {
	left, _ := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	for line := range strings.Lines(string(left)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	os.Remove(g.dir)
}
