package pgtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestFoldersOfTheDeadAreRemoved has one whose lock nobody holds. The control is
// one that is in use.
func TestFoldersOfTheDeadAreRemoved(t *testing.T) {
	parent := t.TempDir()
	for name, content := range map[string]string{"pgtest-dead": "in use\n", "pgtest-fresh": ""} {
		if err := errors.Join(os.Mkdir(filepath.Join(parent, name), 0o755), os.WriteFile(filepath.Join(parent, name+locked), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	used, remove, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	sweep(parent)
	for dir, there := range map[string]bool{filepath.Join(parent, "pgtest-dead"): false, filepath.Join(parent, "pgtest-fresh"): true, used: true} {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) == there {
			t.Errorf("%s is there: %v, want %v", dir, !there, there)
		}
	}
	remove()
	if left, err := filepath.Glob(used + "*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v remain of one that was given back", left, err)
	}
}
