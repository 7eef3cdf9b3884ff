package tunnel

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A Config is what an operator may say of tunnels. A zero field means its
// default.
type Config struct {
	Idle   time.Duration // without a byte either way, after which a tunnel ends; 0 means 10 min
	Linger time.Duration // that the ends have to close once one was told to; 0 means 2 s
	Max    int           // tunnels at once; 0 means 16,384
}

// Defaults returns the configuration with its defaults filled in.
func (c Config) Defaults() Config {
	for v, d := range map[*time.Duration]time.Duration{&c.Idle: 10 * time.Minute, &c.Linger: 2 * time.Second} {
		if *v == 0 {
			*v = d
		}
	}
	if c.Max == 0 {
		c.Max = 16384
	}
	return c
}

// An Ended says what passed through a tunnel, and why it ended.
type Ended struct {
	In, Out int64 // bytes from the viewer, and to it
	Why     string
	Broke   bool // the origin broke off, where it had not closed
}

// A relay is one tunnel at work. Toward each end there is one side.
type relay struct {
	cfg            Config
	viewer, origin side
	mu             sync.Mutex // guards what follows
	why            string
	broke          bool
	cut            context.CancelFunc
}

// A side is the direction toward one end.
type side struct {
	to     io.ReadWriteCloser
	mask   bool
	n      atomic.Int64 // bytes that passed
	seen   atomic.Bool  // some did since the last look
	ending atomic.Bool  // nothing more passes: a Close frame is the last, once it fits
	mu     sync.Mutex   // held while writing, and guards what follows
	frames Frames
}

// Run carries bytes between a viewer and an origin until either ends, both are
// idle for too long, or ctx is canceled, which is told to both by a Close frame
// that says 1001. It closes both, and returns when nothing that it started
// remains.
func Run(ctx context.Context, cfg Config, viewer, origin io.ReadWriteCloser) Ended {
	r := &relay{cfg: cfg.Defaults(), viewer: side{to: viewer}, origin: side{to: origin, mask: true}}
	over, cut := context.WithCancel(context.Background())
	r.cut = cut
	closeBoth := sync.OnceFunc(func() { viewer.Close(); origin.Close() })
	stopCut := context.AfterFunc(over, closeBoth)
	var work sync.WaitGroup
	work.Go(func() { r.watch(ctx, over) })
	work.Go(func() { r.carry(&r.origin, viewer, "the viewer", &r.viewer) })
	r.carry(&r.viewer, origin, "the origin", &r.origin)
	work.Wait()
	stopCut()
	closeBoth() // or wait for the one that is under way: what is closed is the caller's again
	return Ended{In: r.origin.n.Load(), Out: r.viewer.n.Load(), Why: r.because(""), Broke: r.broke}
}

// because returns why the tunnel ends; the first reason counts.
func (r *relay) because(why string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why == "" {
		r.why = why
	}
	return r.why
}

// breaks is because for an end that broke off; mute if it is the origin, and said
// nothing of it. What comes of the other's end is not the reason.
func (r *relay) breaks(why string, mute bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why == "" {
		r.why, r.broke = why, mute
	}
}

// watch ends the tunnel when it is idle or told to.
func (r *relay) watch(ctx, over context.Context) {
	tick := time.NewTicker(r.cfg.Idle)
	defer tick.Stop()
	for {
		select {
		case <-over.Done():
			return
		case <-ctx.Done():
			r.because("the edge goes away")
		case <-tick.C:
			if a, b := r.viewer.seen.Swap(false), r.origin.seen.Swap(false); a || b {
				continue
			}
			r.because("it was idle")
		}
		break
	}
	// A write may be stuck for as long as its end does not read.
	last := time.AfterFunc(r.cfg.Linger, r.cut)
	defer last.Stop()
	var told sync.WaitGroup
	told.Go(r.viewer.end)
	told.Go(r.origin.end)
	told.Wait()
	<-over.Done()
}

// carry moves what comes from one end to the side toward the other.
func (r *relay) carry(to *side, from io.Reader, name string, back *side) {
	buf := make([]byte, 8<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if to.closes(buf[:n]) {
				r.because(name + " closed it")
			}
			if werr := to.pass(buf[:n]); werr != nil {
				r.because("a write failed: " + werr.Error())
				break
			}
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			r.because(name + " ended it")
			if to == &r.origin && to.closes(nil) && !back.closes(nil) { // the origin's Close is to come
				time.AfterFunc(r.cfg.Linger, r.cut)
				return
			}
		} else {
			r.breaks(name+" broke off: "+err.Error(), to == &r.viewer && !to.closes(nil))
		}
		break
	}
	r.cut()
}

// pass writes to the end, unless it was told that nothing more comes.
func (s *side) pass(b []byte) error {
	defer s.settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Load() {
		return s.finish(b)
	}
	return s.write(b)
}

func (s *side) write(b []byte) error {
	n, err := s.to.Write(b)
	s.frames.Feed(b[:n])
	s.n.Add(int64(n))
	s.seen.Store(true)
	return err
}

// finish lets the rest of a frame pass that had begun.
func (s *side) finish(b []byte) error {
	rest := 0
	for at := s.frames; rest < len(b) && at.inside(); rest++ {
		at.Feed(b[rest : rest+1])
	}
	if rest == 0 {
		return nil
	}
	return s.write(b[:rest])
}

// end lets nothing more pass to the end but the rest of a frame, and a Close.
func (s *side) end() {
	s.ending.Store(true)
	s.settle()
}

// settle sends the Close frame of a side that is to end, if it fits. Who is
// writing meanwhile does it afterwards.
func (s *side) settle() {
	if !s.ending.Load() || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.frames.Between() {
		s.write(Close(GoingAway, s.mask)) // who does not take it is cut off
	}
}

// closes reports whether a Close frame passed to the end, or is in what comes
// next.
func (s *side) closes(next []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.frames
	at.Feed(next)
	return at.Closed()
}
