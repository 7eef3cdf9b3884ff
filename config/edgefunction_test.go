package config

import (
	"os"
	"path/filepath"
	"testing"
)

// referredFunctions lays out the edge functions that the reference names, and
// what they read.
func referredFunctions(t testing.TB, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"edge/rewrite.js": "x", "edge/headers.js": "x", "edge/region.js": "x", "edge/redirects.json": `{"data": []}`,
	} {
		mkdir(t, filepath.Dir(filepath.Join(dir, name)))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
