// Package purge tells every edge what must leave the caches, and sees to it
// that none misses it.
//
// In comes what an operator wrote (a path, a prefix, a tag) or what an unsafe
// request invalidated at one edge; out goes, at once and beside each other, a
// message to each edge over the backbone and a record in the store's log. An
// edge that the message does not reach applies the record as soon as it sees
// the store; one that sees neither does not know what it missed, and answers
// with nothing as fresh that its origin confirmed longer than [Bound] ago. So
// what was purged is served as fresh nowhere [Bound] after the log has the
// purge, whatever is cut off from what, and reads go on (guarantee 5).
//
// A purge has an ID, and is applied once by it: whoever hears nothing may ask
// again. It is not kept in order with other purges: each only takes away.
//
// It never stands on a request's path. When an edge or the store is down, the
// outcome says which edge is not done, and why.
package purge
