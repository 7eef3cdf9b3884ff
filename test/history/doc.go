// Package history keeps what clients asked of a database and what they were
// told, and finds what no correct database could have told them.
//
// List judges transactions that append to lists and read them: since a list
// shows the order of its appends, the dependencies between transactions can be
// read off what was seen, and an anomaly is a cycle of them (Adya: Weak
// Consistency, 1999; Kingsbury and Alvaro: Elle, 2020). Registers judges
// single reads and writes for linearizability, key by key. Once and Writers
// judge a ledger, into which every id is put once.
//
// An outcome may be unknown: what was sent and not answered may have happened,
// then or later, or never. All checks take it for possible, and none for sure.
package history
