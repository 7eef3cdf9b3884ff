// Package conduit asks a RealWorld API whether it keeps to its specification,
// from outside: by HTTP alone, at any address, in a world that already holds
// other people's data.
//
// Suite covers the nineteen operations; Story is what a newcomer does across
// three edges; Pairs counts reads that are older than a write before them.
package conduit
