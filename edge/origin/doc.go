// Package origin is the edge's way to the regions: which one a request goes
// to, over which connection, and whether a failed request may be sent again.
//
// What comes in is a request that the edge has made ready; what goes out is
// the same request over HTTP/2 on a backbone connection, and the region's
// response as a stream. The two policies are pure functions of values,
// [Choose] and [Retry], and each returns its reason.
//
// Origin keeps several warm connections to every region, since one HTTP/2
// connection shares a flow-control window and a write lock among all of its
// streams, and dials a lost one again by itself. So a request waits for a
// handshake only where no region at all is connected.
//
// It never sends a request twice: one RoundTrip is at most one HEADERS frame,
// and its error says whether that frame may have left ([Unsent], [MaybeSent]).
//
// When a region is down, its [Circuit] opens: after three failures, or as soon
// as nothing was heard on any of its connections for less than half a second,
// since a connection that stands is pinged all the time. Safe requests that
// wait there are moved at once, and the others pass it over. No request is
// risked on a region that is silent: a byte or a new connection lets one probe
// go, and its answer a share of the requests that grows.
//
// A [Custom] is the way to one server that is no region, over HTTP/1.1 or
// HTTP/2. It says of a failed request what is said of one to a region, and does
// not choose: there is nothing to choose from.
package origin
