package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// probeEvery is how often a secondary asks the primary how far it is. It does
// the same work whether anybody needs it or not.
const probeEvery = 500 * time.Millisecond

// A probe asks the primary's proxy at a steady pace how far it is. Its silence
// says that the primary cannot be reached, where a cut link would say nothing;
// its answers say how far the local replay is behind.
type probe struct {
	p *Proxy

	mu     sync.Mutex // guards what follows
	region meridian.Region
	lost   string // why region cannot be reached, or ""
	known  bool   // region has answered at least once
	open   []answer
}

// An answer is the primary's position at an instant, not replayed here yet.
type answer struct {
	at    time.Time // when it was asked for: the position is not older
	token meridian.Token
}

func newProbe(p *Proxy) *probe { return &probe{p: p} }

// away says why a region cannot be reached as the primary, or "".
func (b *probe) away(region meridian.Region) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.region != region {
		return ""
	}
	return b.lost
}

// lag returns how long ago the oldest answer was asked for that is not yet
// replayed, 0 if all are, -1 if the primary never answered.
func (b *probe) lag() time.Duration {
	here := b.p.watch.known().served
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known {
		return -1
	}
	b.forget(here)
	if len(b.open) == 0 {
		return 0
	}
	return b.p.deps.Now().Sub(b.open[0].at)
}

// forget drops the answers that are replayed here.
func (b *probe) forget(here meridian.Token) {
	for len(b.open) > 0 && reached(here, b.open[0].token) {
		b.open = b.open[1:]
	}
}

// run probes until ctx is canceled.
func (b *probe) run(ctx context.Context) {
	for ctx.Err() == nil {
		region, here := b.p.primary()
		if here || region == "" {
			b.set(region, nil)
			pause(ctx, probeEvery/5)
			continue
		}
		err := b.session(ctx, region)
		if now, _ := b.p.primary(); ctx.Err() != nil || now != region {
			continue
		}
		b.set(region, err)
		b.p.dropMains(region)
		pause(ctx, probeEvery/2)
	}
}

// set notes how the last conversation with a region went.
func (b *probe) set(region meridian.Region, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.lost
	if b.region != region {
		b.known, b.open = false, nil
	}
	b.region, b.lost = region, ""
	if err != nil {
		b.lost = fmt.Sprintf("the primary in %s cannot be reached: %v", region, err)
	}
	if (was == "") != (b.lost == "") {
		b.p.deps.Log.Info("the primary's reach changed", "primary", region, "why", b.lost)
	}
}

// session probes one region until it is silent or no longer the primary.
func (b *probe) session(ctx context.Context, region meridian.Region) error {
	open, cancel := context.WithTimeout(ctx, b.p.cfg.PrimaryTimeout)
	conn, err := b.p.deps.Remote(open, region)
	cancel()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	h := wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeProbe, From: string(b.p.cfg.Region)}
	hello := wire.Builder(nil).JSON(wire.FrameHello, h)
	rd := wire.NewReader(conn)
	for seq := uint64(1); ; seq++ {
		asked := b.p.deps.Now()
		reply, err := b.ask(conn, rd, wire.Builder(hello).Probe(wire.Probe{Seq: seq}))
		if err != nil {
			return err
		}
		hello = nil
		b.set(region, nil)
		b.answered(ctx, asked, b.p.token(reply.Position))
		pause(ctx, probeEvery)
		if now, _ := b.p.primary(); ctx.Err() != nil || now != region {
			return nil
		}
	}
}

// ask sends a probe and waits for its answer.
func (b *probe) ask(conn net.Conn, rd *wire.Reader, m []byte) (wire.Probe, error) {
	conn.SetDeadline(time.Now().Add(b.p.cfg.PrimaryTimeout))
	if _, err := conn.Write(m); err != nil {
		return wire.Probe{}, err
	}
	f, err := rd.Frame()
	if err != nil {
		return wire.Probe{}, err
	}
	if f.Type() == wire.FrameRefuse {
		var r wire.Refusal
		if err := wire.ParseJSON(f.Body(), &r); err != nil {
			return wire.Probe{}, err
		}
		return wire.Probe{}, errors.New(r.Message)
	}
	return wire.ParseProbe(f.Body())
}

// answered notes an answer and looks how far replay is.
func (b *probe) answered(ctx context.Context, asked time.Time, t meridian.Token) {
	s, err := b.p.watch.sample(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = true
	if len(b.open) < 4096 {
		b.open = append(b.open, answer{asked, t})
	}
	if err == nil {
		b.forget(s.served)
	}
}

// dropMains ends all sessions' streams to a region that is silent: their
// clients learn now what they would otherwise wait for in vain.
func (p *Proxy) dropMains(region meridian.Region) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		c.mu.Lock()
		if c.main != nil && c.main.backend == nil && c.main.region == region {
			c.main.conn.Close()
		}
		c.mu.Unlock()
	}
}
