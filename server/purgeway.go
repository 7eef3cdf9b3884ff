package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"meridian"
	"meridian/edge/cache"
)

// maxPurges bounds one message with purges, in bytes.
const maxPurges = 4 << 20

// ways are this node's ways to the caches of others: for each a client whose
// connections stay open. They are streams on a link of the backbone that is kept
// for purges alone, so that a purge waits for no handshake and behind no body.
type ways struct {
	open func(ctx context.Context, node, service string) (net.Conn, error)

	mu sync.Mutex // guards what follows
	to map[string]*http.Client
}

func newWays(open func(ctx context.Context, node, service string) (net.Conn, error)) *ways {
	return &ways{open: open, to: map[string]*http.Client{}}
}

func (w *ways) client(node string) *http.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.to[node]
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return w.open(ctx, node, "purge") },
			MaxIdleConnsPerHost: 8, DisableCompression: true,
		}}
		w.to[node] = c
	}
	return c
}

// tell has a node apply purges, and returns how many objects each removed.
func (w *ways) tell(ctx context.Context, node string, ps []cache.Purge) ([]int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://edge/purges", bytes.NewReader(mustJSON(ps)))
	if err != nil {
		return nil, err
	}
	resp, err := w.client(node).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, meridian.WithKind(meridian.Timeout, fmt.Errorf("%s does not answer", node))
		}
		return nil, fmt.Errorf("tell %s: %w", node, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("tell %s: it answers %s", node, resp.Status)
	}
	var objects []int
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPurges)).Decode(&objects); err != nil {
		return nil, fmt.Errorf("tell %s: %w", node, err)
	}
	return objects, nil
}

// warmEvery is how often the links to new edges are asked for; the backbone
// keeps those that were once.
const warmEvery = 2 * time.Second

// warm keeps links to all edges up, until ctx is over.
func (w *ways) warm(ctx context.Context, nodes func() []string) {
	tick := time.NewTicker(warmEvery)
	defer tick.Stop()
	var asked sync.WaitGroup
	defer asked.Wait()
	for {
		for _, node := range nodes() {
			asked.Go(func() {
				if c, err := w.open(ctx, node, "purge"); err == nil {
					c.Close()
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// servePurges applies what other nodes send.
func servePurges(ctx context.Context, l net.Listener, apply func([]cache.Purge) []int, ready func()) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /purges", func(w http.ResponseWriter, r *http.Request) {
		var ps []cache.Purge
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPurges)).Decode(&ps); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(apply(ps))
	})
	return serveHTTP(ctx, ready, &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}, l, drainTime)
}
