package pace

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var rule = Rule{Rate: 500, Grace: 20 * time.Second}

func TestDebt(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		debt   Debt
		waited time.Duration
		bytes  int64
		want   Debt
		slow   bool
	}{
		{"nothing comes", 0, 20 * s, 0, Debt(20 * s), false},
		{"nothing comes for longer", Debt(20 * s), 1, 0, Debt(20*s) + 1, true},
		{"as slow as may be", Debt(3 * s), 10 * s, 5000, Debt(3 * s), false},
		{"half as fast", 0, 10 * s, 2500, Debt(5 * s), false},
		{"fast again", Debt(19 * s), s, 1 << 20, 0, false},
		{"nobody saves up", 0, 0, 1 << 40, 0, false},
	} {
		got := rule.After(tt.debt, tt.waited, tt.bytes)
		if got != tt.want || rule.Slow(got) != tt.slow {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, time.Duration(got), rule.Slow(got), time.Duration(tt.want), tt.slow)
		}
	}
	if off := (Rule{Grace: time.Second}); off.Slow(off.After(0, time.Hour, 0)) {
		t.Error("without a rate somebody is too slow")
	}
}

// watching runs a watch in a bubble.
func watching(t *testing.T, r Rule, f func(*Watch)) {
	synctest.Test(t, func(t *testing.T) {
		w := New(r, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		f(w)
		cancel()
		<-done
		if len(w.waits) > 0 {
			t.Errorf("%d are still looked at", len(w.waits))
		}
	})
}

// drip waits for a body of which so many bytes come every so often, and returns
// when it was cut off.
func drip(w *Watch, bytes int, every, most time.Duration) (after time.Duration) {
	c := w.Over(nil, func() {})
	begin := time.Now()
	var b Wait
	defer b.Close()
	b.Body(c, func() { after = time.Since(begin) })
	for time.Since(begin) < most && !b.TooSlow() {
		b.Begin()
		time.Sleep(every)
		c.Read(bytes)
		b.End()
	}
	return after
}

func TestBodyThatDripsIsCutAndASlowOneIsNot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int
		every time.Duration
		want  time.Duration // 0: never
	}{
		{"nothing", 0, time.Hour, 21 * time.Second},
		{"a byte a second", 1, time.Second, 21 * time.Second},
		{"many drops", 10, 100 * time.Millisecond, 25 * time.Second}, // 100 bytes a second pay a fifth
		{"as slow as may be", 500, time.Second, 0},
		{"silent for a while, then fast", 1 << 20, 19 * time.Second, 0},
	} {
		watching(t, rule, func(w *Watch) {
			if got := drip(w, tt.bytes, tt.every, 10*time.Minute).Round(time.Second); got < tt.want || got > tt.want+2*time.Second {
				t.Errorf("%s: cut after %v, want %v", tt.name, got, tt.want)
			}
		})
	}
	watching(t, Rule{}, func(w *Watch) { // the negative control
		if got := drip(w, 0, time.Hour, 2*time.Hour); got != 0 {
			t.Errorf("without a rule: cut after %v", got)
		}
	})
}

func TestQuietStreamOwesNothing(t *testing.T) {
	watching(t, rule, func(w *Watch) {
		c := w.Over(nil, func() { t.Error("the connection was cut") })
		var r Wait
		r.Response(c, func() { t.Error("the stream was cut") })
		for range 100 { // an event every minute
			time.Sleep(time.Minute)
			r.Begin()
			c.BeginWrite()
			c.EndWrite(10)
			r.End()
		}
		r.Close()
		c.Close()
	})
}

// A network is a client's connection to which the system holds bytes.
type network struct{ queue atomic.Int64 }

func (n *network) queued() (int, bool) { return int(n.queue.Load()), true }

// holding returns a network that holds so many bytes.
func holding(queue int64) *network {
	n := &network{}
	n.queue.Store(queue)
	return n
}

func TestReaderThatTakesNothingIsCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		take int64 // bytes a second
		want bool
	}{{"nothing", 0, true}, {"a tenth of the least", 50, true}, {"twice the least", 1000, false}} {
		watching(t, rule, func(w *Watch) {
			n := holding(1 << 20)
			cut := false
			c := w.Over(n.queued, func() { cut = true })
			c.BeginWrite() // which the system has no room for
			for range 300 {
				time.Sleep(time.Second)
				n.queue.Add(-tt.take)
			}
			c.EndWrite(1 << 14)
			c.Close()
			synctest.Wait()
			if cut != tt.want {
				t.Errorf("%s: cut %v", tt.name, cut)
			}
		})
	}
}

// A response waits for room that its client gives once it has what is on its way.
func TestStreamOfASlowNetworkIsTheConnectionsAffair(t *testing.T) {
	for _, take := range []int64{1000, 0} {
		watching(t, rule, func(w *Watch) {
			n := holding(1 << 20)
			cut, stream := false, false
			c := w.Over(n.queued, func() { cut = true })
			c.BeginWrite()
			c.EndWrite(1 << 20)
			var r Wait
			r.Response(c, func() { stream = true })
			r.Begin()
			for range 300 {
				time.Sleep(time.Second)
				n.queue.Add(-take)
			}
			r.Close()
			c.Close()
			synctest.Wait()
			if cut != (take == 0) || stream && take > 0 {
				t.Errorf("taking %d bytes a second: the connection was cut %v, its stream %v", take, cut, stream)
			}
		})
	}
}

func TestStreamsShareWhatPasses(t *testing.T) {
	for _, tt := range []struct {
		streams, bytes, cut int
	}{{10, 5000, 0}, {10, 2000, 10}} {
		watching(t, rule, func(w *Watch) {
			c := w.Over(nil, func() {})
			cut := 0
			waits := make([]Wait, tt.streams)
			for i := range waits {
				waits[i].Response(c, func() { cut++ })
				waits[i].Begin()
			}
			for range 100 {
				time.Sleep(time.Second)
				c.BeginWrite()
				c.EndWrite(tt.bytes)
			}
			for i := range waits {
				waits[i].Close()
			}
			c.Close()
			if cut < tt.cut/2 || cut > tt.cut {
				t.Errorf("%d streams that share %d bytes a second: %d were cut, want %d", tt.streams, tt.bytes, cut, tt.cut)
			}
		})
	}
}
