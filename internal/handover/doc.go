// Package handover passes the listening sockets of a process to the next one of
// the same service, so that nobody who connects meanwhile is refused.
//
// The process that runs waits on a Unix socket (Offer). The next one connects
// there (Join), gets a copy of each listening socket, and makes itself ready as
// far as it can alone. Then the one that runs gives up what only one may own,
// and says so; the next takes its place, and says so in turn. Until then the one
// that runs can go on, and does if the next one ends.
//
//	next            runs
//	take        →
//	            ←   sockets
//	prepared    →            it has read its configuration, and may still fail
//	            ←   released what only one may own is free
//	ready       →            it accepts
//	            ←   yielded  the other drains, and ends
package handover
