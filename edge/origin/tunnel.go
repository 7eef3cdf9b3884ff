package origin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"meridian"
)

// Tunnel sends req, which asks for another protocol on its connection, on a
// connection of its own. Of a response that agrees (101) the body is an
// io.ReadWriteCloser: the connection. Its error is an *Error.
func (c *Custom) Tunnel(req *http.Request, wait time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	slow := time.AfterFunc(min(wait, c.cfg.ResponseTimeout), func() { cancel(errSlowOrigin) })
	defer slow.Stop()
	name := meridian.Region(c.cfg.Name)
	var along *hops
	conn, err := c.dialPlain(listening(ctx, &along))
	if err != nil {
		return nil, classify(ctx, name, err, Unsent)
	}
	if along != nil {
		along.begin()
	}
	resp, err := conn.RoundTrip(req.WithContext(ctx))
	if err != nil {
		conn.Close()
		return nil, classify(ctx, name, err, MaybeSent)
	}
	along.restore(resp)
	if up, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = &upgraded{up, conn}
		return resp, nil
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		conn.Close()
		return nil, classify(ctx, name, fmt.Errorf("%s without a connection", resp.Status), MaybeSent)
	}
	resp.Body = &customBody{body: body{resp.Body, cancel}, done: func() { conn.Close() }}
	return resp, nil
}

// An upgraded connection is the origin's and the edge's, in no protocol of ours.
type upgraded struct {
	io.ReadWriteCloser
	conn *http.ClientConn
}

func (u *upgraded) Close() error {
	err := u.ReadWriteCloser.Close()
	u.conn.Close()
	return err
}
