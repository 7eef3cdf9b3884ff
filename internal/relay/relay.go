// Package relay carries the connections of one listener to another place,
// without looking at what they say.
package relay

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds how long an accepted connection waits for its other half.
const dialTimeout = 10 * time.Second

// A Dial makes the other half of an accepted connection.
type Dial func(context.Context) (net.Conn, error)

// Serve joins each connection that l accepts to one that dial makes, until ctx
// is canceled or l is closed by somebody else. A connection whose other half
// cannot be made is closed; failed, if not nil, is told why. Serve closes l and
// every connection, and returns when nothing that it started remains.
func Serve(ctx context.Context, l net.Listener, dial Dial, failed func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var joined sync.WaitGroup
	defer joined.Wait()
	defer cancel()
	for {
		c, err := l.Accept()
		if err != nil {
			l.Close()
			return
		}
		joined.Go(func() {
			if err := serve(ctx, c, dial); err != nil && failed != nil && ctx.Err() == nil {
				failed(err)
			}
		})
	}
}

func serve(ctx context.Context, c net.Conn, dial Dial) error {
	defer c.Close()
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	to, err := dial(dctx)
	if err != nil {
		return err
	}
	Join(ctx, c, to)
	return nil
}

// Join copies between a and b in both directions until either ends or ctx is
// canceled, and closes both.
func Join(ctx context.Context, a, b net.Conn) {
	shut := func() { a.Close(); b.Close() }
	defer context.AfterFunc(ctx, shut)()
	var other sync.WaitGroup
	other.Go(func() {
		io.Copy(a, b)
		shut()
	})
	io.Copy(b, a)
	shut()
	other.Wait()
}
