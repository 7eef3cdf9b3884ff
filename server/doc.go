// Package server is one node: it wires the hops that the node's roles name,
// starts them in order, and stops them in the opposite order.
//
// The config and what the store remembers come in; running hops come out.
// Server knows every hop and no hop knows it: what one hop needs of another
// arrives as a small interface or a function, and the lines that say so are
// here. It decides nothing about a request. Its own decisions, all pure, are
// what the map shows (draw.go) and what a status says (status.go).
package server
