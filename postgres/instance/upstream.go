package instance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"

	"meridian/internal/relay"
)

// dialUpstream connects to the primary of the term that this instance follows.
func (in *Instance) dialUpstream(ctx context.Context) (net.Conn, error) {
	if in.deps.Upstream == nil {
		return nil, errors.New("no way to the primary was given")
	}
	return in.gate.dial(ctx, in.deps.Upstream)
}

// serveUpstream makes the socket through which a standby, pg_basebackup and
// pg_rewind reach the primary. It is there in each role: the roles change.
func (in *Instance) serveUpstream(ctx context.Context) (stop func(), err error) {
	return in.serveSocket(ctx, in.upstream(), in.dialUpstream)
}

// serveSocket makes a socket in a folder, through which PostgreSQL and its
// programs reach what dial connects to.
func (in *Instance) serveSocket(ctx context.Context, dir string, dial relay.Dial) (stop func(), err error) {
	if err := in.run.folder(dir); err != nil {
		return nil, err
	}
	name := socketIn(dir)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	if err := in.run.own(name); err != nil {
		l.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives PostgreSQL
	var serving sync.WaitGroup
	serving.Go(func() {
		relay.Serve(ctx, l, dial, func(err error) {
			in.log.Debug("replication stream not opened", "err", err)
		})
	})
	return func() { cancel(); serving.Wait() }, nil
}

// savePledge replaces the pledge's file. It returns once a power cut cannot
// undo that.
func (in *Instance) savePledge(content string) error {
	if err := passable(in.cfg.Dir); err != nil {
		return err
	}
	if err := in.run.write(in.pledge(), content); err != nil {
		return err
	}
	return syncDir(in.cfg.Dir)
}

func (in *Instance) pledge() string { return filepath.Join(in.cfg.Dir, "pledge") }
