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
	way.Go(func() { e.pace.Run(upstream) })
	way.Go(func() { (&tidy{e.crowd, e.deps.Log}).Run(upstream) })
	if x := e.shield; x != nil {
		way.Go(func() { x.way.Run(upstream, func() {}) }) // returns nil only
	}
	connecting := make(chan struct{})
	way.Go(func() { e.origin.Run(upstream, func() { close(connecting) }) }) // returns nil only
	<-connecting
	defer func() {
		for _, c := range e.rules.Load().customs {
			c.Close()
		}
	}()
	defer e.tunnels.wait()
	defer context.AfterFunc(ctx, e.endTunnels)()
	defer func() {
		rules := e.rules.Load()
		rules.lanes.close()
		rules.functions.Close()
	}()
	defer e.cache.Stop() // who waits for it is gone
	return e.serve(ctx, doors, ready)
}

// serve answers at every door. The first to fail closes the others.
func (e *Edge) serve(ctx context.Context, doors []door, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(doors))
	var wg sync.WaitGroup
	for i, d := range doors {
		wg.Go(func() {
			defer cancel()
			if err := d.serve(ctx); err != nil {
				errs[i] = fmt.Errorf("serve %s: %w", d.addr, err)
			}
		})
	}
	ready()
	wg.Wait()
	return errors.Join(errs...)
}

// A door is a socket and what answers there.
type door struct {
	addr  net.Addr
	serve func(context.Context) error // until ctx is canceled; it then drains, and closes the socket
	close func() error                // the socket, if serve is not called
}

// listen opens the doors, all or none.
func (e *Edge) listen(ctx context.Context) (doors []door, err error) {
	defer func() {
		if err != nil {
			for _, d := range doors {
				d.close()
			}
		}
	}()
	if doors, err = e.listenTLS(ctx); err != nil {
		return doors, fmt.Errorf("edge %s: listen for HTTPS: %w", e.cfg.Node, err)
	}
	e.https.Store(doors[0].addr)
	if e.cfg.HTTP == "" {
		return doors, nil
	}
	l, err := e.deps.Sockets.Listen(ctx, "tcp", e.cfg.HTTP)
	if err != nil {
		return doors, fmt.Errorf("edge %s: listen for HTTP: %w", e.cfg.Node, err)
	}
	e.http.Store(l.Addr())
	return append(doors, e.tcpDoor(l, nil, e.redirect)), nil
}

// listenTLS opens the HTTPS port: over TCP, and over UDP unless HTTP/3 is off.
func (e *Edge) listenTLS(ctx context.Context) ([]door, error) {
	tcp, udp, err := listenBoth(ctx, e.deps.Sockets, e.cfg.HTTPS, !e.cfg.HTTP3.Off)
	if err != nil {
		return nil, err
	}
	conf := e.tlsConfig()
	doors := []door{e.tcpDoor(tcp, conf, e.ServeHTTP)}
	if udp == nil {
		return doors, nil
	}
	d, err := newQUICDoor(e, udp, conf)
	if err != nil {
		return doors, err
	}
	e.altSvc.Store(altSvc(udp.LocalAddr()))
	return append(doors, door{udp.LocalAddr(), d.serve, d.close}), nil
}

func (e *Edge) tcpDoor(l net.Listener, conf *tls.Config, h http.HandlerFunc) door {
	return door{l.Addr(), func(ctx context.Context) error { return e.deps.Engine.Serve(ctx, l, conf, h) }, l.Close}
}

// samePort is how often both protocols are tried on a port that the system
// chooses: it may be free for one of them alone.
const samePort = 10

// listenBoth opens one port for TCP and, if so asked, for UDP.
func listenBoth(ctx context.Context, s Sockets, addr string, both bool) (tcp net.Listener, udp net.PacketConn, err error) {
	for range samePort {
		if tcp, err = s.Listen(ctx, "tcp", addr); err != nil || !both {
			return tcp, nil, err
		}
		if udp, err = s.ListenPacket(ctx, "udp", tcp.Addr().String()); err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if _, port, _ := net.SplitHostPort(addr); port != "0" {
			break
		}
	}
	return nil, nil, err
}

// altSvcAge is how long a client may go on to know of HTTP/3 here, in seconds.
const altSvcAge = 86400

// altSvc returns how HTTP/3 on an address is announced (RFC 7838).
func altSvc(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return fmt.Sprintf(`h3=":%s"; ma=%d`, port, altSvcAge)
}

// announced returns the Alt-Svc for a response, or "".
func (e *Edge) announced(r *http.Request) string {
	text, _ := e.altSvc.Load().(string)
	if r.ProtoMajor >= 3 {
		return ""
	}
	return text
}

// Addrs returns where the edge listens, once Run called ready. plain is nil if
// there is no redirect.
func (e *Edge) Addrs() (https, plain net.Addr) {
	https, _ = e.https.Load().(net.Addr)
	plain, _ = e.http.Load().(net.Addr)
	return https, plain
}
