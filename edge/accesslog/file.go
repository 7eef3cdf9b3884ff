package accesslog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A file is a log that grows to a size, and then makes way for the next. It is
// one goroutine's.
type file struct {
	path string
	most int64 // bytes
	keep int   // older ones: path.1 is the newest
	f    *os.File
	size int64
}

// open opens the file to write at its end.
func (l *file) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.size = f, st.Size()
	return nil
}

// Write writes whole lines, and makes a new file first where they do not fit.
func (l *file) Write(b []byte) (int, error) {
	if l.f != nil && l.moved() {
		l.Close()
	}
	if l.f != nil && l.size > 0 && l.size+int64(len(b)) > l.most {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	if l.f == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(b)
	l.size += int64(n)
	return n, err
}

// moved reports whether somebody else took the file away, as logrotate does.
func (l *file) moved() bool {
	there, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	ours, err2 := l.f.Stat()
	return err == nil && err2 == nil && !os.SameFile(there, ours)
}

// rotate gives each older file the next number, and drops the oldest.
func (l *file) rotate() error {
	l.Close()
	name := func(i int) string {
		if i == 0 {
			return l.path
		}
		return fmt.Sprintf("%s.%d", l.path, i)
	}
	for i := l.keep; i > 0; i-- {
		if err := os.Rename(name(i-1), name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if l.keep == 0 {
		return os.Remove(l.path)
	}
	return nil
}

func (l *file) Close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}
