package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// A Next is a process that takes another's place. Its methods do nothing on a
// nil Next, that of a process which takes nobody's.
type Next struct {
	line *line
}

// Join connects to the process that runs, and makes its sockets those of s.
func Join(ctx context.Context, path string, s *Sockets) (*Next, error) {
	c, err := dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("reach the process whose place is to be taken: %w", err)
	}
	n := &Next{&line{conn: c.(*net.UnixConn)}}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := n.take(s); err != nil {
		n.line.close()
		return nil, fmt.Errorf("take the sockets of the process that runs: %w", err)
	}
	return n, nil
}

func (n *Next) take(s *Sockets) error {
	if err := n.line.send(message{Take: true, PID: os.Getpid()}); err != nil {
		return err
	}
	m, err := n.line.receive()
	switch {
	case err != nil:
		return err
	case m.Error != "":
		return fmt.Errorf("it refuses: %s", m.Error)
	case len(m.Sockets) != len(n.line.fds):
		return fmt.Errorf("it names %d sockets and sends %d", len(m.Sockets), len(n.line.fds))
	}
	for i, x := range m.Sockets {
		syscall.SetNonblock(n.line.fds[i], true)
		s.give(x.Name, given{os.NewFile(uintptr(n.line.fds[i]), x.Network+" "+x.Address), x.Note})
	}
	n.line.fds = nil
	return nil
}

// Prepared says that this process can do no more while the other runs, and waits
// until that one has given up what only one may own. An error says that it goes
// on, or is gone without a word.
func (n *Next) Prepared(ctx context.Context) error {
	if n == nil {
		return nil
	}
	defer context.AfterFunc(ctx, func() { n.line.conn.Close() })()
	err := n.line.send(message{Prepared: true})
	if err == nil {
		_, err = hear(n.line, func(m message) bool { return m.Released })
	}
	if err != nil {
		return fmt.Errorf("take the place of the process that runs: %w", err)
	}
	return nil
}

// Ready says that this process does the other's work, which ends. An error says
// that the other had given up waiting, and goes on, or has ended meanwhile.
func (n *Next) Ready(ctx context.Context) error {
	if n == nil {
		return nil
	}
	defer n.line.close()
	defer context.AfterFunc(ctx, func() { n.line.conn.Close() })()
	err := n.line.send(message{Ready: true})
	if err == nil {
		_, err = hear(n.line, func(m message) bool { return m.Yielded })
	}
	if err != nil {
		return fmt.Errorf("take the place of the process that runs: %w", err)
	}
	return nil
}

// Fail says why this process does not take the other's place.
func (n *Next) Fail(why error) {
	if n == nil {
		return
	}
	n.line.send(message{Error: why.Error()}) // who cannot be told sees the connection end
	n.line.close()
}

// Restart asks the process that runs to start its next one, and returns once that
// has its place. The error says why it could not take it.
func Restart(ctx context.Context, path string) error {
	c, err := dial(ctx, path)
	if err != nil {
		return err
	}
	l := &line{conn: c.(*net.UnixConn)}
	defer l.close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err = l.send(message{Restart: true}); err == nil {
		_, err = hear(l, func(m message) bool { return m.Yielded })
	}
	return err
}

// dial connects to the process that runs. One that has just taken another's place
// may not listen there yet.
func dial(ctx context.Context, path string) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err = new(net.Dialer).DialContext(ctx, "unix", path); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT) {
			return c, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

const dialPatience = 3 * time.Second
