package placement

import (
	"fmt"
	"net/http"
	"time"

	"meridian"
)

// A Mode is what a route's owner says of its place.
type Mode string

// The modes. "" is Auto.
const (
	Auto    Mode = "auto"    // by what its requests were seen to do
	Local   Mode = "local"   // in the region that the request came to
	Primary Mode = "primary" // in the primary's region, while that can be reached
)

// Modes are the texts that a Mode may have.
var Modes = []Mode{Auto, Local, Primary}

// A Where is one of the two places.
type Where string

// The places.
const (
	AtHome    Where = "home"
	AtPrimary Where = "primary"
)

// A Rule is what decided: a label for metrics, one of a closed set.
type Rule string

// The rules, in the order in which Decide asks them.
const (
	ByOther    Rule = "placed"   // another region placed it here
	ByPosition Rule = "here"     // this region is the primary's, or none is
	ByRoute    Rule = "declared" // the route says so
	ByAway     Rule = "away"     // the primary's region cannot take it
	ByDeadline Rule = "deadline" // there is no time for the trip
	ByLoad     Rule = "load"     // it is not worth the primary's price
	ByExplorer Rule = "explored" // a look at how it goes at home
	ByTrips    Rule = "trips"    // what is expected of it
	ByFailure  Rule = "unsent"   // no decision: it could not be sent to the primary
)

// A View is what a gateway knows of a request before its function does.
type View struct {
	Home    meridian.Region
	Primary meridian.Region // "" if none is known
	Placed  meridian.Region // the region that placed the request here, or ""
	Away    string          // why the primary's region cannot take requests, or ""

	Mode   Mode
	Own    float64 // trips that the gateway itself would make at home
	Method string
	Seen   Seen   // of the route
	Turn   uint64 // counts the route's requests, this one too

	RTT  time.Duration // to the primary; 0 if it is not known
	Left time.Duration // that the request may take
	Load float64       // of the primary: invocations in flight, as a share of what it runs at once
}

// A Decision is a place and the reason for it.
type Decision struct {
	Where Where
	Rule  Rule
	Why   string
}

// Figures of the decision.
const (
	// overhead is what a request pays, beside the round trip, to be passed on
	// and its answer to be passed back.
	overhead = 5 * time.Millisecond
	// margin is the least overhead that is reckoned with, in trips.
	margin = 0.1
	// exploreEvery is how many requests of a route pass from one look to the
	// next, and firstLook the request that is the first.
	exploreEvery = 100
	firstLook    = 10
	// guess is how many trips a method that may write is expected to take.
	guess = 2
	// guessWeight is how many requests the guess counts for.
	guessWeight = 1
	// freeLoad is the load of the primary up to which it asks no price.
	freeLoad = 0.7
)

// Decide says where a request runs. It is a pure function of v.
func Decide(v View) Decision {
	switch {
	case v.Placed != "":
		return Decision{AtHome, ByOther, fmt.Sprintf("%s placed it here", v.Placed)}
	case v.Primary == "":
		return Decision{AtHome, ByPosition, "no region is known to be the primary's"}
	case v.Primary == v.Home:
		return Decision{AtHome, ByPosition, "this region is the primary's"}
	case v.Mode == Local:
		return Decision{AtHome, ByRoute, "its route says local"}
	case v.Away != "":
		return Decision{AtHome, ByAway, v.Away}
	case v.Left <= 2*v.RTT:
		return Decision{AtHome, ByDeadline, fmt.Sprintf("%v are left, too few for a trip of %v", ms(v.Left), ms(v.RTT))}
	case v.Mode == Primary:
		return Decision{AtPrimary, ByRoute, "its route says primary"}
	}
	return weigh(v)
}

// weigh compares the trips that are expected at home with what it costs to run
// in the primary's region, in trips.
func weigh(v View) Decision {
	home := Expect(v.Method, v.Seen) + v.Own
	trip := 1 + toll(v.RTT)
	paid := trip + Price(v.Load)
	by := v.Seen.basis(v.Method)
	if v.Own > 0 {
		by += fmt.Sprintf(" and %.0f of the gateway's", v.Own)
	}
	basis := fmt.Sprintf("%.2f trips expected at home, by %s; %.2f in %s", home, by, paid, v.Primary)
	switch {
	case home <= trip:
		return Decision{AtHome, ByTrips, basis}
	case v.Load >= 1:
		return Decision{AtHome, ByLoad, fmt.Sprintf("no slot is free in %s; %.2f trips expected at home, by %s", v.Primary, home, by)}
	case home <= paid:
		return Decision{AtHome, ByLoad, fmt.Sprintf("%s, where the load is %.2f", basis, v.Load)}
	case v.Turn%exploreEvery == firstLook:
		return Decision{AtHome, ByExplorer, fmt.Sprintf("request %d of its route, run here to measure; %s", v.Turn, basis)}
	}
	return Decision{AtPrimary, ByTrips, basis}
}

// Expect returns the trips that a request of a route will take at home: the
// mean of those before it, drawn towards the method's guess by what counts as
// one more request. So one odd request moves little, and twenty decide.
func Expect(method string, s Seen) float64 {
	prior := 0.0
	if !safe(method) {
		prior = guess
	}
	if !(s.Weight > 0 && s.Mean >= 0) {
		return prior
	}
	return (guessWeight*prior + s.Weight*s.Mean) / (guessWeight + s.Weight)
}

// safe reports whether a method asks for nothing to be done (RFC 9110, section
// 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// toll returns the overhead of a placed request in trips.
func toll(rtt time.Duration) float64 {
	if rtt <= 0 {
		return margin
	}
	return max(margin, float64(overhead)/float64(rtt))
}

// Price returns what the primary asks for its time at a load below 1, in trips:
// nothing while many slots are free, and any sum as the last ones go.
func Price(load float64) float64 {
	if load <= freeLoad {
		return 0
	}
	return (load - freeLoad) / max(1-load, 1e-6)
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
