// Package failover decides who takes the writes of a database.
//
// What comes in: what one region's node knows at one instant, as a View. What
// goes out: the one thing that this node should do next, with its reason. The
// package does no I/O and reads no clock; package server's steward does what
// it says.
//
// The right to take writes is a record in the store. Its holder renews it by
// compare-and-set and may act for Lease after it *sent* its last renewal; a
// successor waits for Lease, and some more for the drift of clocks, after it
// *received* that renewal, or after the moment by its own clock which the renewal
// shows (Seen), and then takes the record by compare-and-set on the revision
// that it saw. So at most one region acknowledges writes, whatever
// clocks say and whichever messages are lost (guarantee 2).
//
// A planned move begins at the holder: it stops at a checkpoint and hands the
// record over, with the position that the successor must have replayed. An
// unplanned one begins with recruits: each standby pledges the next term, cuts
// every stream of an older one, replays what it has, and reports how far it
// came. The most advanced of a majority takes the record.
package failover
