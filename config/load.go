package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"meridian"
)

// maxFile bounds a file, in bytes.
const maxFile = 1 << 20

// Load reads and checks the file at path. Its error is an Errors with every
// mistake that was found, or says why the file could not be read.
func Load(path string) (*File, error) {
	b, err := read(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Errors{{File: path, Found: "cannot be read: " + err.Error(), Expected: "a Meridian file; `meridian config` prints one to start from"}}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(path, filepath.Dir(abs), b)
}

// read returns at most one byte more than a file may have.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse reads and checks b, the bytes of the file name; paths in it are
// relative to dir.
func Parse(name, dir string, b []byte) (*File, error) {
	return parse(&decoder{file: name}, dir, b)
}

// ParseElsewhere reads and checks b as Parse does, for other machines than this
// one: paths in it stay as they are, and nothing is looked for at them.
func ParseElsewhere(name string, b []byte) (*File, error) {
	return parse(&decoder{file: name, elsewhere: true}, "", b)
}

func parse(d *decoder, dir string, b []byte) (*File, error) {
	root, problem := document(b)
	if problem != nil {
		problem.File = d.file
		return nil, Errors{problem}
	}
	d.where, d.names = map[string]position{}, map[string]position{}
	f := &File{Path: filepath.Join(dir, filepath.Base(d.file))}
	d.object(root, reflect.ValueOf(f).Elem(), "")
	d.read = len(d.errs)
	if !d.broken("") {
		f.paths(folder(dir))
		d.check(f)
	}
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, (*Error).order)
		return nil, d.errs
	}
	f.pos = places{d.file, d.where}
	return f, nil
}

// Primary returns the region that the file names as the primary.
func (f *File) Primary() meridian.Region {
	for _, r := range f.Regions {
		if r.Primary {
			return r.Name
		}
	}
	return ""
}

// Node returns the node of that name.
func (f *File) Node(name string) (Node, bool) {
	for _, n := range f.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// Has reports whether n plays a role.
func (n Node) Has(r Role) bool { return slices.Contains(n.Roles, r) }
