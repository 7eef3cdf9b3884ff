package world

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"meridian"
)

// open returns a folder that every user can pass through, as long as those
// above the system's temporary folder let them.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestStateMovesOutOfAFolderThatIsClosedToOthers(t *testing.T) {
	top, shared := open(t), open(t)
	closed := filepath.Join(top, "home")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "deep", ".meridian")
	state, note, err := settleAs(dir, true, shared)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(state) != shared || !strings.Contains(note, "other users cannot pass through "+closed) {
		t.Errorf("state in %s: %s", state, note)
	}
	again, note, err := settleAs(dir, true, shared)
	if err != nil || again != state || !strings.Contains(note, "see "+dir) {
		t.Errorf("the second time in %s: %s, %v", again, note, err)
	}
	if err := (Record{Domain: "api.example.test", State: state}).write(); err != nil {
		t.Fatal(err)
	}
	if r, err := Read(dir); err != nil || r.Domain != "api.example.test" {
		t.Errorf("the folder that was asked for does not lead there: %+v, %v", r, err)
	}
}

// TestStateStaysWhereItWasAskedFor is the other half: nothing moves where all
// can pass, or where everything runs as one user anyway.
func TestStateStaysWhereItWasAskedFor(t *testing.T) {
	dir := filepath.Join(open(t), ".meridian")
	if state, note, err := settleAs(dir, true, "/nowhere"); err != nil || state != dir || note != "" {
		t.Errorf("root, open folder: %s, %q, %v", state, note, err)
	}
	closed := filepath.Join(open(t), "home")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if state, note, err := settleAs(closed, false, "/nowhere"); err != nil || state != closed || note != "" {
		t.Errorf("not root, closed folder: %s, %q, %v", state, note, err)
	}
}

func TestAFolderWithoutAWorldSaysHowToStartOne(t *testing.T) {
	dir := t.TempDir()
	_, err := Read(dir)
	if meridian.KindOf(err) != meridian.NotFound || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "meridian up FILE") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, recordName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, recordName)) {
		t.Errorf("a broken record: %v", err)
	}
}

func TestSecretsAreMadeOnceAndApartFromMeridiansOwn(t *testing.T) {
	state := t.TempDir()
	f := parse(t, twoPlaces+"secrets: {admin: {generate: 32}, postgres: {generate: 16}}\ndatabase: {name: hello}\n")
	first, second := *f, *f
	if err := secrets(&first, state); err != nil {
		t.Fatal(err)
	}
	if err := secrets(&second, state); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range []string{first.Secrets["admin"].File, first.Secrets["postgres"].File, first.Database.Password, filepath.Join(state, "secrets", AdminToken)} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
		if seen[string(b)] {
			t.Errorf("%s holds what another secret is", path)
		}
		seen[string(b)] = true
	}
	if first.Secrets["admin"] != second.Secrets["admin"] || !reflect.DeepEqual(first.Database, second.Database) {
		t.Error("the second start has other secrets")
	}
	if f.Secrets["admin"].Generate != 32 || f.Database.Password != "" {
		t.Error("the caller's file was changed")
	}
}
