package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// A Holder is the process that runs, as Offer asks it.
type Holder interface {
	// Release gives up what only one process may own. It is called once the next
	// one is prepared; from then on Resume or Yield follows.
	Release(context.Context) error
	// Resume is called if the next one ended, or said that it could not, before it
	// was ready. released says that Release was called.
	Resume(why error, released bool)
	// Yield is called once the next process is ready. This one ends.
	Yield(pid int)
	// Restart starts the next process, and returns once that has this one's place
	// or could not take it.
	Restart() error
}

// errAsked ends an exchange with who only asked for a restart.
var errAsked = errors.New("asked for a restart")

// An Offer waits for the next process.
type Offer struct {
	path    string
	sockets *Sockets
	holder  Holder
	l       *net.UnixListener
}

// NewOffer listens at path, in a folder that is nobody else's. One that is there
// already, of a process before this one, is replaced.
func NewOffer(path string, s *Sockets, h Holder) (*Offer, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("wait for the next process: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // who gets in gets the sockets
		return nil, fmt.Errorf("wait for the next process: %w", err)
	}
	os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("wait for the next process: %w", err)
	}
	l.SetUnlinkOnClose(false) // the next one may listen there by then
	return &Offer{path, s, h, l}, nil
}

// Run serves one process after the other, until one took this one's place or ctx
// is over.
func (o *Offer) Run(ctx context.Context) error {
	defer o.l.Close()
	defer context.AfterFunc(ctx, func() { o.l.Close() })()
	var turned sync.WaitGroup
	defer turned.Wait()
	var busy sync.Mutex
	done := make(chan struct{})
	for {
		c, err := o.l.AcceptUnix()
		select {
		case <-done:
			return nil
		default:
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("wait for the next process: %w", err)
		}
		turned.Go(func() {
			if o.serve(ctx, &line{conn: c}, &busy) {
				close(done)
				o.l.Close()
			}
		})
	}
}

// serve hands over to one process, and reports whether that is done.
func (o *Offer) serve(ctx context.Context, l *line, busy *sync.Mutex) bool {
	defer l.close()
	open := context.AfterFunc(ctx, func() { l.conn.Close() })
	defer open()
	pid, released, err := o.exchange(ctx, l, busy, open)
	if err == nil && !open() { // from here on it is told: Yield may end this offer
		err = ctx.Err()
	}
	if err != nil {
		if pid != 0 {
			o.holder.Resume(err, released)
		}
		return false
	}
	o.holder.Yield(pid)
	l.send(message{Yielded: true}) // if it is gone, nobody can help
	return true
}

func (o *Offer) exchange(ctx context.Context, l *line, busy *sync.Mutex, open func() bool) (pid int, released bool, err error) {
	m, err := l.receive()
	if err == nil && m.Restart {
		open() // it hears what came of it, also of what ends this offer
		if err := o.holder.Restart(); err != nil {
			l.send(message{Error: err.Error()})
		} else {
			l.send(message{Yielded: true})
		}
		return 0, false, errAsked
	}
	if err != nil || !m.Take {
		return 0, false, errors.Join(err, errors.New("it does not ask for the sockets"))
	}
	if !busy.TryLock() {
		l.send(message{Error: "another process takes its place already"})
		return 0, false, errors.New("another is faster")
	}
	defer busy.Unlock()
	pid = m.PID
	if err := o.give(l); err != nil {
		l.send(message{Error: err.Error()})
		return pid, false, err
	}
	if _, err := hear(l, func(m message) bool { return m.Prepared }); err != nil {
		return pid, false, err
	}
	if err := o.holder.Release(ctx); err != nil {
		l.send(message{Error: err.Error()})
		return pid, true, err
	}
	if err := l.send(message{Released: true}); err != nil {
		return pid, true, err
	}
	_, err = hear(l, func(m message) bool { return m.Ready })
	return pid, true, err
}

// give sends a copy of each socket.
func (o *Offer) give(l *line) error {
	copies, err := o.sockets.copies()
	if err != nil {
		return err
	}
	var names []sent
	var all []*os.File
	for n, g := range copies {
		defer g.file.Close()
		names, all = append(names, sent{n, g.note}), append(all, g.file)
	}
	if len(all) > maxSockets {
		return fmt.Errorf("%d sockets: %d can be handed over at once", len(all), maxSockets)
	}
	return l.send(message{Sockets: names}, all...)
}

// hear waits for a message, and passes over those of later versions.
func hear(l *line, is func(message) bool) (message, error) {
	for {
		m, err := l.receive()
		switch {
		case err != nil:
			return m, fmt.Errorf("it ended before it was ready: %w", err)
		case m.Error != "":
			return m, errors.New(m.Error)
		case is(m):
			return m, nil
		}
	}
}
