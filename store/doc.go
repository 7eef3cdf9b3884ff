// Package store is what a node remembers: the desired state of the world and
// its switches, as keys and values that change by compare-and-set.
//
// Three regions are members: each runs etcd inside the node's process, and their
// peers speak over the backbone. Who they are may change while they run, one seat
// after another (KeepSeats). One of its founders opens it, which leads at once. Every other node is a follower: it
// gets a snapshot and then the changes from the nearest member that answers,
// and sends its writes there. A member does the same at the other members
// beside its own etcd, so that one that is cut from the leader alone still sees
// and writes. Both keep the last good copy on disk.
//
// What comes in: Put, Delete, CompareAndSwap. What goes out: Now, an immutable
// View that is read without waiting for anybody, and Watch, which says that
// there is a newer one.
//
// What it never does: block a read, show an older view after a newer one of
// the same cluster, or start from a copy on disk that is not whole.
//
// When members are lost: with a majority left, writes go on. A leader that hears
// no other member has another elected, if they hear it. Without a majority,
// writes fail with kind Unavailable when their context ends, and reads go on
// with the last good copy (guarantee 5).
package store
