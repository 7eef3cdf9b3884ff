// Package limit counts what clients ask for, and says who asked too often.
//
// A Limit lets a client do Requests in a time, and Burst at once: the generic
// cell rate algorithm (ITU-T I.371), of which one number a client is kept, the
// time at which its bucket will be full again. A bucket that is full is as good
// as none, so that a Table has a fixed size: who is forgotten first is who has
// done least.
//
// Limits are the world's, not an edge's. Each edge counts at once what it lets
// in, and tells the others in batches, who count it too; so each request that
// any edge let in is paid for everywhere, and over time a client of all edges
// gets what a client of one gets. What it can get on top is what the edges have
// not told each other yet: with E edges, a rate R, a burst B and a delay d
// between a request and its being counted everywhere, in any time t at most
//
//	R·t + B + (E−1)·(B + R·d + held)
//
// where held is what an edge does not tell by itself, less than B/2E + 1. Edges
// that cannot reach each other limit each for itself.
package limit
