package postgres

import (
	"context"
	"net"

	"meridian/postgres/wire"
)

// answerProbes tells a secondary how far the primary is, each time it asks.
func (p *Proxy) answerProbes(ctx context.Context, conn net.Conn, rd *wire.Reader) {
	for {
		f, err := rd.Frame()
		if err != nil || f.Type() != wire.FrameProbe {
			return
		}
		q, err := wire.ParseProbe(f.Body())
		if err != nil {
			return
		}
		if p.gate.yields.on.Load() {
			conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, *p.returning()))
			return
		}
		s, err := p.watch.sample(ctx)
		// The lease is looked at after the position was taken: if it is valid
		// now, nobody else could have written by then.
		fenced := !p.leased() && !p.gate.relayLate
		if _, here := p.primary(); err != nil || !here || s.standby || fenced {
			conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: stateNotSent, Away: true, Message: string(p.cfg.Region) + " cannot act as the primary"}))
			return
		}
		q.Position = position(s.seen)
		if _, err := conn.Write(wire.Builder(nil).Probe(q)); err != nil {
			return
		}
	}
}

// timeline returns that of the local PostgreSQL, a primary, of now or later than
// any backend was taken before the call; 0 if it cannot be asked.
func (p *Proxy) timeline(ctx context.Context) uint32 {
	s, err := p.watch.sample(ctx)
	if err != nil || s.standby {
		return 0
	}
	return s.served.Timeline
}
