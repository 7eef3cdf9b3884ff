package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Shutdown ends the server as a planned move does: with a checkpoint that all
// standbys get. Its folder stays.
func (s *Server) Shutdown() error { return s.end(syscall.SIGINT) }

// Crash kills the server's processes at once.
func (s *Server) Crash() error { return s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("pgtest: end PostgreSQL: %w", err)
	}
	<-s.done
	s.cmd = nil
	return nil
}

// Again runs a server that was ended, as what it was, or as a standby of
// upstream if that is not nil.
func (s *Server) Again(upstream *Server) error {
	if upstream != nil {
		if err := s.follow(upstream); err != nil {
			return err
		}
	}
	s.done = make(chan struct{})
	return s.run()
}

func (s *Server) follow(upstream *Server) error {
	f, err := os.OpenFile(filepath.Join(s.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	_, err = fmt.Fprintf(f, "primary_conninfo='%s'\n", upstream.conninfo(s.name))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	// What pg_basebackup and Follow wrote goes before postgresql.conf.
	if err := os.Truncate(filepath.Join(s.Dir, "postgresql.auto.conf"), 0); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	return s.signal()
}

// signal makes the server a standby at its next start.
func (s *Server) signal() error {
	signal := filepath.Join(s.Dir, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	info, err := os.Stat(s.Dir)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Chown(signal, int(owner.Uid), int(owner.Gid))
}

// conninfo is how a server of that name reaches s.
func (s *Server) conninfo(name string) string {
	return fmt.Sprintf("host=%s port=%s user=meridian application_name=%s", s.root, port, name)
}

// Follow makes a running standby stream from another server.
func (s *Server) Follow(upstream *Server) error {
	return errors.Join(
		s.Exec("postgres", "ALTER SYSTEM SET primary_conninfo = '"+upstream.conninfo(s.name)+"'"),
		s.Exec("postgres", "SELECT pg_reload_conf()"),
	)
}

// Deafen makes a standby take no more log from anybody.
func (s *Server) Deafen() error {
	return errors.Join(
		s.Exec("postgres", "ALTER SYSTEM SET primary_conninfo = ''"),
		s.Exec("postgres", "SELECT pg_reload_conf()"),
		s.until("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"),
	)
}

// until waits until a query says true.
func (s *Server) until(sql string) error {
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if s.Exec("postgres", "DO 'BEGIN ASSERT ("+sql+"); END'") == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("pgtest: never: %s", sql)
}

// Promote makes a standby a primary, and returns once it is.
func (s *Server) Promote() error { return s.Exec("postgres", "SELECT pg_promote()") }
