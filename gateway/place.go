package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"meridian"
	"meridian/gateway/placement"
	"meridian/topology"
)

// What gateways say to each other of a request that one placed with the other,
// over the backbone alone.
const (
	headerPlaced   = "Meridian-Placed"   // the region that placed the request; it is not placed again
	headerProtocol = "Meridian-Protocol" // that of the caller, as the placing gateway knows it

	headerTrips    = "Meridian-Trips"    // wide-area trips that it would have taken at home
	headerLoad     = "Meridian-Load"     // of its function: in flight, as a share of what runs at once
	headerUnplaced = "Meridian-Unplaced" // why no function got the request: it may run at home
)

// place decides where the request's function runs. A gateway without a way to
// other regions runs everything at home and decides nothing.
func (x *exchange) place() placement.Decision {
	if x.g.deps.Forward == nil {
		return placement.Decision{Where: placement.AtHome}
	}
	seen, turn := x.g.book.Open(x.learnedBy())
	world := x.g.deps.Map.Now()
	primary, _ := world.Primary()
	rtt, _ := world.RTT(x.g.cfg.Region, primary.Name)
	d := placement.Decide(placement.View{
		Home: x.g.cfg.Region, Primary: primary.Name, Placed: x.placedBy(), Away: x.away(primary),
		Mode: x.mode(), Own: x.ownTrips(), Method: x.r.Method, Seen: seen, Turn: turn,
		RTT: rtt, Left: x.timeout(), Load: x.g.book.Load(x.route.Function, x.began),
	})
	x.note.placed, x.note.where = x.g.cfg.Region, d
	if d.Where == placement.AtPrimary {
		x.note.placed = primary.Name
	}
	return d
}

// ownTrips returns what the gateway's own doings for the request cost at home: to
// claim its key, and to keep its answer.
func (x *exchange) ownTrips() float64 {
	if x.key == "" {
		return 0
	}
	return 2
}

// learnedBy is under which the request's route is learned.
func (x *exchange) learnedBy() placement.Key {
	return placement.KeyOf(x.route.Key.String(), x.r.Method)
}

// mode is what the route says of its place, or else the config.
func (x *exchange) mode() placement.Mode {
	if x.route.Placement != "" {
		return x.route.Placement
	}
	return x.g.cfg.Placement
}

// placedBy returns the region that placed the request here, or "". Only peers
// on the backbone are believed.
func (x *exchange) placedBy() meridian.Region {
	if !x.trusted || x.g.off == withoutOnce {
		return ""
	}
	return meridian.Region(x.r.Header.Get(headerPlaced))
}

// away says why the request cannot go to the primary's region, or "".
func (x *exchange) away(primary topology.Region) string {
	switch {
	case !strings.HasPrefix(x.path, "/"):
		return "its target is not a path"
	case !primary.Healthy:
		return fmt.Sprintf("%s is not healthy: %s", primary.Name, primary.Why)
	case primary.Drained:
		return fmt.Sprintf("%s is drained", primary.Name)
	}
	return ""
}

// stay notes that a request which was to run elsewhere runs at home, if it was
// surely not executed there, or its key does not say that it was.
func (x *exchange) stay(surely bool, err error) {
	why := "nothing was sent: "
	if !surely {
		why = "whether it was executed its key tells: "
	}
	x.note.placed = x.g.cfg.Region
	x.note.where = placement.Decision{Where: placement.AtHome, Rule: placement.ByFailure, Why: why + err.Error()}
}

// learn notes what an invocation at home took, and tells the gateway that
// placed it here. Here a trip is short, so that those of another invocation may
// well fall within this one; then that gateway is told nothing, and learns from
// its looks at home, where a trip is longer than what does not wait for it.
func (x *exchange) learn(o meridian.Observation, status int) {
	if x.g.deps.Forward == nil || status >= http.StatusInternalServerError || o.PrimaryAway != "" {
		return
	}
	if primary, _ := x.g.deps.Map.Now().Primary(); primary.Name == x.g.cfg.Region && o.Shared {
		return
	}
	x.note.counted = true
	x.g.book.Learn(x.learnedBy(), o.Trips)
	if x.placedBy() != "" {
		x.w.Header().Set(headerTrips, strconv.Itoa(o.Trips))
	}
}

// unplaced tells the gateway that placed a request here that no function got
// it, if that is so: Throttled means that there was no slot for it.
func (x *exchange) unplaced(k meridian.Kind) {
	early := k == meridian.Unavailable && !x.note.invoked
	if x.placedBy() != "" && (k == meridian.Throttled || early) {
		x.w.Header().Set(headerUnplaced, string(k))
	}
}

// flights count the invocations in flight of one function.
type flights struct {
	now   atomic.Int64
	limit int // that run at once; 0 if that is not known
}

// enter counts an invocation until leave is called.
func (f *flights) enter() (leave func()) {
	f.now.Add(1)
	return func() { f.now.Add(-1) }
}

// tellLoad tells the gateway that placed the request here how busy its
// function is.
func (x *exchange) tellLoad() {
	f := x.g.flights[x.route.Function]
	if x.placedBy() == "" || f == nil || f.limit <= 0 {
		return
	}
	x.w.Header().Set(headerLoad, placement.FormatLoad(float64(f.now.Load())/float64(f.limit)))
}
