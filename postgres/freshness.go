package postgres

import (
	"fmt"
	"time"

	"meridian"
	"meridian/topology"
)

// A freshView is what is known when a read asks for this region's PostgreSQL.
type freshView struct {
	Mode    meridian.Consistency // what the read is promised; never Strong, which does not run here
	Floor   meridian.Token       // what the read must not be older than
	Here    meridian.Token       // how far the local PostgreSQL has come
	Age     time.Duration        // how old what is here may be; -1 if that is not known
	Trip    time.Duration        // a round trip to the primary; 0 if that is not known
	Asked   bool                 // the primary, for its position after the read began: Floor holds the answer
	Mute    bool                 // the primary did not answer that
	Waited  bool                 // as long as is sensible
	Looked  bool                 // the local PostgreSQL was asked after that, since nobody else can serve it
	Silent  bool                 // it did not answer that in time
	Primary bool                 // this region is the primary's
	Lapsed  bool                 // and has no right to act as that now: others may know of newer writes
	Exposed string               // why what may be lost yet could show here, or ""
	Away    string               // why the primary cannot be asked, or ""
	Unknown string               // why it is not known what the session was shown before, on another replica; or ""
	Stale   bool                 // a read whose promise no node can keep is served all the same
}

// What to do about a read.
const (
	freshServe   = "serve"
	freshAsk     = "ask"
	freshWait    = "wait"
	freshLook    = "look"
	freshForward = "forward"
	freshRefuse  = "refuse"
	freshStale   = "serve stale"
)

// A freshDecision says what to do about a read, and why.
type freshDecision struct{ Do, Why string }

// decideFresh is the rule of each consistency. In the primary's region all that
// was committed is there; what is left to look at is the caller's floor. Once
// the region's right to act has ended another may commit as well.
func decideFresh(v freshView) freshDecision {
	switch {
	case v.Exposed != "":
		return freshDecision{freshForward, v.Exposed}
	case v.Unknown != "" && v.Mode.Level != meridian.Eventual:
		return elsewhere(v, v.Unknown)
	case v.Mode.Level == meridian.Eventual:
		return freshDecision{freshServe, "eventual: what the replica has"}
	case v.Lapsed && v.Mode.Level == meridian.Bounded:
		return decideLapsed(v)
	case v.Lapsed && v.Mode.Level >= meridian.Global:
		return freshDecision{freshForward, v.Mode.String() + ": " + whyLapsed}
	case v.Primary:
	case v.Mode.Level == meridian.Bounded:
		return decideBounded(v)
	case v.Mode.Level >= meridian.Global && v.Mute:
		return elsewhere(v, "global: the primary did not say in time how far it is")
	case v.Mode.Level >= meridian.Global && !v.Asked:
		return freshDecision{freshAsk, "global: the primary is asked how far it is"}
	}
	return decideFloor(v)
}

// decideBounded serves what is not older than the bound. The answer to a probe
// is a round trip old when it comes: with a lower bound none can help.
func decideBounded(v freshView) freshDecision {
	why := fmt.Sprintf("%s: the replica's age is %v", v.Mode, v.Age)
	if v.Age < 0 {
		why = v.Mode.String() + ": the replica's age is not known"
	}
	switch {
	case v.Age >= 0 && v.Age <= v.Mode.Bound:
		return freshDecision{freshServe, why}
	case v.Away != "", v.Mute, v.Waited, v.Mode.Bound < v.Trip:
		return elsewhere(v, why)
	case !v.Asked:
		return freshDecision{freshAsk, why}
	}
	return freshDecision{freshWait, why}
}

// whyLapsed is why a read that needs the newest data waits in the primary's own
// region.
const whyLapsed = "the right of this region to act as the primary is not confirmed"

// decideLapsed serves what is not older than the bound where the right to act
// has ended: until then nobody else wrote.
func decideLapsed(v freshView) freshDecision {
	why := fmt.Sprintf("%s: the right to act ended %v ago", v.Mode, v.Age)
	if v.Age < 0 {
		why = v.Mode.String() + ": " + whyLapsed
	}
	if v.Age >= 0 && v.Age <= v.Mode.Bound {
		return freshDecision{freshServe, why}
	}
	return freshDecision{freshForward, why}
}

// elsewhere sends a read to the primary if that can be reached.
func elsewhere(v freshView, why string) freshDecision {
	if v.Away != "" {
		return nobody(v, why+", and "+v.Away)
	}
	return freshDecision{freshForward, why}
}

// nobody decides on a read whose promise no node can keep.
func nobody(v freshView, why string) freshDecision {
	if v.Stale {
		return freshDecision{freshStale, why}
	}
	return freshDecision{freshRefuse, why}
}

// decideFloor is the rule of session consistency: never older than the floor.
// A token of another system is none of this database's: the database was made
// anew, and nothing here can be older or newer. A higher timeline is not yet
// reached, whatever its LSN.
func decideFloor(v freshView) freshDecision {
	switch {
	case v.Floor.IsZero():
		return freshDecision{freshServe, "nothing is asked for"}
	case v.Here.System != 0 && v.Here.System != v.Floor.System:
		return freshDecision{freshServe, "the token is of another database system"}
	case reached(v.Here, v.Floor):
		return freshDecision{freshServe, fmt.Sprintf("replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN)}
	case !v.Waited:
		return freshDecision{freshWait, fmt.Sprintf("replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN)}
	case v.Lapsed:
		return freshDecision{freshForward, fmt.Sprintf("this region's history ends at %s on timeline %d, asked for %s on %d, and %s", v.Here.LSN, v.Here.Timeline, v.Floor.LSN, v.Floor.Timeline, whyLapsed)}
	case (v.Primary || v.Away != "") && !v.Looked: // on a busy machine all that is known may be from before the token
		return freshDecision{freshLook, fmt.Sprintf("knew of %s in time, asked for %s", v.Here.LSN, v.Floor.LSN)}
	case v.Primary && v.Silent:
		return nobody(v, fmt.Sprintf("the primary's PostgreSQL did not say in time how far it is, asked for %s on timeline %d", v.Floor.LSN, v.Floor.Timeline))
	case v.Primary:
		return nobody(v, fmt.Sprintf("the primary's history ends at %s on timeline %d, asked for %s on %d", v.Here.LSN, v.Here.Timeline, v.Floor.LSN, v.Floor.Timeline))
	case v.Away != "":
		return elsewhere(v, fmt.Sprintf("replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN))
	}
	return elsewhere(v, fmt.Sprintf("the replica is behind: replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN))
}

// reached reports whether a node at here holds all that floor names.
func reached(here, floor meridian.Token) bool {
	return here.System == floor.System && here.Timeline >= floor.Timeline && here.LSN >= floor.LSN
}

// patience is how long a read waits for the replica before it moves on: about
// one round trip to the primary, which moving costs anyway.
func patience(s *topology.Snapshot, here meridian.Region) time.Duration {
	const slack, unknown = 5 * time.Millisecond, 50 * time.Millisecond
	primary, ok := s.Primary()
	if !ok || primary.Name == here {
		return unknown
	}
	if rtt, ok := s.RTT(here, primary.Name); ok {
		return rtt + slack
	}
	return unknown
}
