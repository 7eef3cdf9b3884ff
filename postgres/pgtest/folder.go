package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// memory is where Linux has a file system in memory. A cluster there is made in
// a fifth of the time. Nothing is lost by it: these tests kill processes, not
// the machine.
const memory = "/dev/shm"

// room is what must be free there for each test that may run at once: four
// clusters, with some log each.
const room = 1 << 30

const locked = ".lock"

// Folder makes a folder that PostgreSQL's user can pass through, which
// t.TempDir is not when root runs the tests. Its name is short enough for the
// sockets below it. It goes with the test.
func Folder(t testing.TB) string {
	t.Helper()
	dir, remove, err := NewFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return dir
}

// NewFolder makes such a folder, which goes when remove is called. What a
// process that was killed has left goes with the next one's.
func NewFolder() (dir string, remove func(), err error) {
	parent := "/tmp"
	var fs syscall.Statfs_t
	if syscall.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= room*uint64(runtime.GOMAXPROCS(0)) {
		parent = memory
	}
	sweep(parent)
	return newFolder(parent)
}

func newFolder(parent string) (dir string, remove func(), err error) {
	lock, err := os.CreateTemp(parent, "pgtest-*"+locked)
	if err != nil {
		return "", nil, fmt.Errorf("pgtest: %w", err)
	}
	dir = strings.TrimSuffix(lock.Name(), locked)
	remove = func() { os.RemoveAll(dir); os.Remove(lock.Name()); lock.Close() } // in this order: no lock, no owner
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	if err == nil {
		_, err = lock.WriteString("in use\n") // an empty one may not be locked yet
	}
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("pgtest: %w", err)
	}
	return dir, remove, nil
}

// sweep removes folders whose process is gone: the kernel let go of its lock.
func sweep(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, "pgtest-*"+locked))
	for _, name := range left {
		f, err := os.Open(name)
		if err != nil {
			continue // its owner removed it
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			if info, err := f.Stat(); err == nil && info.Size() > 0 {
				os.RemoveAll(strings.TrimSuffix(name, locked))
				os.Remove(name)
			}
		}
		f.Close()
	}
}
