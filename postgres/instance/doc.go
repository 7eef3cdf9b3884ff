// Package instance runs one region's PostgreSQL: real, unmodified, reachable
// only through a Unix socket in a folder that nobody else can enter.
//
// What comes in: a folder, a role (Primary or Standby) and, for a standby, a
// way to the primary's PostgreSQL. What goes out: a cluster that accepts
// connections on Dial, with the settings of one place (settings.go).
//
// What it never does: listen on TCP, switch fsync off, write into a folder
// that holds somebody else's data, or delete data. A copy of another database
// is moved aside, not removed.
//
// When the primary is down: a standby that has a whole copy starts and serves
// reads; one that has none waits. When PostgreSQL dies, Run starts it again.
// When this process dies, the kernel kills PostgreSQL with it, and the next
// Run recovers what was committed.
package instance
