package postgres

import (
	"fmt"
	"time"

	"meridian"
	"meridian/topology"
)

// A freshView is what is known when a read asks for this region's PostgreSQL.
type freshView struct {
	Floor   meridian.Token // what the read must not be older than
	Here    meridian.Token // how far the local PostgreSQL has come
	Waited  bool           // as long as is sensible
	Primary bool           // this region is the primary's
	Away    string         // why the primary cannot be asked, or ""
}

// What to do about a read.
const (
	freshServe   = "serve"
	freshWait    = "wait"
	freshForward = "forward"
	freshRefuse  = "refuse"
)

// A freshDecision says what to do about a read, and why.
type freshDecision struct{ Do, Why string }

// decideFresh is the rule of session consistency: never older than the floor.
// A token of another system is none of this database's: the database was made
// anew, and nothing here can be older or newer. A higher timeline is not yet
// reached, whatever its LSN.
func decideFresh(v freshView) freshDecision {
	switch {
	case v.Floor.IsZero():
		return freshDecision{freshServe, "nothing is asked for"}
	case v.Here.System != 0 && v.Here.System != v.Floor.System:
		return freshDecision{freshServe, "the token is of another database system"}
	case reached(v.Here, v.Floor):
		return freshDecision{freshServe, fmt.Sprintf("replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN)}
	case !v.Waited:
		return freshDecision{freshWait, fmt.Sprintf("replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN)}
	case v.Primary:
		return freshDecision{freshRefuse, fmt.Sprintf("the primary's history ends at %s on timeline %d, asked for %s on %d", v.Here.LSN, v.Here.Timeline, v.Floor.LSN, v.Floor.Timeline)}
	case v.Away != "":
		return freshDecision{freshRefuse, fmt.Sprintf("replayed %s, asked for %s, and %s", v.Here.LSN, v.Floor.LSN, v.Away)}
	}
	return freshDecision{freshForward, fmt.Sprintf("the replica is behind: replayed %s, asked for %s", v.Here.LSN, v.Floor.LSN)}
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
