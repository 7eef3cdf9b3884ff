package instance

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"meridian"
)

// An account is the user that PostgreSQL runs as. Its UID and GID are 0 if
// that is the user of this process.
type account struct {
	Name     string
	UID, GID int
}

// runAs picks the account: PostgreSQL refuses to run as root.
func runAs(name string) (account, error) {
	if os.Geteuid() != 0 {
		return account{Name: "this process's user"}, nil
	}
	names := []string{"postgres", "nobody"}
	if name != "" {
		names = []string{name}
	}
	for _, n := range names {
		u, err := user.Lookup(n)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{Name: n, UID: uid, GID: gid}, nil
		}
	}
	return account{}, meridian.WithKind(meridian.Invalid,
		fmt.Errorf("PostgreSQL does not run as root, and none of the users %q exists here", names))
}

// own gives a file or folder to the account.
func (a account) own(name string) error {
	if a.UID == 0 {
		return nil
	}
	return os.Lchown(name, a.UID, a.GID)
}

// folder makes a folder of mode 0700 that belongs to the account.
func (a account) folder(name string) error {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(name, 0o700); err != nil {
		return err
	}
	return a.own(name)
}

// write replaces a file in a folder of the account. It follows no link that
// the account may have put in its place.
func (a account) write(name, content string) error {
	tmp := name + ".new"
	os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := a.own(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// reaches reports whether the account can enter dir and every folder above it.
func (a account) reaches(dir string) error {
	if a.UID == 0 {
		return nil
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && !a.enters(info.Mode(), int(st.Uid), int(st.Gid)) {
			return meridian.WithKind(meridian.Invalid, fmt.Errorf(
				"PostgreSQL runs as user %s, who cannot pass through %s (mode %04o): use a state folder elsewhere, or chmod o+x %s",
				a.Name, dir, info.Mode().Perm(), dir))
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

func (a account) enters(mode fs.FileMode, uid, gid int) bool {
	switch {
	case uid == a.UID:
		return mode&0o100 != 0
	case gid == a.GID:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
