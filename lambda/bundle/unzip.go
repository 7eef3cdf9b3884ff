package bundle

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Limits of a zip file: Lambda's own, and what no real function reaches.
const (
	maxUnzipped = 250 << 20
	maxFiles    = 20_000
)

// unzip unpacks a zip file into dir. Nothing that a name in it says leads out
// of dir, and it holds folders and plain files only.
func unzip(file, dir string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer z.Close()
	if len(z.File) > maxFiles {
		return fmt.Errorf("%s has %d files, want at most %d", file, len(z.File), maxFiles)
	}
	left := int64(maxUnzipped)
	for _, f := range z.File {
		n, err := unpack(f, dir, left)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", file, f.Name, err)
		}
		left -= n
	}
	return nil
}

// unpack unpacks one file of at most left bytes and returns its size. It does
// not believe the size that the zip file states.
func unpack(f *zip.File, dir string, left int64) (int64, error) {
	if !filepath.IsLocal(f.Name) {
		return 0, fmt.Errorf("the name leads out of the bundle")
	}
	to := filepath.Join(dir, f.Name)
	mode := f.Mode()
	if mode.IsDir() {
		return 0, os.MkdirAll(to, 0o755)
	}
	if !mode.IsRegular() {
		return 0, fmt.Errorf("is a %v, want a file or a folder", mode.Type())
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	limited := &io.LimitedReader{R: r, N: left + 1}
	if err := writeFile(to, limited, 0o644|mode.Perm()&0o111); err != nil {
		return 0, err
	}
	if limited.N == 0 {
		return 0, fmt.Errorf("more than %d bytes in all", maxUnzipped)
	}
	return left + 1 - limited.N, nil
}
