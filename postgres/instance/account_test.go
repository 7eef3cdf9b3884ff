package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/postgres/pgtest"
)

func TestFolderThatPostgreSQLCannotPassThroughIsNamed(t *testing.T) {
	dir := pgtest.Folder(t)
	closed := filepath.Join(dir, "closed")
	deep := filepath.Join(closed, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	who := account{Name: "somebody", UID: 4242, GID: 4242}
	if err := who.reaches(deep); err != nil {
		t.Errorf("open folders: %v", err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	err := who.reaches(deep)
	if err == nil || !strings.Contains(err.Error(), "cannot pass through "+closed+" (mode 0700)") {
		t.Errorf("got %v", err)
	}
	if err := (account{}).reaches(deep); err != nil {
		t.Errorf("this process's own user: %v", err)
	}
}

func TestEnters(t *testing.T) {
	who := account{UID: 10, GID: 20}
	for _, c := range []struct {
		mode     os.FileMode
		uid, gid int
		want     bool
	}{
		{0o700, 10, 99, true}, {0o700, 99, 20, false}, {0o710, 99, 20, true},
		{0o711, 99, 99, true}, {0o710, 99, 99, false}, {0o011, 10, 20, false},
	} {
		if got := who.enters(c.mode, c.uid, c.gid); got != c.want {
			t.Errorf("%04o of %d:%d: %v", c.mode, c.uid, c.gid, got)
		}
	}
}

// TestWriteFollowsNoLink is what keeps a taken-over PostgreSQL from using a
// root node to write elsewhere.
func TestWriteFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"conf", "conf.new"} {
		if err := os.Symlink(secret, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := (account{}).write(filepath.Join(dir, "conf"), "new"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(secret); string(got) != "kept" {
		t.Errorf("the link's target is now %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "conf")); string(got) != "new" {
		t.Errorf("the file is %q", got)
	}
}
