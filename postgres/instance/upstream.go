package instance

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"

	"meridian/internal/relay"
)

// serveUpstream makes the socket through which the standby reaches the primary.
func (in *Instance) serveUpstream(ctx context.Context) (stop func(), err error) {
	name := socketIn(in.upstream())
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
		relay.Serve(ctx, l, in.deps.Upstream, func(err error) {
			in.log.Debug("replication stream not opened", "err", err)
		})
	})
	return func() { cancel(); serving.Wait() }, nil
}
