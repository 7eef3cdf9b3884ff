// Package quicroute lets a QUIC server's next process have its UDP socket while
// the connections of the one before go on.
//
// Connection IDs begin with an epoch, which each process chooses. From the moment
// the next process reads the socket, the one before does not: it reads what the
// next one passes on, the packets whose epoch is not the next one's. Both write to
// the socket themselves.
package quicroute
