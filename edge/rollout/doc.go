// Package rollout decides who is given a new version of an edge's rules while
// it stands beside the current one, and whether it stays.
//
// In comes what a request shows of itself ([Asking]) and what all edges counted
// of both versions ([Report]); out go an [Assignment] and a [Decision], each
// with its reason. Both are pure: no clock, no network, no store. A client that
// has the new version keeps it while its share grows, at every edge, since all
// draw by one seed.
//
// What is compared is the new version with the current one, and neither with a
// fixed bound: an origin that is down fails both alike, and nothing is rolled
// back for it. The bound of each decision is the score interval of the
// difference of two rates (Newcombe 1998, method 10, of Wilson's intervals) at
// three standard deviations: it is asked some hundred times in a rollout.
//
// When the store is down, an edge that rolls back does so at once, tells the
// others, and puts it down as soon as it can. Nobody goes on to a larger share.
package rollout
