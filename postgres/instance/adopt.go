package instance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/proc"
)

// A found is a PostgreSQL that ran already when its node started.
type found struct {
	PID        int
	Ours       bool   // it runs on this data, as its process says
	Status     string // as it says in postmaster.pid
	Socket     string // the folder of its socket
	Standby    bool   // the data says that it follows
	Recovering bool   // it says so itself
	System     uint64 // as the data says
	Says       uint64 // as it says itself; 0 if it does not answer
	Settings   bool   // it was started with the settings of now
}

// keep decides whether a PostgreSQL that outlived its node goes on as it is, in
// a role. What does not is ended, and started anew.
func keep(f found, role Role, socket string) (bool, string) {
	switch {
	case f.PID == 0:
		return false, "none runs"
	case !f.Ours:
		return false, fmt.Sprintf("process %d is not a PostgreSQL on this data", f.PID)
	case f.Status != "ready":
		return false, fmt.Sprintf("its status is %q", f.Status)
	case f.Socket != socket:
		return false, fmt.Sprintf("its socket is in %s, not in %s", f.Socket, socket)
	case f.Says == 0:
		return false, "it does not answer"
	case f.Says != f.System:
		return false, fmt.Sprintf("it serves database system %d, the data is of %d", f.Says, f.System)
	case f.Recovering != (role == Standby) || f.Standby != (role == Standby):
		return false, fmt.Sprintf("it shall be a %s now", role)
	case !f.Settings:
		return false, "its settings have changed"
	}
	return true, "it is this region's, in the same role, with the same settings"
}

// adopt returns the PostgreSQL that outlived this instance's last node, if it
// can go on. Else it ends it, before anything touches the data.
func (in *Instance) adopt(ctx context.Context, role Role) (*proc.Process, error) {
	f := in.find(ctx)
	if f.PID == 0 || !f.Ours {
		return nil, nil // clearStale's business
	}
	ok, why := keep(f, role, in.cfg.SocketDir)
	if ok {
		p, err := proc.Adopt(f.PID, func() bool { return runsOn(f.PID, in.data()) })
		if err == nil {
			in.log.Info("postgres outlived its node and is adopted", "pid", f.PID, "why", why)
			return p, nil
		}
		why = err.Error()
	}
	in.log.Warn("a postgres that outlived its node is not adopted", "pid", f.PID, "why", why)
	return nil, in.clearStale(ctx)
}

// find looks at what runs on the data.
func (in *Instance) find(ctx context.Context) (f found) {
	content, err := os.ReadFile(filepath.Join(in.data(), "postmaster.pid"))
	lines := strings.Split(string(content), "\n")
	if err != nil || len(lines) < 8 {
		return f
	}
	f.PID, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	if f.PID <= 0 || !alive(f.PID) {
		return found{}
	}
	f.Ours = runsOn(f.PID, in.data())
	f.Socket, f.Status = strings.TrimSpace(lines[4]), strings.TrimSpace(lines[7])
	if folder, err := inspect(in.data()); err == nil {
		f.System, f.Standby = folder.System, folder.Standby
	}
	written, err := os.ReadFile(filepath.Join(in.data(), "postgresql.conf"))
	f.Settings = err == nil && withoutNames(string(written)) == withoutNames(in.conf())
	f.Says, f.Recovering = in.says(ctx)
	return f
}

// withoutNames leaves the synchronous standbys out of a configuration: they
// change while PostgreSQL runs, and Synchronous says them again.
func withoutNames(conf string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(conf, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "synchronous_standby_names ")
	}), "\n")
}

// says asks a PostgreSQL which it is.
func (in *Instance) says(ctx context.Context) (system uint64, recovering bool) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	rows, err := in.rows(ctx, "postgres", "SELECT system_identifier, pg_is_in_recovery() FROM pg_control_system()")
	if err != nil || len(rows) != 1 {
		return 0, false
	}
	id, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if err != nil {
		return 0, false
	}
	return uint64(id), string(rows[0][1]) == "t"
}

// Leave makes Run end without ending PostgreSQL, where Config.Outlive says that
// it may go on: the next node adopts it.
func (in *Instance) Leave() { in.leaving.Store(in.cfg.Outlive) }

// launch starts the postmaster. One that is to outlive this process writes to
// a file, since nobody would empty its pipe.
func (in *Instance) launch(out *logWriter) (*proc.Process, error) {
	cmd := in.command("postgres", "-D", in.data())
	cmd.Stderr = out
	if in.cfg.Outlive {
		f, err := in.openLog(os.O_WRONLY | os.O_CREATE | os.O_APPEND)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		cmd.Stderr, cmd.Outlive = f, true
	}
	p, err := proc.Start(cmd)
	if err == nil {
		in.stats.starts.Inc()
	}
	return p, err
}

func (in *Instance) openLog(flag int) (*os.File, error) {
	return os.OpenFile(filepath.Join(in.cfg.Dir, "postgres.log"), flag, 0o600)
}

const (
	logPeriod = 50 * time.Millisecond // between looks at what PostgreSQL wrote
	maxLog    = 8 << 20               // bytes of what was read already that stay in the file
)

// follow passes on what PostgreSQL writes to its file, from a position on,
// until done is closed.
func (in *Instance) follow(from int64, out *logWriter, done <-chan struct{}) {
	f, err := in.openLog(os.O_RDWR)
	if err != nil {
		in.log.Warn("what postgres says cannot be read", "err", err)
		return
	}
	defer f.Close()
	tick := time.NewTicker(logPeriod)
	defer tick.Stop()
	buf := make([]byte, 32<<10)
	for last := false; ; {
		for {
			n, err := f.ReadAt(buf, from)
			out.Write(buf[:n])
			if from += int64(n); err != nil {
				break // the end, for now
			}
		}
		if from > maxLog && f.Truncate(0) == nil { // it appends
			from = 0
		}
		if last {
			return
		}
		select {
		case <-done:
			last = true // what was written before the end
		case <-tick.C:
		}
	}
}

// logEndsAt is where what an adopted PostgreSQL writes from now on will stand.
func (in *Instance) logEndsAt() int64 {
	st, err := os.Stat(filepath.Join(in.cfg.Dir, "postgres.log"))
	if err != nil {
		return 0
	}
	return st.Size()
}
