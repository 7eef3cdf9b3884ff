// Package postgres is the memory of a region: a proxy that speaks PostgreSQL's
// protocol to functions and people, reads from the region's own PostgreSQL, and
// brings writes to the primary's region.
//
// What comes in: connections of PostgreSQL clients, over TCP, with TLS if the
// client asks; and streams of other regions' proxies over the backbone.
// What goes out: connections to the region's own PostgreSQL over its private
// socket, as the client's real role; and streams to the primary's proxy.
//
// In the primary's region everything runs on the local PostgreSQL. Elsewhere
// autocommit statements and READ ONLY blocks run on the local standby unless
// their text belongs on the primary (package classify); all other transaction
// blocks run there as a whole. What the standby refuses moves to the primary
// before the client has seen anything of it.
//
// What it never does: show a session data older than what the session wrote or
// was shown (freshness.go), run a write twice, or speak for a primary that
// this region is not: it sends nothing to its PostgreSQL as the primary, and
// tells of no success, but while its lease is valid (lease.go).
//
// The primary may move under the sessions. Groups of messages that were not
// sent, or that the primary's proxy says it did not run, wait for a primary
// that takes them and go there with the session's settings and statements
// (moved.go). Pause (pause.go) makes all of them such groups, so that a planned
// move shows as nothing but a wait. A session that has what no other server
// has, such as a temporary table, gets 57P01 then.
//
// When the primary cannot be reached, reads go on, as far as the local replica
// is new enough for them. A statement that was not sent waits for Config's
// MoveBudget, or not at all if a lost primary is not replaced, and if its node
// is being started again for ReturnBudget (yield.go); then it gets
// SQLSTATE 08001, or 57P03 if there is a primary that may not act; one that was
// sent and not answered gets 08007, since nobody here knows whether it was
// done; a read that would be too old 57P03.
package postgres
