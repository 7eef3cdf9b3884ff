package placement_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"meridian/gateway/placement"
)

// A trace is what came to a gateway outside of the primary's region.
type trace struct {
	rtt      time.Duration
	requests []request
}

// A request is one of a trace, with the trips that it takes at home.
type request struct {
	route, method string
	trips         int
}

// readTrace reads a file of testdata/trace.
func readTrace(t *testing.T, path string) (tr trace) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case fields[0] == "rtt":
			if tr.rtt, err = time.ParseDuration(fields[1]); err != nil {
				t.Fatal(err)
			}
		default:
			r := request{route: strings.Join(fields[:len(fields)-1], " "), method: fields[0]}
			if _, err := fmt.Sscan(fields[len(fields)-1], &r.trips); err != nil {
				t.Fatalf("%q: %v", s.Text(), err)
			}
			tr.requests = append(tr.requests, r)
		}
	}
	return tr
}

// What a request costs, apart from its trips: the function and its reads, and
// what it takes to pass a request and its answer on. Both as measured where the
// trace was recorded.
const (
	work = 2500 * time.Microsecond
	pass = 5 * time.Millisecond
)

// cost is how long a request takes.
func (tr trace) cost(r request, where placement.Where) time.Duration {
	if where == placement.AtPrimary {
		return work + tr.rtt + pass
	}
	return work + time.Duration(r.trips)*tr.rtt
}

// A policy places requests, and is told of each.
type policy struct {
	place func(request) placement.Where
	told  func(r request, where placement.Where)
}

// run returns what the trace costs under a policy, and where each request ran.
func (tr trace) run(p policy) (total time.Duration, ran []placement.Where) {
	for _, r := range tr.requests {
		w := p.place(r)
		total += tr.cost(r, w)
		ran = append(ran, w)
		if p.told != nil {
			p.told(r, w)
		}
	}
	return total, ran
}

// best is the best policy that places all requests of a route alike, chosen
// with hindsight, and what it costs. No fixed policy is better.
func (tr trace) best() (total time.Duration) {
	type pair struct{ home, primary time.Duration }
	routes := map[string]*pair{}
	for _, r := range tr.requests {
		p := routes[r.route]
		if p == nil {
			p = &pair{}
			routes[r.route] = p
		}
		p.home += tr.cost(r, placement.AtHome)
		p.primary += tr.cost(r, placement.AtPrimary)
	}
	for _, p := range routes {
		total += min(p.home, p.primary)
	}
	return total
}

// fixed places every request alike, or by its method.
func fixed(f func(request) placement.Where) policy { return policy{place: f} }

// What the simulated gateway lacks, for the negative controls.
type lack int

const (
	nothing       lack = iota
	primaryIsMute      // the primary's gateway tells no trips: all is learned at home
	learning           // only the methods are known
	looks              // the primary tells no trips, and nothing is explored
	prior              // every method is taken for GET
)

// learned is the policy of this package.
func learned(tr trace, without lack) policy {
	book := placement.NewBook()
	key := func(r request) placement.Key { return placement.KeyOf(r.route, r.method) }
	return policy{
		place: func(r request) placement.Where {
			v := placement.View{Home: "eu-west-1", Primary: "us-east-1", Method: r.method, RTT: tr.rtt, Left: 10 * time.Second}
			v.Seen, v.Turn = book.Open(key(r))
			if without == looks {
				v.Turn = 1
			}
			if without == prior {
				v.Method = "GET"
			}
			return placement.Decide(v).Where
		},
		told: func(r request, where placement.Where) {
			mute := without == primaryIsMute || without == looks
			if without != learning && (where == placement.AtHome || !mute) {
				book.Learn(key(r), r.trips)
			}
		},
	}
}

func regret(got, best time.Duration) float64 { return float64(got-best) / float64(best) }

func TestRegretIsAtMostTenPercentOnTheRecordedTrace(t *testing.T) {
	tr := readTrace(t, "testdata/trace/mixed")
	best := tr.best()
	for name, p := range map[string]policy{
		"all at home":               fixed(func(request) placement.Where { return placement.AtHome }),
		"all in the primary":        fixed(func(request) placement.Where { return placement.AtPrimary }),
		"by the method":             learned(tr, learning),
		"learned":                   learned(tr, nothing),
		"learned at home alone":     learned(tr, primaryIsMute),
		"learned, every guess at 0": learned(tr, prior),
	} {
		got, _ := tr.run(p)
		r := regret(got, best)
		t.Logf("%-26s %8v, regret %5.1f %%", name, got.Round(time.Millisecond), 100*r)
		if strings.HasPrefix(name, "learned") != (r <= 0.1) {
			t.Errorf("%s: regret %.1f %%", name, 100*r)
		}
	}
}

// shifting is a route whose requests change what they do every so many.
func shifting(every int, trips ...int) trace {
	tr := trace{rtt: 70 * time.Millisecond}
	for _, n := range trips {
		for range every {
			tr.requests = append(tr.requests, request{"POST /x", "POST", n})
		}
	}
	return tr
}

func TestARouteThatChangesIsFoundOut(t *testing.T) {
	tr := shifting(500, 3, 0, 2, 1, 0, 4)
	got, _ := tr.run(learned(tr, nothing))
	if r := regret(got, tr.best()); r > 0 {
		t.Errorf("regret %.1f %% against the best fixed policy, want to be ahead of it", 100*r)
	}
	blind, _ := tr.run(learned(tr, learning))
	if got >= blind {
		t.Errorf("%v with learning, %v without", got, blind)
	}
}

// Whatever a route did before, and whatever its method says, once its requests
// write three times they run where the primary is by the twentieth.
func TestThreeWritesAreLearnedWithinTwentyRequests(t *testing.T) {
	for _, method := range []string{"POST", "GET", "DELETE"} {
		for _, before := range []int{0, 1, 5, 20, 500} {
			tr := trace{rtt: 70 * time.Millisecond}
			for range before {
				tr.requests = append(tr.requests, request{method + " /x", method, 0})
			}
			for range 40 {
				tr.requests = append(tr.requests, request{method + " /x", method, 3})
			}
			_, ran := tr.run(learned(tr, nothing))
			if !settled(ran[before+20:]) {
				t.Errorf("%s after %d without writes: %v", method, before, ran[before:])
			}
			if _, ran = tr.run(learned(tr, learning)); method == "GET" && settled(ran[before+20:]) {
				t.Error("the control without learning found it out too")
			}
		}
	}
}

// settled reports whether all ran at the primary, but for one look at home.
func settled(ran []placement.Where) bool {
	home := 0
	for _, w := range ran {
		if w == placement.AtHome {
			home++
		}
	}
	return home <= 1
}

// A primary that cannot say what a request would have taken must not keep for
// ever those that have no business there.
func TestLooksAtHomeFindReadsThatArePosted(t *testing.T) {
	tr := shifting(200, 0)
	_, ran := tr.run(learned(tr, primaryIsMute))
	if !settled(flip(ran[10:])) {
		t.Errorf("still in the primary's region: %v", ran)
	}
	if _, ran = tr.run(learned(tr, looks)); settled(flip(ran[10:])) {
		t.Error("the control without looks found it out too")
	}
}

func flip(ran []placement.Where) (out []placement.Where) {
	other := map[placement.Where]placement.Where{placement.AtHome: placement.AtPrimary, placement.AtPrimary: placement.AtHome}
	for _, w := range ran {
		out = append(out, other[w])
	}
	return out
}
