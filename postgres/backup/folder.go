package backup

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A dir is a Place in a folder.
type dir string

// unfinished begins the names of files that are being written.
const unfinished = ".new-"

// deadAfter is how long nothing was written to a file before its writer is
// taken for dead.
const deadAfter = 24 * time.Hour

// Put writes into a file of another name, and renames it once the content is on
// disk.
func (d dir) Put(_ context.Context, key string, content io.Reader) error {
	name := d.path(key)
	parent := filepath.Dir(name)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), unfinished)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := d.sweep(time.Now()); err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return d.sync(parent)
}

// sweep removes what writers left behind that died.
func (d dir) sweep(now time.Time) error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		info, err := e.Info()
		if err == nil && now.Sub(info.ModTime()) > deadAfter {
			err = os.Remove(filepath.Join(string(d), e.Name()))
		}
		if ignoreMissing(err) != nil {
			return err
		}
	}
	return nil
}

// sync makes the names on the way to a folder lasting.
func (d dir) sync(at string) error {
	for {
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil || at == string(d) || at == filepath.Dir(at) {
			return err
		}
		at = filepath.Dir(at)
	}
}

// String names the folder.
func (d dir) String() string { return string(d) }

func (d dir) path(key string) string { return filepath.Join(string(d), filepath.FromSlash(key)) }

// Get opens a file.
func (d dir) Get(_ context.Context, key string) (io.ReadCloser, error) { return os.Open(d.path(key)) }

// List walks the folder in which the prefix ends.
func (d dir) List(_ context.Context, prefix string) (out []Object, err error) {
	from := d.path(prefix[:strings.LastIndex(prefix, "/")+1])
	err = filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), unfinished) {
			return ignoreMissing(err)
		}
		rel, err := filepath.Rel(string(d), name)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(rel)
		if !strings.HasPrefix(key, prefix) {
			return nil
		}
		info, err := e.Info()
		if err == nil {
			out = append(out, Object{key, info.Size(), info.ModTime()})
		}
		return ignoreMissing(err)
	})
	return out, err
}

// Delete removes a file. One that is not there is removed already.
func (d dir) Delete(_ context.Context, key string) error {
	return ignoreMissing(os.Remove(d.path(key)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
