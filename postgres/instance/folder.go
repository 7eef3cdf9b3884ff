package instance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Founded reports whether Config.Dir dir holds a database already.
func Founded(dir string) bool {
	_, err := os.Stat(dataIn(dir))
	return err == nil
}

// inspect reads what Decide needs to know of a data folder.
func inspect(dir string) (Folder, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return Folder{}, nil
	} else if err != nil {
		return Folder{}, err
	}
	f := Folder{Exists: true}
	version, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		return f, fmt.Errorf("data folder %s is not whole: %w", dir, err)
	}
	f.Major = major(strings.TrimSpace(string(version)))
	if f.System, err = system(dir); err != nil {
		return f, fmt.Errorf("data folder %s is not whole: %w", dir, err)
	}
	_, err = os.Stat(filepath.Join(dir, "standby.signal"))
	f.Standby = err == nil
	return f, nil
}

// system reads the system identifier: the first 8 bytes of pg_control, in the
// byte order of the machine.
func system(dir string) (uint64, error) {
	file, err := os.Open(filepath.Join(dir, "global", "pg_control"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var b [8]byte
	if _, err := io.ReadFull(file, b[:]); err != nil {
		return 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

// prepare makes the folders and checks that PostgreSQL will get through.
func (in *Instance) prepare() error {
	for _, dir := range []string{in.cfg.Dir, filepath.Dir(in.cfg.SocketDir)} {
		if err := passable(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{in.cfg.SocketDir, in.upstream()} {
		if err := in.run.folder(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{in.cfg.Dir, in.upstream(), in.bin.Dir} {
		if err := in.run.reaches(dir); err != nil {
			return err
		}
	}
	return nil
}

// passable makes a folder that others can pass through but not list, whatever
// the umask. It leaves one that is there as it is.
func passable(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
}

// lock keeps a second process from running the same cluster. The kernel
// releases it with this process, however that ends.
func (in *Instance) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(in.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("database folder %s is in use by another process: %w", in.cfg.Dir, err)
	}
	return func() {
		syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // a child that is not another program yet has the file, too
		f.Close()
	}, nil
}

// configure writes what must hold at the next start.
func (in *Instance) configure(dir string, role Role) error {
	files := map[string]string{
		"postgresql.conf": in.conf(),
		"pg_hba.conf":     hba,
	}
	if role == Standby {
		files["standby.signal"] = ""
	}
	for name, content := range files {
		if err := in.run.write(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return nil
}

// finish gives a folder that is whole now its name.
func (in *Instance) finish() error {
	if err := os.Rename(in.partial(), in.data()); err != nil {
		return err
	}
	return syncDir(in.cfg.Dir)
}

// begin makes an empty folder to fill. What a crash left half done goes.
func (in *Instance) begin() error {
	if err := os.RemoveAll(in.partial()); err != nil {
		return err
	}
	return in.run.folder(in.partial())
}

// aside moves the data folder out of the way and returns its new name.
func (in *Instance) aside(sys uint64) (string, error) {
	name := filepath.Join(in.cfg.Dir, fmt.Sprintf("pg.old-%d", sys))
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = filepath.Join(in.cfg.Dir, fmt.Sprintf("pg.old-%d-%d", sys, n))
	}
	if err := os.Rename(in.data(), name); err != nil {
		return "", err
	}
	return name, syncDir(in.cfg.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
