package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Source is one function, as its author keeps it. Of Go, Binary and Zip,
// exactly one is set.
type Source struct {
	Name   string // of the function
	Go     string // a folder with package main
	Binary string // a program for this system
	Zip    string // a zip file with bootstrap at its root
}

// A Bundle is a function, ready to run.
type Bundle struct {
	Dir  string // absolute; holds bootstrap
	Hash string // SHA-256 of the content, in hexadecimal
}

// Build makes the bundle of s in a folder of its own below dir, or finds that
// it is there already. Several may build below the same dir at once.
//
// The errors of a Go build are the go command's, with file and line.
func Build(ctx context.Context, s Source, dir string) (Bundle, error) {
	b, err := build(ctx, s, dir)
	if err != nil {
		return Bundle{}, fmt.Errorf("function %s: %w", s.Name, err)
	}
	return b, nil
}

func build(ctx context.Context, s Source, dir string) (Bundle, error) {
	if !goodName(s.Name) {
		return Bundle{}, errors.New("a name has letters, digits, - and _ only")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Bundle{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Bundle{}, err
	}
	tmp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return Bundle{}, err
	}
	defer os.RemoveAll(tmp) // of no effect once it was renamed
	if err := fill(ctx, s, tmp, dir); err != nil {
		return Bundle{}, err
	}
	return keep(s.Name, tmp, dir)
}

func fill(ctx context.Context, s Source, tmp, dir string) error {
	switch {
	case s.Go != "" && s.Binary == "" && s.Zip == "":
		return compile(ctx, s.Go, filepath.Join(dir, ".go", s.Name), tmp)
	case s.Binary != "" && s.Go == "" && s.Zip == "":
		return copyFile(s.Binary, filepath.Join(tmp, Bootstrap), 0o755)
	case s.Zip != "" && s.Go == "" && s.Binary == "":
		return unzip(s.Zip, tmp)
	}
	return errors.New("want one of go, binary and zip")
}

// Bootstrap is the name of the program in a bundle.
const Bootstrap = "bootstrap"

// keep gives a filled folder its name, or drops it for an equal one.
func keep(name, tmp, dir string) (Bundle, error) {
	info, err := os.Lstat(filepath.Join(tmp, Bootstrap))
	if err != nil || !info.Mode().IsRegular() {
		return Bundle{}, errors.New("there is no file named bootstrap at the top")
	}
	if err := os.Chmod(filepath.Join(tmp, Bootstrap), 0o755); err != nil {
		return Bundle{}, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return Bundle{}, err
	}
	hash, err := hashTree(tmp)
	if err != nil {
		return Bundle{}, err
	}
	b := Bundle{Dir: filepath.Join(dir, name+"-"+hash[:16]), Hash: hash}
	if err := os.Rename(tmp, b.Dir); err != nil && !exists(b.Dir) {
		return Bundle{}, err
	}
	return b, nil
}

// hashTree returns a hash of the names, modes and contents below dir.
func hashTree(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %o %d\n", filepath.ToSlash(name), info.Mode().Perm(), info.Size())
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func goodName(s string) bool {
	const good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return s != "" && len(s) <= 64 && strings.Trim(s, good) == ""
}

func copyFile(from, to string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", from)
	}
	return writeFile(to, in, mode)
}

func writeFile(to string, from io.Reader, mode fs.FileMode) (err error) {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, from)
	return err
}
