package edge

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meridian/edge/origin"
	"meridian/internal/delay"
)

// blackHole cuts the nearest region off at a second of a load of 2,000 requests
// a second, in silence, and returns what became of all requests, and how many
// writes were executed twice.
func blackHole(t *testing.T, opts ...func(*Config, *Deps)) (all []sample, twice int) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions(), opts...)
		defer l.end()
		defer time.AfterFunc(time.Second, func() { l.lines["eu-central-1"].Set(delay.Fault{Cut: true}) }).Stop()
		all = l.load(2000, 8000)
		l.mu.Lock()
		defer l.mu.Unlock()
		for name, n := range l.ledger {
			if n > 1 && strings.HasSuffix(name, "9") { // of the writes: see load
				twice++
			}
		}
	})
	return all, twice
}

// A region that falls silent under 2,000 requests a second costs at most ten
// requests that are slow or fail, reads and writes together, and a second later
// nobody notices. Without the ears, thousands wait until their connections are
// given up.
func TestBlackHoledRegionIsLeftWithinASecond(t *testing.T) {
	all, twice := blackHole(t)
	tardy, failed := slow(all)
	t.Logf("of %d requests %d took longer than a second, %d failed", len(all), tardy, failed)
	if tardy > 0 || failed > 10 || twice > 0 {
		t.Errorf("%d requests were slow, %d failed, %d were executed twice; want none slow, at most 10 failed, none twice", tardy, failed, twice)
	}
	if n := slowReads(all); n > 10 {
		t.Errorf("%d slow reads, want at most 10", n)
	}
	late := after(all, 2*time.Second, 4*time.Second)
	if p99 := late[len(late)*99/100]; p99 > 80*time.Millisecond {
		t.Errorf("a second later the 99th percentile is %v, want that of the next region", p99)
	}
	first := after(all, time.Second, 2*time.Second)
	t.Logf("%d reads delayed", delayed(all))
	t.Logf("reads of the first second: p50 %v, p90 %v, longest %v", first[len(first)/2], first[len(first)*9/10], first[len(first)-1])
	if n := delayed(all); n > 250 {
		t.Errorf("%d reads were delayed at all, want at most 250: those that were under way, and those of about 60 ms", n)
	}
	all, _ = blackHole(t, func(c *Config, _ *Deps) { c.Upstream.Blind = true })
	t.Logf("blind, %d reads delayed", delayed(all))
	if n := delayed(all); n < 500 {
		t.Errorf("blind, %d reads were delayed: the test shows nothing", n)
	}

	all, _ = blackHole(t, func(c *Config, _ *Deps) { c.Upstream.Silence = time.Hour })
	if n := slowReads(all); n <= 10 {
		t.Errorf("without ears %d reads were slow: the test shows nothing", n)
	}
}

// A region that stands still for a moment and goes on answers the writes that
// wait for it, also after its silence was a proof: none is answered 502.
func TestAWriteOutwaitsALull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		line := l.lines["eu-central-1"]
		line.Set(delay.Fault{Cut: true})
		defer time.AfterFunc(600*time.Millisecond, func() { line.Set(delay.Fault{}) }).Stop()
		if s := l.one("POST", "/items?n=w", time.Now()); s.status != 200 || s.from != "eu-central-1" {
			t.Errorf("answered %d by %q after %v, want 200 by the region that has it", s.status, s.from, s.took)
		}
	})
}

// Where there is one region a write waits for it as long as its connection does:
// nothing is gained by going.
func TestAWriteWaitsForTheOnlyRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions()[:1])
		defer l.end()
		line := l.lines["us-east-1"]
		line.Set(delay.Fault{Cut: true})
		defer time.AfterFunc(1500*time.Millisecond, func() { line.Set(delay.Fault{}) }).Stop()
		if s := l.one("POST", "/items?n=w", time.Now()); s.status != 200 {
			t.Errorf("answered %d after %v, want 200", s.status, s.took)
		}
	})
}

// A region at the other end of the world that is silent is found out in half a
// second as well, and one that is merely far and idle is not taken for silent.
func TestAFarRegionsSilenceIsNoticedInHalfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, []*region{plain("us-east-1", 300*time.Millisecond), plain("eu-central-1", 20*time.Millisecond)})
		defer l.end()
		for range 600 {
			time.Sleep(50 * time.Millisecond)
			if s, why := l.origin.State("us-east-1"); s != origin.Ready {
				t.Fatalf("idle for a while it is %v: %s", s, why)
			}
		}
		l.lines["us-east-1"].Set(delay.Fault{Cut: true})
		time.Sleep(525 * time.Millisecond) // and a listening more
		if s, _ := l.origin.State("us-east-1"); s != origin.Broken {
			t.Errorf("half a second after it fell silent it is %v, want broken", s)
		}
	})
}

