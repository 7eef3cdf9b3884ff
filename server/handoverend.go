package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// announced is how long others have to hear that this node stops, and send their
// requests elsewhere.
const announced = time.Second

// Release implements handover.Holder. A node that is one process's alone stops all
// its parts, but for PostgreSQL; its sockets stay open, and who connects waits.
func (h *handing) Release(ctx context.Context) (err error) {
	if h.overlaps() {
		return nil
	}
	h.mu.Lock()
	h.restore, h.drop, err = h.sockets.Keep()
	h.releasing = err == nil
	h.mu.Unlock()
	if err != nil {
		return err
	}
	_, why := overlaps(h.n.self, h.n.file)
	h.n.log.Info("this process stops for the next one; postgres goes on, and who connects waits", "why", why)
	h.n.fact(factReturns, "1")
	h.n.fact(factReady, "")
	if h.door != nil {
		h.door.Announce()
	}
	select {
	case <-time.After(announced):
	case <-ctx.Done():
	}
	if h.n.leavePG != nil {
		h.n.leavePG()
	}
	h.n.end(nil)
	return <-h.released
}

// stopsForNext reports whether all parts stop for the next process to start.
func (h *handing) stopsForNext() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.releasing
}

// Resume implements handover.Holder.
func (h *handing) Resume(why error, released bool) {
	h.n.log.Error("the next process did not take this one's place, which goes on", "why", why.Error())
	h.mu.Lock()
	stopped := h.releasing
	h.mu.Unlock()
	if released && stopped {
		h.outcome <- why
	}
	h.tell(why)
}

// Yield implements handover.Holder.
func (h *handing) Yield(pid int) {
	h.mu.Lock()
	h.gone = true
	stopped := h.releasing
	h.mu.Unlock()
	h.n.log.Info("the next process has taken this one's place", "pid", pid)
	if err := writeHolder(h.n.cfg.State, pid); err != nil { // before this one ends, or says that it is done
		h.n.log.Error("which process has the node's place was not written down", "why", err.Error())
	}
	daemon.SdNotify(false, fmt.Sprintf("MAINPID=%d", pid)) // nobody may be there to hear
	if h.n.cfg.Yielded != nil {
		h.n.cfg.Yielded(pid)
	}
	defer h.tell(nil)
	if stopped {
		h.outcome <- nil
		return
	}
	h.n.backbone.Yield() // a purge is for the cache of the next one
	if h.door != nil {
		h.door.HandOver(h.longest())
	}
	h.n.end(nil)
}

// withdraw tells the others that this node stops, if nobody takes its place, and
// goes on for as long as clients may still be sent here.
func (h *handing) withdraw() {
	h.mu.Lock()
	taken := h.gone || h.releasing
	h.mu.Unlock()
	if taken {
		return
	}
	daemon.SdNotify(false, stopping(h.n.file.Limits.Drain))
	h.n.fact(factReady, "")
	others := 0
	for _, e := range h.n.atlas.Now().Edges {
		if e.Healthy && e.Node != h.n.self.Name {
			others++
		}
	}
	if h.door == nil || h.n.leash != nil { // an up world ends as a whole
		return
	}
	d, why := farewell(h.n.file.DNS.TTL, others)
	h.n.log.Info("the edge stops", "after", d, "why", why)
	h.door.Announce()
	time.Sleep(d)
}

// longestFarewell bounds how long an edge that stops goes on.
const longestFarewell = 6 * time.Second

// farewell says how long an edge that stops goes on: until the name servers have
// heard it, and what they said before is forgotten.
func farewell(ttl time.Duration, others int) (time.Duration, string) {
	if others == 0 {
		return 0, "there is no other edge to go to"
	}
	return min(ttl+announced, longestFarewell), fmt.Sprintf("clients go to %d others once the name servers' last answers are forgotten", others)
}

// errResumed says that the next process did not take this one's place after all
// parts had stopped: they are to be started again.
var errResumed = errors.New("the node goes on in the process that it had")

// stopped is told what came of all parts, and returns what the process ends with.
func (h *handing) stopped(ctx context.Context, stop context.CancelFunc, err error) error {
	h.mu.Lock()
	releasing := h.releasing
	h.mu.Unlock()
	defer h.offer.Wait()
	defer stop()
	if !releasing {
		return err
	}
	h.released <- err
	select {
	case why := <-h.outcome:
		if why != nil {
			h.restore()
			return errResumed
		}
		h.drop()
	case <-ctx.Done():
		h.drop()
	}
	return err
}

// handoverDrain bounds how long what was begun goes on in a process whose place
// is taken.
const handoverDrain = 30 * time.Second

// hurry ends what goes on after the next process took this one's place: somebody
// asked for this one's end.
func (h *handing) hurry() {
	if h.handedOver() && h.door != nil {
		h.door.Hurry()
	}
}

// longest returns that bound: the file's drain, if that is longer.
func (h *handing) longest() time.Duration { return max(handoverDrain, h.n.file.Limits.Drain) }

// grace returns how long each part may take to stop.
func (h *handing) grace() time.Duration {
	usual := max(usualGrace, h.n.file.Limits.Drain+time.Second)
	if h.handedOver() {
		return usual + h.longest()
	}
	return usual
}

// usualGrace is longer than any part takes that drains for its default time.
const usualGrace = 9 * time.Second

// stopping is what systemd hears when a node begins to stop: with a drain of its
// own, for how long it need not lose its patience. The edge and the gateway of a
// node drain one after the other.
func stopping(drain time.Duration) string {
	if drain == 0 {
		return daemon.SdNotifyStopping
	}
	return fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, (longestFarewell + 2*drain + 2*usualGrace).Microseconds())
}
