package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Run listens, and answers requests, until ctx is canceled. It calls ready once
// both doors are open. When ctx is canceled it lets requests in flight end
// before it returns nil.
func (e *Edge) Run(ctx context.Context, ready func()) error {
	doors, err := e.listen(ctx)
	if err != nil {
		return err
	}
	// The way to the regions outlives the doors: requests that are let in are
	// let out.
	upstream, stopUpstream := context.WithCancel(context.WithoutCancel(ctx))
	var way sync.WaitGroup
	defer way.Wait()
	defer stopUpstream()
	if e.log != nil { // what the last request did is written too
		way.Go(func() { e.log.Run(upstream, func() {}) }) // returns nil only
	}
	if x := e.shield; x != nil {
		way.Go(func() { x.way.Run(upstream, func() {}) }) // returns nil only
	}
	connecting := make(chan struct{})
	way.Go(func() { e.origin.Run(upstream, func() { close(connecting) }) }) // returns nil only
	<-connecting
	defer func() {
		for _, c := range e.customs {
			c.Close()
		}
	}()
	defer e.tunnels.wait()
	defer context.AfterFunc(ctx, e.tunnels.stop)()
	defer e.cache.Stop() // who waits for it is gone
	return e.serve(ctx, doors, ready)
}

// serve runs the engine on every door. The first to fail closes the others.
func (e *Edge) serve(ctx context.Context, doors []door, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(doors))
	var wg sync.WaitGroup
	for i, d := range doors {
		wg.Go(func() {
			defer cancel()
			if err := e.deps.Engine.Serve(ctx, d.Listener, d.tls, d.handler); err != nil {
				errs[i] = fmt.Errorf("serve %s: %w", d.Addr(), err)
			}
		})
	}
	ready()
	wg.Wait()
	return errors.Join(errs...)
}

// A door is a listener and what answers there.
type door struct {
	net.Listener
	tls     *tls.Config // nil for plain HTTP
	handler http.HandlerFunc
}

// listen opens the doors, all or none.
func (e *Edge) listen(ctx context.Context) (doors []door, err error) {
	defer func() {
		if err != nil {
			for _, d := range doors {
				d.Close()
			}
		}
	}()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", e.cfg.HTTPS)
	if err != nil {
		return nil, fmt.Errorf("edge %s: listen for HTTPS: %w", e.cfg.Node, err)
	}
	doors = append(doors, door{l, e.tlsConfig(), e.ServeHTTP})
	e.https.Store(l.Addr())
	if e.cfg.HTTP == "" {
		return doors, nil
	}
	l, err = lc.Listen(ctx, "tcp", e.cfg.HTTP)
	if err != nil {
		return doors, fmt.Errorf("edge %s: listen for HTTP: %w", e.cfg.Node, err)
	}
	e.http.Store(l.Addr())
	return append(doors, door{l, nil, e.redirect}), nil
}

// Addrs returns where the edge listens, once Run called ready. plain is nil if
// there is no redirect.
func (e *Edge) Addrs() (https, plain net.Addr) {
	https, _ = e.https.Load().(net.Addr)
	plain, _ = e.http.Load().(net.Addr)
	return https, plain
}
