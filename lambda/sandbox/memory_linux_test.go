package sandbox

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestEveryMemoryLimitEndsAProcess also shows what ends it: with no limit, the
// same process lives on.
func TestEveryMemoryLimitEndsAProcess(t *testing.T) {
	own := NewMemory(slog.New(slog.DiscardHandler))
	defer own.Close()
	for name, m := range map[string]*Memory{own.How(): own, "resident size": free()} {
		said := make(chan string, 100)
		b, err := m.Start(Spec{Name: "greedy", Program: "/proc/self/exe", Env: []string{"SANDBOX_TEST_TAKE=1"}, MemoryMiB: 64, Line: func(_, l string) { said <- l }})
		if err != nil {
			t.Fatal(err)
		}
		if x := exit(t, b); !x.OutOfMemory {
			t.Errorf("%s: %+v", name, x)
		}
	}
	b, err := free().Start(Spec{Program: "/proc/self/exe", Env: []string{"SANDBOX_TEST_TAKE=1"}, Line: func(string, string) {}})
	if err != nil {
		t.Fatal(err)
	}
	for late := time.After(patience); resident(b.PID()) < 300<<20; {
		select {
		case <-b.Done():
			t.Fatal("ended without a limit")
		case <-late:
			t.Fatal("does not take what it should")
		case <-time.After(time.Millisecond):
		}
	}
	b.Kill()
	if x := exit(t, b); x.OutOfMemory {
		t.Error("a killed process is said to be out of memory")
	}
}

func TestGroupsAreFoundInEitherVersion(t *testing.T) {
	mounts := "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
		"32 23 0:28 /docker/x /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\nbroken\n"
	var got []string
	for _, c := range candidates("4:memory:/user/me\n1:cpu:/\n0::/docker/x/leaf\n", mounts) {
		got = append(got, c.v.name+" "+filepath.Dir(c.dir))
	}
	want := []string{"1 /sys/fs/cgroup/memory/user/me", "1 /sys/fs/cgroup/memory", "2 /sys/fs/cgroup/unified/leaf", "2 /sys/fs/cgroup/unified"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
