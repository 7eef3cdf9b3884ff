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

// decideOutcome says what became of what q names. Only a PostgreSQL whose
// timeline began after that of the server to which the transaction was sent can
// tell that it is lost: on any other it may have committed since, or may yet. A
// server says itself on which timeline it is; what the asker knows of the primary
// may be older.
func decideOutcome(q wire.Doubt, o Outcomes, off controls) outcome {
	at, found := o.Handles[q.Handle]
	sent := q.Timeline
	if off.ownTimeline {
		sent = q.SinceOn
	}
	switch {
	case found && q.Handle != "":
		return outcome{meridian.Committed, fmt.Sprintf("it committed at %s", at)}
	case sent == 0:
		return outcome{meridian.Unknown, "the server to which it was sent had not said which it is"}
	case o.Fork == 0 || o.Timeline <= sent:
		return outcome{meridian.Unknown, "the primary was not replaced since"}
	case o.Since <= o.since(q) || off.noHorizon:
		return outcome{meridian.Lost, fmt.Sprintf("it is not in the log up to %s, where timeline %d began", o.Fork, o.Timeline)}
	}
	return outcome{meridian.Unknown, fmt.Sprintf("the log before %s is gone", o.Since)}
}

// since returns from where the log must be searched for what q names: the asker
// may have been ahead of where the timeline on which it was then ended.
func (o Outcomes) since(q wire.Doubt) meridian.LSN {
	end, ended := o.Forks[q.SinceOn]
	switch {
	case ended:
		return min(q.Since, end)
	case q.SinceOn == o.Timeline:
		return q.Since
	}
	return 0
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
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.known.Timeline != s.served.Timeline {
		if err := x.read(ctx, q.Since); err != nil {
			return wire.Doubted{}, err
		}
	}
	if from := x.known.since(q); from < x.tried {
		if err := x.read(ctx, from); err != nil {
			return wire.Doubted{}, err
		}
	}
	// What another region has taken over meanwhile this log does not tell.
	if !x.p.leased() && !x.p.gate.relayLate {
		return wire.Doubted{}, fmt.Errorf("ask for an outcome at %s: its right to act as the primary is not confirmed", x.p.cfg.Region)
	}
	o := decideOutcome(q, x.known, x.p.controls)
	return wire.Doubted{Outcome: string(o.Is), Why: o.Why, Timeline: s.served.Timeline, Fork: x.known.Fork}, nil
}

// read reads the log from a position. The caller holds mu.
func (x *outcomes) read(ctx context.Context, since meridian.LSN) error {
	o, err := x.p.deps.Outcomes(ctx, since)
	if err != nil {
		x.known = Outcomes{}
		return fmt.Errorf("read the log of %s: %w", x.p.cfg.Region, err)
	}
	x.known, x.tried = o, since
	return nil
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
