package health

import (
	"context"
	"errors"
	"net"
	"time"

	"meridian/internal/boottime"
)

// watch probes one node until ctx is canceled.
func (p *Prober) watch(ctx context.Context, node string) {
	tick := time.NewTicker(p.cfg.interval())
	defer tick.Stop()
	for ctx.Err() == nil {
		err := p.probe(ctx, node, tick)
		if err == nil {
			continue // a stream that worked and broke: only a new one tells a death from a hiccup
		}
		if ctx.Err() == nil {
			p.metrics.ping("refused")
			p.see(node, func(s Sight) Sight { return s.Failed(time.Now(), err.Error()) })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// probe pings a node on one stream until that breaks. It returns an error if
// the node never answered on it.
func (p *Prober) probe(ctx context.Context, node string, tick *time.Ticker) error {
	octx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	c, err := p.deps.Open(octx, node)
	if err != nil {
		return err
	}
	b := &probe{prober: p, node: node, conn: c, listening: time.Now()}
	if b.run(ctx, tick); !b.ever {
		return errors.New("the stream broke before it answered")
	}
	return nil
}

// A probe is a stream on which one node is pinged.
type probe struct {
	prober *Prober
	node   string
	conn   net.Conn
	seq    uint64
	sent   []ping // not answered yet, oldest first
	ever   bool   // it was answered

	// listening is since when this node has listened without a break. A node
	// that slept (stopped, or starved of CPU) has not heard silence.
	listening time.Time
}

// maxSent is how many unanswered pings make a stream useless, whatever the
// backbone thinks of it.
const maxSent = 100

type ping struct {
	seq  uint64
	at   time.Time
	boot time.Duration // the same by CLOCK_BOOTTIME
}

// An arrival is an answer, and when it was read.
type arrival struct {
	frame
	at time.Time
}

// run pings until the stream breaks or ctx is canceled.
func (b *probe) run(ctx context.Context, tick *time.Ticker) {
	ctx, cancel := context.WithCancel(ctx)
	answers, ended := make(chan arrival), make(chan struct{})
	go b.listen(ctx, answers, ended)
	defer func() {
		cancel()
		b.conn.Close()
		<-ended
	}()
	silence := time.NewTimer(time.Hour)
	defer silence.Stop()
	for ok := b.ping(); ok; {
		silence.Stop()
		if left := b.patience(); left > 0 {
			silence.Reset(left)
		}
		start := time.Now()
		select {
		case a := <-answers:
			b.answered(a)
		case <-tick.C:
			ok = b.ping()
		case <-silence.C:
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
		if time.Since(start) > 2*b.prober.cfg.interval() {
			b.listening = time.Now() // it slept: the tick came late
		}
		b.judgeSilence()
	}
}

// ping sends a ping and reports whether it could.
func (b *probe) ping() bool {
	now := time.Now()
	b.seq++
	b.sent = append(b.sent, ping{b.seq, now, boottime.Now()})
	b.conn.SetWriteDeadline(now.Add(b.prober.cfg.interval()))
	return len(b.sent) <= maxSent && writeFrame(b.conn, frame{Seq: b.seq}) == nil
}

// listen reads answers until the stream breaks or ctx is canceled.
func (b *probe) listen(ctx context.Context, answers chan<- arrival, ended chan<- struct{}) {
	defer close(ended)
	for {
		f, err := readFrame(b.conn)
		if err != nil {
			return
		}
		select {
		case answers <- arrival{f, time.Now()}:
		case <-ctx.Done():
			return
		}
	}
}

// waited is how long the oldest unanswered ping has not been answered while
// this node listened.
func (b *probe) waited() time.Duration {
	if len(b.sent) == 0 {
		return 0
	}
	return min(time.Since(b.sent[0].at), time.Since(b.listening))
}

// patience is how long until that is a death; 0 or less if it is one, or
// nothing is waited for.
func (b *probe) patience() time.Duration {
	if len(b.sent) == 0 {
		return 0
	}
	return b.prober.sightOf(b.node).patience(b.prober.cfg.interval()) - b.waited()
}

func (b *probe) judgeSilence() {
	if len(b.sent) > 0 {
		b.prober.see(b.node, func(s Sight) Sight { return s.Silent(time.Now(), b.waited(), b.prober.cfg.interval()) })
	}
}

// answered takes an answer.
func (b *probe) answered(a arrival) {
	for len(b.sent) > 0 && b.sent[0].seq < a.Seq {
		b.sent = b.sent[1:]
	}
	if len(b.sent) == 0 || b.sent[0].seq != a.Seq {
		return // an answer to nothing that was asked
	}
	rtt, asked := a.at.Sub(b.sent[0].at), b.sent[0].boot
	b.sent = b.sent[1:]
	b.ever = true
	b.prober.heard(b.node, a, rtt, asked)
}

// heard takes what a node answered.
func (p *Prober) heard(node string, a arrival, rtt, asked time.Duration) {
	p.metrics.ping("answered")
	report, err := decodeReport(a.Report, node, a.at)
	if err != nil {
		p.metrics.rejected.Inc()
		p.log.Warn("dropped a report", "peer", node, "err", err)
	}
	p.mu.Lock()
	q := p.peers[node]
	if q == nil { // nobody's peer any more
		p.mu.Unlock()
		return
	}
	q.rtt.Add(rtt, a.at)
	p50 := q.rtt.P50()
	if err == nil {
		q.report = Heard{report, a.at, asked}
	}
	p.mu.Unlock()
	if p.deps.Observe != nil {
		p.deps.Observe(node, rtt)
	}
	p.see(node, func(s Sight) Sight { return s.Answered(a.at, p50) })
}
