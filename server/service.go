package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meridian/client"
	"meridian/config"
)

// serveNode answers what other nodes ask of this one, over the backbone: the
// spans that it kept, and its metrics. Only nodes reach it, and it is the last to
// read a request: it need not be strict.
func (n *node) serveNode(ctx context.Context, l net.Listener, ready func()) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /spans/{trace}", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(n.tele.Spans.Of(r.PathValue("trace")))
	})
	mux.HandleFunc("GET /lost", n.serveLost)
	mux.HandleFunc("POST /backup", n.serveBackup)
	mux.HandleFunc("POST /reload", n.serveReload)
	mux.HandleFunc("POST /rollout/check", n.serveRolloutCheck)
	mux.HandleFunc("GET /rollout", n.serveRollout)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.tele.Metrics, promhttp.HandlerOpts{}))
	return serveHTTP(ctx, ready, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, l, drainTime)
}

// serveHTTP runs srv on l until ctx is over, then lets what was begun end in the
// time of limit.
func serveHTTP(ctx context.Context, ready func(), srv *http.Server, l net.Listener, limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // awaited on both paths below
	ready()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if srv.Shutdown(drain) != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// drainTime bounds how long a server waits for what it has begun, if the file
// does not say.
const drainTime = 3 * time.Second

// drainOf returns how long servers of requests wait.
func drainOf(f *config.File) time.Duration { return cmp.Or(f.Limits.Drain, drainTime) }

// ask fetches a path from another node, or from this one.
func (n *node) ask(ctx context.Context, other, path string) ([]byte, error) {
	return n.call(ctx, http.MethodGet, other, path)
}

// call makes a request to another node, or to this one.
func (n *node) call(ctx context.Context, method, other, path string) ([]byte, error) {
	return n.send(ctx, method, other, path, nil)
}

// send is call with a body.
func (n *node) send(ctx context.Context, method, other, path string, body io.Reader) ([]byte, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return n.backbone.Open(ctx, other, "node") }
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", other, err)
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// askPatience bounds how long one silent node may hold up an answer about all.
const askPatience = 1500 * time.Millisecond

// spans gathers what all nodes kept of a trace. A node that does not answer is
// left out.
func (n *node) spans(ctx context.Context, trace string) []client.Span {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := []client.Span{}
	for _, o := range n.world().Nodes {
		wg.Go(func() {
			b, err := n.ask(ctx, o.Name, "/spans/"+url.PathEscape(trace))
			var found []client.Span
			if err != nil || json.Unmarshal(b, &found) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, found...)
		})
	}
	wg.Wait()
	return out
}

// metrics answers with this node's metrics, or with those of ?node=NAME.
func (n *node) metrics() http.Handler {
	own := promhttp.HandlerFor(n.tele.Metrics, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("node")
		if name == "" || name == n.self.Name {
			own.ServeHTTP(w, r)
			return
		}
		if _, ok := n.world().Node(name); !ok {
			http.Error(w, fmt.Sprintf("there is no node %q", name), http.StatusNotFound)
			return
		}
		b, err := n.ask(r.Context(), name, "/metrics")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Write(b)
	})
}
