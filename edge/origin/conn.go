package origin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"meridian"
)

// A conn is one connection: over HTTP/2 to a region, or of a pool.
type conn struct {
	*http.ClientConn
	limit atomic.Int64 // most requests at once, as last seen

	// To a region.
	ear    *ear
	every  time.Duration // of quiet, before it is pinged
	blamed atomic.Bool   // its end was counted as a failure

	// Of a pool, and guarded by its mu.
	hops     *hops     // nil if it is HTTP/2
	streams  bool      // it is HTTP/2
	requests int       // that it serves
	gone     bool      // it is not the pool's any more
	last     time.Time // when a request last ended here, or when it was made
}

// load returns how many requests more the connection takes at once, and how
// many it has, and whether it takes any at all: a connection that ended or
// that the region sent GOAWAY on does not, a full one does, and lets them wait.
func (c *conn) load() (free, flying int, open bool) {
	free, flying = c.Available(), c.InFlight()
	if free > 0 {
		c.limit.Store(int64(free + flying))
	}
	return free, flying, c.Err() == nil && (free > 0 || int64(flying) >= c.limit.Load())
}

// open reports whether the connection takes requests.
func (c *conn) open() bool {
	_, _, ok := c.load()
	return ok
}

// done reports whether the connection takes no requests and has none left.
func (c *conn) done() bool { return c.Err() != nil || c.InFlight() == 0 }

// transport returns what makes connections to a region. It is net/http's
// transport, which is never asked to send a request: it would repeat some by
// itself, a POST with an Idempotency-Key among them.
func transport(region meridian.Region, cfg Config, every time.Duration, deps Deps, p *pulse) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		// The backbone's connection is TLS already: HTTP/2 begins on it with
		// prior knowledge (RFC 9113, section 3.3).
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := deps.Dial(ctx, region)
			if err != nil {
				return nil, err
			}
			e := newEar(c, p, time.Now())
			if hand, ok := ctx.Value(handKey{}).(func(*ear)); ok {
				hand(e)
			}
			return e, nil
		},
		Protocols: protocols,
		// Bodies and their codings are the client's and the region's.
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: every,
			PingTimeout:     cfg.PingTimeout,
			// At a round trip of 219 ms, 4 MiB a stream is 19 MB/s.
			MaxReceiveBufferPerStream:     4 << 20,
			MaxReceiveBufferPerConnection: 64 << 20,
		},
	}
}

// handKey is under what connect's context carries who takes the connection's
// ear: the transport gives only the finished ClientConn back.
type handKey struct{}

// connect makes one connection. It stands once the region's own HTTP/2 speaks on it:
// a gateway that has closed its door a moment ago reads nothing that is sent to a
// connection which its node took, and nobody could tell that from one that does.
func connect(ctx context.Context, t *http.Transport, region meridian.Region) (*conn, error) {
	var own *ear
	ctx = context.WithValue(ctx, handKey{}, func(e *ear) { own = e })
	cc, err := t.NewClientConn(ctx, "http", string(region)+":80")
	if err != nil {
		return nil, err
	}
	select {
	case <-own.spoke:
		err = own.mute
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		cc.Close()
		return nil, fmt.Errorf("%s took a connection and said nothing: %w", region, err)
	}
	c := &conn{ClientConn: cc, ear: own}
	c.load()
	return c, nil
}
