// Package pgtest runs real PostgreSQL clusters for tests: a primary, and
// standbys that stream from it. The clusters listen on a Unix socket only and
// end with the test's process, however it ends.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A Server is one running PostgreSQL.
type Server struct {
	Dir string // its data folder; the socket is beside it

	name   string // with which it streams, as a standby
	root   string
	remove func() // the root
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
}

const port = "5432"

// Start makes and runs a primary with a role and a database of that name. Its
// folder is removed by Stop.
func Start(name string) (*Server, error) {
	s, err := newServer(name)
	if err != nil {
		return nil, err
	}
	if err := s.tool("initdb", "-D", s.Dir, "-U", "meridian", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	// Standbys have no slots: what one that is behind needs must not go.
	settings := "wal_level=replica\nwal_keep_size=512MB\nhot_standby=on\nhot_standby_feedback=on\nmax_wal_senders=8\nfsync=off\nmax_prepared_transactions=4\n" +
		"track_commit_timestamp=on\nwal_init_zero=off\nwal_recycle=off\nmax_standby_streaming_delay=1s\nwal_retrieve_retry_interval=100ms\nmax_connections=120\nshared_buffers=32MB\nautovacuum_naptime=10s\n"
	if err := s.settings(settings); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	for _, sql := range []string{"CREATE ROLE " + name + " LOGIN", "CREATE DATABASE " + name + " OWNER " + name} {
		if err := s.Exec("postgres", sql); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Standby makes and runs a standby of s.
func (s *Server) Standby(name string) (*Server, error) {
	b, err := newServer(name)
	if err != nil {
		return nil, err
	}
	if err := b.tool("pg_basebackup", "-d", s.conninfo(name), "-D", b.Dir, "-R", "-c", "fast", "-X", "stream", "--no-sync"); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	if err := b.settings(""); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	if err := b.run(); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

// Dial connects to the server's socket.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join(s.root, ".s.PGSQL."+port))
}

// URL is how a role reaches a database.
func (s *Server) URL(role, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s&sslmode=disable", role, database, s.root, port)
}

// Exec runs statements as the superuser. One that fails ends them.
func (s *Server) Exec(database, sql string) error {
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, s.URL("meridian", database))
	if err == nil {
		_, err = c.Exec(ctx, sql).ReadAll()
		err = errors.Join(err, c.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("pgtest: %s: %w", sql, err)
	}
	return nil
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() error {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.done
	}
	s.remove()
	return nil
}

// newServer makes the folder.
func newServer(name string) (*Server, error) {
	root, remove, err := NewFolder()
	if err != nil {
		return nil, err
	}
	s := &Server{name: name, root: root, remove: remove, Dir: filepath.Join(root, "data"), done: make(chan struct{})}
	if cred, err := credential(); err != nil {
		return nil, err
	} else if cred != nil {
		if err := os.Chown(root, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, fmt.Errorf("pgtest: %w", err)
		}
	}
	return s, nil
}

// credential returns the user to run as: PostgreSQL refuses to run as root.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("pgtest: %w", err)
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// Binary returns the path of one of PostgreSQL's programs.
func Binary(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return slices.Max(found), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("pgtest: PostgreSQL is needed: %w", err)
	}
	return path, nil
}

func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	path, err := Binary(name)
	if err != nil {
		return nil, err
	}
	cred, err := credential()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.root
	cmd.Env = []string{"LC_ALL=C", "PATH=" + filepath.Dir(path) + ":/usr/bin:/bin", "HOME=" + s.root}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return cmd, nil
}

func (s *Server) tool(name string, args ...string) error {
	cmd, err := s.command(name, args...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: %s: %w: %s", name, err, out)
	}
	return nil
}

// settings appends to the server's configuration.
func (s *Server) settings(text string) error {
	f, err := os.OpenFile(filepath.Join(s.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	_, err = fmt.Fprintf(f, "listen_addresses=''\nport=%s\nunix_socket_directories='%s'\n%s", port, s.root, text)
	return errors.Join(err, f.Close())
}

// run starts the server and waits until it answers. The signal that the kernel
// sends at the death of a parent belongs to the thread that forked, so that
// thread waits for the child.
func (s *Server) run() error {
	cmd, err := s.command("postgres", "-D", s.Dir)
	if err != nil {
		return err
	}
	dieWithParent(cmd.SysProcAttr)
	cmd.Stderr = &s.stderr
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.cmd = cmd
	return s.ready()
}

func (s *Server) ready() error {
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("pgtest: PostgreSQL ended: %s", s.stderr.String())
		case <-deadline.C:
			return errors.New("pgtest: PostgreSQL does not answer")
		case <-tick.C:
			if s.Exec("postgres", "SELECT 1") == nil {
				return nil
			}
		}
	}
}
