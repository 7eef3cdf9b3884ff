package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"meridian"
	"meridian/dns/steer"
	"meridian/dns/zone"
	"meridian/topology"
)

// A Server is a name server for one zone.
type Server struct {
	cfg     Config
	deps    Deps
	zone    *zone.Zone
	metrics *metrics
	view    atomic.Pointer[view]
	bound   []netip.AddrPort // set before ready
	slots   chan struct{}    // one for each TCP connection that may be open
}

// New returns a name server that Run starts.
func New(c Config, d Deps) (*Server, error) {
	c, err := c.fill()
	if err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("dns: %w", err))
	}
	z, err := zone.New(c.Domain, c.Addresses, c.TTL)
	if err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("dns: %w", err))
	}
	if d.Sockets == nil {
		d.Sockets = new(net.ListenConfig)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	d.Log = d.Log.With("hop", "dns")
	s := &Server{cfg: c, deps: d, zone: z, metrics: newMetrics(d.Metrics), slots: make(chan struct{}, c.Connections)}
	s.view.Store(&view{zone: z, snap: &topology.Snapshot{}, places: steer.NewPlaces(nil), texts: d.Texts, alpn: c.ALPN})
	return s, nil
}

// Addrs returns the addresses that are listened on, in the order of
// Config.Listen. They are known once Run has called ready.
func (s *Server) Addrs() []netip.AddrPort { return s.bound }

// Run listens, calls ready, and answers until ctx is canceled. The answers to
// queries that were read before are still sent.
func (s *Server) Run(ctx context.Context, ready func()) error {
	var socks []sockets
	for _, l := range s.cfg.Listen {
		k, err := listen(ctx, s.deps.Sockets, l)
		if err != nil {
			for _, k := range socks {
				k.close()
			}
			return fmt.Errorf("dns: %w", err)
		}
		socks = append(socks, k)
		s.bound = append(s.bound, k.tcp.Addr().(*net.TCPAddr).AddrPort())
	}
	ready()

	var all sync.WaitGroup
	for _, k := range socks {
		for range runtime.GOMAXPROCS(0) {
			all.Go(func() { s.serveUDP(ctx, k.udp) })
		}
		all.Go(func() { s.serveTCP(ctx, k.tcp) })
	}
	all.Go(func() { s.watch(ctx) })
	<-ctx.Done()
	for _, k := range socks {
		k.close()
	}
	all.Wait()
	return nil
}

// sockets are the two of one address.
type sockets struct {
	udp *net.UDPConn
	tcp net.Listener
}

func (k sockets) close() { _, _ = k.udp.Close(), k.tcp.Close() }

// listen opens an address for TCP, and the same port for UDP. For port 0 it
// tries again if the port that TCP was given is taken for UDP.
func listen(ctx context.Context, s Sockets, address string) (sockets, error) {
	want, err := netip.ParseAddrPort(address)
	if err != nil {
		return sockets{}, fmt.Errorf("listen on %q: %w", address, err)
	}
	for try := 1; ; try++ {
		tcp, err := s.Listen(ctx, "tcp", address)
		if err != nil {
			return sockets{}, err
		}
		udp, err := s.ListenPacket(ctx, "udp", tcp.Addr().String())
		if err == nil {
			return sockets{udp.(*net.UDPConn), tcp}, nil
		}
		_ = tcp.Close()
		if want.Port() != 0 || try == 10 {
			return sockets{}, err
		}
	}
}

// serveUDP answers one packet after the other. A packet that cannot be read or
// sent concerns one asker, who will ask again.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if out := s.reply(buf[:n], from.Addr(), true); out != nil {
			_, _ = conn.WriteToUDPAddrPort(out, from)
		}
	}
}

// serveTCP accepts until the listener is closed, and returns when the last
// connection has ended.
func (s *Server) serveTCP(ctx context.Context, l net.Listener) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				_ = conn.Close()
			}
			return
		case err != nil:
			s.deps.Log.Warn("accept", "err", err)
			select { // out of file descriptors, most likely: let some come free
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
			open.Go(func() { defer func() { <-s.slots }(); s.serveConn(ctx, conn) })
		default:
			s.metrics.turned.Inc()
			_ = conn.Close()
		}
	}
}

// serveConn answers the queries of one connection in their order (RFC 7766).
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	var size [2]byte
	for ctx.Err() == nil {
		_ = conn.SetDeadline(time.Now().Add(s.cfg.Idle))
		if ctx.Err() != nil {
			return // canceled before the deadline was set, which undid AfterFunc's
		}
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return
		}
		out := s.reply(packet, from, false)
		if out == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// reply answers a packet, and counts it. If answering it meets a bug of ours,
// that packet stays unanswered and the node lives (guarantee 10).
func (s *Server) reply(packet []byte, from netip.Addr, udp bool) (out []byte) {
	defer func() {
		if bug := recover(); bug != nil {
			s.deps.Log.Error("a query met a bug", "from", from, "packet", fmt.Sprintf("%x", packet), "err", bug)
			out = nil
		}
	}()
	out, done := s.look().respond(packet, from, udp)
	transport := "tcp"
	if udp {
		transport = "udp"
	}
	s.metrics.count(transport, done)
	return out
}

// watch logs each change of where askers are sent. A query is not logged.
func (s *Server) watch(ctx context.Context) {
	const often = 250 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	was := map[meridian.Region]route{}
	for {
		now := s.look().routes()
		for place, r := range now {
			if old := was[place]; old.edge != r.edge || old.region != r.region {
				s.deps.Log.Info("steering", "from", place, "edge", r.edge, "edge_why", r.edgeWhy, "region", r.region, "why", r.regionWhy)
			}
		}
		was = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
