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
// Run recovers what was committed; with Config.Outlive PostgreSQL goes on, and
// the next Run adopts it (adopt.go).
//
// The primary moves while Run runs. A planned move is Stop on the old one,
// Pledge and Promote on the new one at the position where the old one stopped,
// Follow on all others, and Start as a standby on the old one. After a death it
// is Recruit on every standby that answers, Promote on the one that has most,
// and Follow on the others. What the old primary had and the new one has not is
// kept when it comes back (Tails, Lost), and undone (rewind.go).
//
// A region may have further standbys (Config.Further). One follows its region's
// PostgreSQL, whatever that is at the time: it streams from it in a cascade, goes
// from timeline to timeline with it, and rewinds or copies anew where it took log
// that this one gave up. Nobody asks it for its vote.
//
// Terms are the caller's count of primaries. A pledge on disk keeps an instance
// from ever taking log of a term below (gate.go), and a new timeline is
// numbered after its term, so that no two primaries share one (timeline.go).
package instance
