// Package placement decides in which region a request's function runs: at
// home, in the region that the request came to, or in the primary's.
//
// At home each write is a round trip to the primary, one after the other. In
// the primary's region the request itself is the only one. So a request goes
// there when more than one trip is expected of it at home, by what requests of
// its route took before: in both regions the database hop counts the trips
// that a request takes, or would take, at home (meridian.Observation.Trips).
// Before anything is known the method is the guess: GET, HEAD and OPTIONS
// write nothing, others more than once.
//
// The decision falls before the function gets the event and is never changed
// by what the function does: a request that began is not begun elsewhere. A
// tie stays at home, which keeps the load spread, and a primary under load
// asks a price in trips, so that those who gain least stay at home first.
//
// Of the requests that would go to the primary one in a hundred runs at home
// all the same, the tenth of its route being the first, unless the route says
// where to run: only there trips are measured, and not reckoned. What runs at
// home says all that there is to know, so nothing is explored from there and
// reads never pay for it.
package placement
