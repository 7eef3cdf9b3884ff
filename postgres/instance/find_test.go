package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake makes a folder with programs that say they are of a version.
func fake(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, program := range needed {
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindTakesPATHBeforeTheNewestOfTheUsualFolders(t *testing.T) {
	v14, v15, v17, beta := fake(t, "14.9"), fake(t, "15.18 (Debian 15.18-0+deb12u1)"), fake(t, "17.2"), fake(t, "19beta4")
	half := t.TempDir() // a client without a server
	if err := os.WriteFile(filepath.Join(half, "psql"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		first, usual []string
		want         string
	}{
		{[]string{half, v15}, []string{v17}, "15.18"},
		{[]string{half}, []string{v15, v17}, "17.2"},
		{[]string{v14}, []string{v15}, "15.18"},
		{nil, []string{v17, beta, v15}, "19beta4"},
	} {
		if b, err := find(c.first, c.usual); err != nil || b.Version != c.want {
			t.Errorf("%v, %v: got %q, %v; want %s", c.first, c.usual, b.Version, err, c.want)
		}
	}
}

func TestFindSaysWhereItLookedAndWhatWasWrong(t *testing.T) {
	v14 := fake(t, "14.9")
	_, err := find([]string{"/nowhere"}, []string{v14})
	for _, want := range []string{"/nowhere", v14, "too old", "apt-get install postgresql"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
