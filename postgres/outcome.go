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

// Outcomes is what the log of a PostgreSQL that was promoted says of the time
// before.
type Outcomes struct {
	Timeline uint32                  // that it is on
	Fork     meridian.LSN            // where that began; 0 if it was never promoted
	Forks    map[uint32]meridian.LSN // where each timeline of its history ended
	Since    meridian.LSN            // what committed before it was not looked for
	Handles  map[string]meridian.LSN // of the transactions that are part of its history: where they committed
}

// An outcome is the answer to a wire.Doubt, and why.
type outcome struct {
	Is  meridian.Outcome
	Why string
}

// decideOutcome says what became of what q names. Only a PostgreSQL that was
// promoted after the transaction was sent can tell that it is lost: on any other
// it may yet commit.
func decideOutcome(q wire.Doubt, o Outcomes, noHorizon bool) outcome {
	at, found := o.Handles[q.Handle]
	switch {
	case found && q.Handle != "":
		return outcome{meridian.Committed, fmt.Sprintf("it committed at %s", at)}
	case o.Fork == 0 || q.Region == q.Primary && o.Timeline <= q.Timeline:
		return outcome{meridian.Unknown, "the primary was not replaced since"}
	case o.Since <= q.Since || noHorizon:
		return outcome{meridian.Lost, fmt.Sprintf("it is not in the log up to %s, where timeline %d began", o.Fork, o.Timeline)}
	}
	return outcome{meridian.Unknown, fmt.Sprintf("the log before %s is gone", o.Since)}
}

// outcomes remembers what the local log says, since it does not change while
// the server stays on its timeline.
type outcomes struct {
	p  *Proxy
	mu sync.Mutex // held while the log is read; guards what follows

	known Outcomes
	tried meridian.LSN // from where it was last looked for
}

// of returns what became of what q names, as the local PostgreSQL's log tells.
func (x *outcomes) of(ctx context.Context, q wire.Doubt) (wire.Doubted, error) {
	s, err := x.p.watch.sample(ctx)
	if _, here := x.p.primary(); err == nil && (s.standby || !here) {
		err = errors.New("it is not the primary")
	}
	if why := x.p.watch.settled(); err == nil && why != "" {
		err = errors.New(why) // what is in its log may be lost yet
	}
	if err != nil {
		return wire.Doubted{}, fmt.Errorf("ask for an outcome at %s: %w", x.p.cfg.Region, err)
	}
	q.Primary = string(x.p.cfg.Region)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.known.Timeline != s.served.Timeline || q.Since < x.tried {
		if x.known, err = x.p.deps.Outcomes(ctx, q.Since); err != nil {
			x.known = Outcomes{}
			return wire.Doubted{}, fmt.Errorf("read the log of %s: %w", x.p.cfg.Region, err)
		}
		x.tried = q.Since
	}
	o := decideOutcome(q, x.known, x.p.noHorizon)
	return wire.Doubted{Outcome: string(o.Is), Why: o.Why, Timeline: s.served.Timeline, Fork: x.known.Fork}, nil
}

// outcome asks the primary of now what became of what q names.
func (p *Proxy) outcome(ctx context.Context, q wire.Doubt) (wire.Doubted, error) {
	region, here := p.primary()
	switch {
	case region == "":
		return wire.Doubted{}, errors.New("no region is primary")
	case here && p.deps.Outcomes == nil:
		return wire.Doubted{Outcome: string(meridian.Unknown), Why: "no log is read here"}, nil
	case here:
		return p.outcomes.of(ctx, q)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.PrimaryTimeout+searchTimeout)
	defer cancel()
	conn, err := p.deps.Remote(ctx, region)
	if err != nil {
		return wire.Doubted{}, fmt.Errorf("ask %s for an outcome: %w", region, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	defer stop()
	a, err := askOutcome(conn, wire.Hello{Version: wire.PeerVersion, Purpose: wire.PurposeDoubt, From: string(p.cfg.Region), Term: p.term()}, q)
	if err != nil {
		return a, fmt.Errorf("ask %s for an outcome: %w", region, err)
	}
	return a, nil
}

// searchTimeout bounds how long the primary reads its log for one answer.
const searchTimeout = 5 * time.Second

func askOutcome(conn net.Conn, h wire.Hello, q wire.Doubt) (a wire.Doubted, err error) {
	if _, err := conn.Write(wire.Builder(nil).JSON(wire.FrameHello, h).JSON(wire.FrameDoubt, q)); err != nil {
		return a, err
	}
	f, err := wire.NewReader(conn).Frame()
	if err != nil {
		return a, err
	}
	switch f.Type() {
	case wire.FrameDoubt:
		return a, wire.ParseJSON(f.Body(), &a)
	case wire.FrameRefuse:
		var r wire.Refusal
		if err := wire.ParseJSON(f.Body(), &r); err != nil {
			return a, err
		}
		return a, errors.New(r.Message)
	}
	return a, fmt.Errorf("frame %#x: %w", f.Type(), wire.ErrProtocol)
}

// answerDoubt tells another region's proxy what became of a transaction.
func (p *Proxy) answerDoubt(ctx context.Context, conn net.Conn, rd *wire.Reader) {
	f, err := rd.Frame()
	var q wire.Doubt
	if err != nil || f.Type() != wire.FrameDoubt || wire.ParseJSON(f.Body(), &q) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	a, err := p.outcome(ctx, q)
	if err != nil {
		conn.Write(wire.Builder(nil).JSON(wire.FrameRefuse, wire.Refusal{Code: stateNotSent, Away: true, Message: err.Error()}))
		return
	}
	conn.Write(wire.Builder(nil).JSON(wire.FrameDoubt, a))
}
