// Package pace finds clients that keep an edge waiting: that send a body drip
// by drip, or do not take the response that they asked for.
//
// A clock runs only while the edge waits for a client that owes it something: a
// body, or room for a response that is there to be sent. What passes over the
// client's connection pays for the waiting, at so many bytes a second, and who
// is in debt for longer than a grace is cut off. A stream that is merely quiet,
// since nobody has anything to say, owes nothing.
//
// Over HTTP/2 and HTTP/3 many requests share a connection. What passes is shared
// among those that wait, so that a request that is held costs its client as
// much there as on a connection of its own.
package pace
