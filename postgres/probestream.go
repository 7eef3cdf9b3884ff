package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"meridian"
	"meridian/postgres/wire"
)

// maxProbes is how many probes are on their way at once. Reads that want one
// while all are out share the next.
const maxProbes = 4

// A probing is one probe on its way.
type probing struct {
	seq   uint64
	at    time.Time     // when it was sent, by Deps.Now
	sent  time.Time     // the same by the clock that time-outs go by
	reads []chan answer // the reads that wait for it
}

// A refusedProbe is the answer of a region that does not act as the primary.
type refusedProbe struct{ error }

// A probeStream is one stream of probes to the primary's proxy.
type probeStream struct {
	b       *probe
	conn    net.Conn
	region  meridian.Region
	hello   []byte // goes out with the first probe
	seq     uint64
	out     []*probing // the oldest first
	last    time.Time  // when the newest was sent that a read waited for
	rtt     time.Duration
	answers chan wire.Probe
	ended   chan error
}

// session probes one region until it is silent or no longer the primary.
func (b *probe) session(ctx context.Context, region meridian.Region) error {
	open, cancel := context.WithTimeout(ctx, b.p.cfg.PrimaryTimeout)
	conn, err := b.p.deps.Remote(open, region)
	cancel()
	if err != nil {
		return err
	}
	ctx, cancel = context.WithCancel(ctx)
	h := wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeProbe, From: string(b.p.cfg.Region), Defined: true}
	s := &probeStream{b: b, region: region, conn: conn, hello: wire.Builder(nil).JSON(wire.FrameHello, h), answers: make(chan wire.Probe), ended: make(chan error, 1)}
	go func() { s.ended <- s.read(ctx) }()
	err = s.run(ctx, region)
	cancel()
	conn.Close()
	<-s.ended
	for _, p := range s.out {
		tell(p.reads, nil)
	}
	return err
}

// run sends probes at a steady pace, and for reads that want one.
func (s *probeStream) run(ctx context.Context, region meridian.Region) error {
	tick, due := time.NewTimer(probeEvery), time.NewTimer(0)
	defer tick.Stop()
	defer due.Stop()
	s.b.want(nil) // the first takes the hello with it
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.ended:
			s.ended <- err
			return err
		case r := <-s.answers:
			if err := s.answered(ctx, region, r); err != nil {
				return err
			}
		case <-tick.C:
			if now, _ := s.b.p.primary(); now != region {
				return nil
			}
			s.b.want(nil)
			tick.Reset(s.b.pace(s.rtt))
		case <-s.b.wake:
		case <-due.C:
		}
		next, err := s.step()
		if err != nil {
			return err
		}
		due.Reset(next)
	}
}

// step sends a probe if one is wanted and may go, and returns when to look
// again at the latest. It fails if the oldest probe is out for too long.
func (s *probeStream) step() (time.Duration, error) {
	now := time.Now()
	silent := s.b.p.cfg.PrimaryTimeout
	if len(s.out) > 0 && now.Sub(s.out[0].sent) >= silent {
		return 0, fmt.Errorf("silent for %v", silent)
	}
	next := silent
	if len(s.out) > 0 {
		next = silent - now.Sub(s.out[0].sent)
	}
	if len(s.out) >= maxProbes || !s.b.wanted() {
		return next, nil
	}
	// Evenly spaced, so that a read that just missed one waits for a fraction
	// of a round trip and not for a whole one.
	if gap := s.rtt/maxProbes - now.Sub(s.last); gap > 0 && len(s.out) > 0 {
		return min(next, gap), nil
	}
	return next, s.send(now)
}

func (s *probeStream) send(now time.Time) error {
	s.seq++
	p := &probing{seq: s.seq, sent: now, at: s.b.p.deps.Now(), reads: s.b.take()}
	s.out = append(s.out, p)
	if len(p.reads) > 0 {
		s.last = now
	}
	s.conn.SetWriteDeadline(now.Add(s.b.p.cfg.PrimaryTimeout))
	_, err := s.conn.Write(wire.Builder(s.hello).Probe(wire.Probe{Seq: p.seq}))
	s.hello = nil
	s.b.p.metrics.probes.Inc()
	return err
}

// answered takes the answer to the oldest probe.
func (s *probeStream) answered(ctx context.Context, region meridian.Region, r wire.Probe) error {
	if len(s.out) == 0 || s.out[0].seq != r.Seq {
		return fmt.Errorf("an answer to probe %d, which is not the oldest: %w", r.Seq, wire.ErrProtocol)
	}
	p := s.out[0]
	s.out, s.rtt = s.out[1:], time.Since(p.sent)
	if r.Seq == 1 { // what was defined before it nobody told us of
		s.b.p.catalogue.heard()
	}
	s.b.set(region, nil)
	s.b.returned(region, p.sent)
	a := answer{p.at, s.b.p.token(r.Position)}
	tell(p.reads, &a)
	s.b.answered(ctx, a, len(p.reads) == 0)
	return nil
}

// tell gives reads their answer; nil is none.
func tell(reads []chan answer, a *answer) {
	for _, c := range reads {
		if a != nil {
			c <- *a
		}
		close(c)
	}
}

// read brings answers until the stream ends.
func (s *probeStream) read(ctx context.Context) error {
	rd := wire.NewReader(s.conn)
	for {
		f, err := rd.Frame()
		if err != nil {
			return err
		}
		if f.Type() == wire.FrameRefuse {
			var r wire.Refusal
			if err := wire.ParseJSON(f.Body(), &r); err != nil {
				return err
			}
			if r.Returns {
				s.b.awaitReturn(s.region)
			}
			return &refusedProbe{errors.New(r.Message)}
		}
		if f.Type() == wire.FrameDefined {
			s.b.p.catalogue.heard()
			continue
		}
		r, err := wire.ParseProbe(f.Body())
		if err != nil {
			return err
		}
		select {
		case s.answers <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
