package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Place makes the folder of one function anew and puts its bundle into the
// folder task below it. The function's group may read it, no other user may,
// and only this process's user may write. Files are linked where the file
// system allows it, and copied where not.
func Place(bundle, folder string, gid int) (task string, err error) {
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if err := passable(filepath.Dir(folder)); err != nil {
		return "", err
	}
	if err := os.Mkdir(folder, 0o750); err != nil {
		return "", err
	}
	if err := own(folder, os.Getuid(), gid); err != nil {
		return "", err
	}
	task = filepath.Join(folder, "task")
	return task, copyTree(bundle, task)
}

// passable makes a folder through which the functions' users may pass, but in
// which they cannot look around.
func passable(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Private makes a folder for the user uid alone.
func Private(folder string, uid, gid int) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	return own(folder, uid, gid)
}

// own gives a folder away. Without the right to, all run as one user anyway.
func own(folder string, uid, gid int) error {
	if os.Getuid() != 0 || uid <= 0 && gid <= 0 {
		return nil
	}
	if err := os.Chown(folder, max(uid, 0), max(gid, 0)); err != nil {
		return fmt.Errorf("give %s to user %d: %w", folder, uid, err)
	}
	return nil
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.Mkdir(target, 0o755)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
