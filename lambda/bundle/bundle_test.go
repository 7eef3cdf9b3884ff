package bundle_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/lambda/bundle"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func build(t *testing.T, s bundle.Source, dir string) bundle.Bundle {
	t.Helper()
	b, err := bundle.Build(t.Context(), s, dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const program = `package main

import "fmt"

func main() { fmt.Println("GREETING") }
`

func TestGoFolderIsBuiltOnceForEachContent(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(src, "go.mod"), "module greeter\n\ngo 1.26\n")
	write(t, filepath.Join(src, "main.go"), program)
	s := bundle.Source{Name: "greeter", Go: src}
	first := build(t, s, dir)
	if again := build(t, s, dir); again != first {
		t.Errorf("the same sources gave %+v and %+v", first, again)
	}
	write(t, filepath.Join(src, "main.go"), strings.Replace(program, "GREETING", "hello", 1))
	changed := build(t, s, dir)
	if changed.Dir == first.Dir {
		t.Error("a changed source gave the old bundle")
	}
	for b, want := range map[bundle.Bundle]string{first: "GREETING\n", changed: "hello\n"} {
		out, err := exec.Command(filepath.Join(b.Dir, "bootstrap")).Output()
		if err != nil || string(out) != want {
			t.Errorf("%s says %q, %v", b.Dir, out, err)
		}
	}
}

func TestBrokenSourceSaysWhereAndLeavesTheGoodBundle(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(src, "go.mod"), "module greeter\n\ngo 1.26\n")
	write(t, filepath.Join(src, "main.go"), program)
	s := bundle.Source{Name: "greeter", Go: src}
	good := build(t, s, dir)
	write(t, filepath.Join(src, "main.go"), "package main\n\nfunc main() { undefined() }\n")
	if _, err := bundle.Build(t.Context(), s, dir); err == nil || !strings.Contains(err.Error(), "main.go:3:15: undefined: undefined") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(good.Dir, "bootstrap")); err != nil {
		t.Error(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".new-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBinaryBecomesBootstrap(t *testing.T) {
	dir := t.TempDir()
	bin := write(t, filepath.Join(t.TempDir(), "prog"), "#!/bin/sh\n")
	b := build(t, bundle.Source{Name: "prog", Binary: bin}, dir)
	info, err := os.Stat(filepath.Join(b.Dir, "bootstrap"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if again := build(t, bundle.Source{Name: "prog", Binary: bin}, dir); again != b {
		t.Errorf("%+v and %+v", b, again)
	}
}

type file struct {
	name string
	mode fs.FileMode
	text string
}

func zipped(t testing.TB, files ...file) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(f.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestZipIsUnpacked(t *testing.T) {
	z := zipped(t, file{"bootstrap", 0o644, "#!/bin/sh\n"}, file{"lib/", fs.ModeDir | 0o755, ""}, file{"lib/a.txt", 0o600, "a"}, file{"bin/tool", 0o755, "t"})
	b := build(t, bundle.Source{Name: "z", Zip: write(t, filepath.Join(t.TempDir(), "f.zip"), string(z))}, t.TempDir())
	for name, want := range map[string]fs.FileMode{"bootstrap": 0o755, "lib/a.txt": 0o644, "bin/tool": 0o755} {
		info, err := os.Stat(filepath.Join(b.Dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestZipThatReachesOutIsRefused(t *testing.T) {
	good := file{"bootstrap", 0o755, "x"}
	for name, z := range map[string][]byte{
		"parent":       zipped(t, good, file{"../evil", 0o644, "x"}),
		"deep parent":  zipped(t, good, file{"a/../../evil", 0o644, "x"}),
		"absolute":     zipped(t, good, file{"/tmp/evil", 0o644, "x"}),
		"symlink":      zipped(t, good, file{"link", fs.ModeSymlink | 0o777, "/etc"}),
		"device":       zipped(t, good, file{"dev", fs.ModeDevice | 0o644, ""}),
		"twice":        zipped(t, good, good),
		"no bootstrap": zipped(t, file{"other", 0o755, "x"}),
		"a folder":     zipped(t, file{"bootstrap/", fs.ModeDir | 0o755, ""}),
		"not a zip":    []byte("hello"),
	} {
		parent := t.TempDir()
		_, err := bundle.Build(t.Context(), bundle.Source{Name: "z", Zip: write(t, filepath.Join(t.TempDir(), "f.zip"), string(z))}, filepath.Join(parent, "bundles"))
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if left, _ := filepath.Glob(filepath.Join(parent, "*")); len(left) != 1 {
			t.Errorf("%s: wrote %v", name, left)
		}
	}
}

func TestSourceMustBeOneThing(t *testing.T) {
	for _, s := range []bundle.Source{{Name: "f"}, {Name: "f", Go: "a", Zip: "b"}, {Name: "../f", Binary: "/bin/sh"}, {Binary: "/bin/sh"}, {Name: "f", Binary: "/nowhere"}, {Name: "f", Go: "/nowhere"}} {
		if b, err := bundle.Build(t.Context(), s, t.TempDir()); err == nil {
			t.Errorf("%+v gave %+v", s, b)
		}
	}
}

// FuzzUnzip checks that nothing in a zip file reaches out of the bundle.
func FuzzUnzip(f *testing.F) {
	f.Add(zipped(f, file{"bootstrap", 0o755, "x"}, file{"../evil", 0o644, "x"}))
	f.Add(zipped(f, file{"bootstrap", 0o755, "x"}, file{"a/b", 0o644, "x"}))
	f.Fuzz(func(t *testing.T, z []byte) {
		parent := t.TempDir()
		path := filepath.Join(parent, "f.zip")
		if err := os.WriteFile(path, z, 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Build(t.Context(), bundle.Source{Name: "z", Zip: path}, filepath.Join(parent, "bundles"))
		if err == nil && filepath.Dir(b.Dir) != filepath.Join(parent, "bundles") {
			t.Errorf("the bundle is at %s", b.Dir)
		}
		if left, _ := filepath.Glob(filepath.Join(parent, "*")); len(left) > 2 {
			t.Errorf("wrote %v", left)
		}
	})
}
