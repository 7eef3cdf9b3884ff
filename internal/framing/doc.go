// Package framing stands between a client's connection and net/http, and lets
// through only bytes that can be read in one way.
//
// Net/http reads HTTP as tolerantly as it can without harm to itself. An edge
// must be stricter: other programs read what it passes on, and a connection that
// costs nothing to keep busy is a weapon. So an [H2] connection looks at each
// frame of HTTP/2 before net/http's server does, and an [H1] connection at each
// head and at the framing of each body of HTTP/1.1. What they refuse they make
// net/http refuse, in its own order and words, by handing it something that it
// cannot take; what floods they end.
//
// Neither holds more of a connection than one head or one block of headers, and
// nothing while the connection is idle.
package framing
