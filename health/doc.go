// Package health says which nodes are alive, as seen from here and as seen by
// all.
//
// A Prober pings every other node over a stream of the backbone, whether
// anything happens or not (constant work, R14). Each answer carries what the
// answering node sees itself, so that every node holds every other's report.
// From its own sight a node steers its own requests: Verdicts. From all fresh
// reports Judge draws the public view: Quorum.
//
// A refused connection is a death at once; silence is one after a while; two
// good pings in a row bring a node back (R17). A node is dead to the public
// only if at most 18 % of those who looked see it, and if nothing looks alive,
// everything is taken for alive (R16). What another node reports is checked
// and bounded; a report that fails is dropped and the last good one kept (R5).
//
// It never takes a node out of service itself, and it needs no store: it
// publishes what it sees, and those who steer decide.
package health
