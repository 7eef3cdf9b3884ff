package server

import (
	"log/slog"
	"syscall"
)

// wantFiles is how many open files a busy edge needs.
const wantFiles = 200_000

// raiseFiles raises the limit of open files as far as this process may, and
// says so where that is not far.
func raiseFiles(log *slog.Logger) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return
	}
	want := l
	want.Cur = max(l.Cur, min(wantFiles, l.Max))
	if want.Max < wantFiles {
		raised := syscall.Rlimit{Cur: wantFiles, Max: wantFiles}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			return
		}
	}
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want)
	if want.Cur < wantFiles {
		log.Info("few open files are allowed", "limit", want.Cur, "wanted", wantFiles)
	}
}