// A write that may have been executed is not moved, whatever the silence.
func TestSilenceExecutesNoWriteTwice(t *testing.T) {
	var all atomic.Int32
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		line := l.lines["eu-central-1"]
		done := make(chan sample)
		line.Set(delay.Fault{Deaf: true}) // requests arrive, answers do not
		go func() { done <- l.one("POST", "/items?n=w", time.Now()) }()
		if s := <-done; s.status != http.StatusBadGateway || s.took > time.Second {
			t.Errorf("answered %d by %q after %v, want 502 within a second", s.status, s.from, s.took)
		}
		all.Add(int32(l.ledger["w"]))
		if s := l.one("POST", "/items?n=v", time.Now()); s.from != "us-east-1" {
			t.Errorf("the next write was answered %d by %q, want us-east-1", s.status, s.from)
		}
	})
	if all.Load() != 1 {
		t.Errorf("the write was executed %d times, want once", all.Load())
	}
}

// A region that returns gets a growing share, and all in the end.
func TestRegionThatReturnsIsLetInSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, farRegions())
		defer l.end()
		line := l.lines["eu-central-1"]
		line.Set(delay.Fault{Cut: true})
		time.Sleep(10 * time.Second)
		if s, why := l.origin.State("eu-central-1"); s != origin.Broken {
			t.Fatalf("state %v (%s) of a region that is silent, want broken", s, why)
		}
		line.Set(delay.Fault{})
		all := l.load(200, 200*12)
		share := func(second int) (n int) {
			for _, s := range all[second*200 : (second+1)*200] {
				if s.from == "eu-central-1" {
					n++
				}
			}
			return n * 100 / 200
		}
		shares := make([]int, 12)
		for i := range shares {
			shares[i] = share(i)
		}
		if !slices.IsSorted(shares) || shares[11] != 100 || !slices.ContainsFunc(shares, func(n int) bool { return n > 5 && n < 60 }) {
			t.Errorf("percent of requests by second after the return: %v; want a growing share that ends at 100", shares)
		}
	})
}

// Once the circuits are open what is stored is served at once, and nobody waits
// for a region that is not there. Without ears somebody does.
func TestStaleIsServedAtOnceWhenEveryCircuitIsOpen(t *testing.T) {
	if longest := staleWait(t); longest > 2*time.Millisecond {
		t.Errorf("what is stored came after %v, want at once", longest)
	}
	if longest := staleWait(t, func(c *Config, _ *Deps) { c.Upstream.Silence = time.Hour }); longest < 100*time.Millisecond {
		t.Errorf("without ears what is stored came after %v: the test shows nothing", longest)
	}
}

// staleWait cuts every region off, and returns the longest that a request
// waited for a stored response after that.
func staleWait(t *testing.T, opts ...func(*Config, *Deps)) (longest time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		gs := farRegions()
		for _, g := range gs {
			g.serve = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=1, stale-if-error=3600")
				io.WriteString(w, "stored")
			}
		}
		l := newLab(t, gs, opts...)
		defer l.end()
		l.one("GET", "/stored", time.Now())
		for _, g := range gs {
			l.lines[g.name].Set(delay.Fault{Cut: true})
		}
		time.Sleep(1500 * time.Millisecond) // stale by now, and every circuit open
		for range 10 {
			s := l.one("GET", "/stored", time.Now())
			if s.status != 200 || s.from != "stored" {
				t.Errorf("answered %d %q, want what is stored", s.status, s.from)
			}
			longest = max(longest, s.took)
			time.Sleep(700 * time.Millisecond)
		}
	})
	return longest
}

// What waited while every region was away says nothing of how late they answer: once
// they are all back, and let in, the nearest has all requests again.
func TestRegionsThatReturnAreNotBehindForWhatWaited(t *testing.T) {
	for _, away := range []time.Duration{700 * time.Millisecond, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, farRegions())
			defer l.end()
			all := func(f delay.Fault) {
				for _, line := range l.lines {
					line.Set(f)
				}
			}
			defer time.AfterFunc(time.Second, func() { all(delay.Fault{Cut: true}) }).Stop()
			defer time.AfterFunc(time.Second+away, func() { all(delay.Fault{}) }).Stop()
			seconds := int(away.Seconds()) + 6 // 5 of them to be let in
			load, there := l.load(200, 200*(seconds+1)), 0
			for _, s := range load[200*seconds:] {
				if s.from == "eu-central-1" && s.took < 100*time.Millisecond {
					there++
				}
			}
			if there < 200 {
				t.Errorf("away for %v: %d of 200 requests go to the nearest region in the second from %d s on", away, there, seconds)
			}
		})
	}
}
