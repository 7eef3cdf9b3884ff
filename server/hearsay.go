package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"meridian/backbone"
	"meridian/config"
)

// A hearsay is how edges tell each other a thing of one kind: a short stream a
// message, on a service of the backbone whose links are kept warm, so that it
// takes half a round trip. What an edge that is away misses, it misses: nothing
// is told twice, and nothing waits.
type hearsay struct {
	listener net.Listener
	open     func(ctx context.Context, node string) (net.Conn, error)
	from     func(net.Conn) string
	edges    func() []string // the other edges
	log      *slog.Logger

	going chan struct{} // a place for each message on its way
	wg    sync.WaitGroup
}

const (
	// hearsayLimit bounds the telling and the reading of one message.
	hearsayLimit = 2 * time.Second
	// hearsayAtOnce bounds the messages on their way, and those that are read.
	hearsayAtOnce = 64
)

func newHearsay(n *node, service string) *hearsay {
	return &hearsay{
		listener: n.backbone.Listener(service), from: backbone.NodeOf, edges: n.otherEdges, log: n.log, going: make(chan struct{}, hearsayAtOnce),
		open: func(ctx context.Context, node string) (net.Conn, error) { return n.backbone.Open(ctx, node, service) },
	}
}

func (n *node) otherEdges() (out []string) {
	for _, o := range n.world().Nodes {
		if o.Name != n.self.Name && o.Has(config.RoleEdge) {
			out = append(out, o.Name)
		}
	}
	return out
}

// listen has read take what other edges tell, until stop, which waits for all
// that is on its way.
func (h *hearsay) listen(ctx context.Context, read func(from string, r io.Reader) error) (stop func()) {
	closing := context.AfterFunc(ctx, func() { h.listener.Close() })
	h.wg.Go(func() { h.accept(ctx, read) })
	return func() { closing(); h.listener.Close(); h.wg.Wait() }
}

func (h *hearsay) accept(ctx context.Context, read func(from string, r io.Reader) error) {
	readers := make(chan struct{}, hearsayAtOnce)
	for {
		c, err := h.listener.Accept()
		if err != nil {
			return
		}
		select {
		case readers <- struct{}{}:
		case <-ctx.Done():
			c.Close()
			return
		}
		h.wg.Go(func() {
			defer func() { c.Close(); <-readers }()
			h.one(c, read)
		})
	}
}

// one reads what a connection brings, if it is another edge's.
func (h *hearsay) one(c net.Conn, read func(from string, r io.Reader) error) {
	c.SetDeadline(time.Now().Add(hearsayLimit))
	from := h.from(c)
	if !slices.Contains(h.edges(), from) {
		return
	}
	if err := read(from, c); err != nil && !errors.Is(err, io.EOF) {
		h.log.Debug("what another edge tells cannot be read", "from", from, "error", err)
	}
}

// tell sends a message to every other edge, and waits for none. An empty one
// has the links made, no more. While as many are on their way as may be, it is
// dropped.
func (h *hearsay) tell(ctx context.Context, message []byte) {
	for _, edge := range h.edges() {
		select {
		case h.going <- struct{}{}:
		default:
			continue
		}
		h.wg.Go(func() {
			defer func() { <-h.going }()
			h.send(ctx, edge, message)
		})
	}
}

// send tells one edge. One that is not there does not hear it: what it would
// have heard, it finds out by itself.
func (h *hearsay) send(ctx context.Context, edge string, message []byte) {
	ctx, cancel := context.WithTimeout(ctx, hearsayLimit)
	defer cancel()
	c, err := h.open(ctx, edge)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(hearsayLimit))
	c.Write(message)
}
