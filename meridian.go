// Package meridian holds the nouns that all hops share: a Region, an
// Invocation, a log position, a Kind of failure. It imports the standard
// library alone and does no I/O.
package meridian

import (
	"io"
	"time"
)

// A Region names a place: an AWS region code such as "eu-west-1", or a name
// that the config gives with latitude and longitude. Edges stand at places
// too, with or without a region beside them.
type Region string

// An Invocation is one call of one function.
type Invocation struct {
	ID       string    // the request id; trace, logs and events carry it
	Function string    // as named in the config
	Event    []byte    // the payload, JSON
	Deadline time.Time // when the caller stops waiting
	Floor    []Token   // reads of the invocation must not be older than these
	Reads    Promise   // what its reads, and its writes, are promised
	Trace    string    // the traceparent of the caller, or ""
}

// An Answer is what a function returned.
//
// Body is a stream; what stands beside it is final once Body has been read to
// its end, and not before.
type Answer struct {
	Body     io.ReadCloser
	Observed Observation
}

// An Observation is what the database hop saw of one invocation.
type Observation struct {
	// Token is the newest position that the invocation wrote or read.
	// It is zero if the invocation did not use the database.
	Token Token
	// Since is a position that all which the invocation read is at least as new as.
	// It is zero if none is known.
	Since Token
	// PrimaryAway says why the primary could not be reached for a statement
	// of the invocation that needed it. It is "" if that did not happen.
	PrimaryAway string
	// Stale says why reads were answered older than promised: no node could keep
	// the promise, and the route or the database lets them be. "" if none was.
	Stale string
	// Statements counts what the invocation sent, by where it ran.
	Local, Forwarded int
	// Trips counts the round trips to the primary that the invocation waited
	// for one after the other; in the primary's own region, those that it would
	// have waited for in any other. What one flight carries is one trip, and
	// what a replica can answer is none; a trip counts for the invocations that
	// were in flight from its beginning to its end. Gateways place requests by
	// it.
	Trips int
	// Shared says that another invocation was in flight in the same execution
	// environment meanwhile, so that the counts may hold some of its doings.
	Shared bool
	// Waited is how long reads waited for the replica to reach the floor.
	Waited time.Duration
}
