package quicroute

import (
	"bytes"
	"crypto/rand"

	"github.com/quic-go/quic-go"
)

const (
	epochLength = 4
	idLength    = epochLength + 8
)

// An Epoch names a process in the connection IDs that it gives out. It is random:
// a client that chooses the first ID of a connection (RFC 9000, section 7.2) hits
// one of another process once in 2^32 tries, and tries again.
type Epoch [epochLength]byte

// newEpoch returns one that no other process has.
func newEpoch() (e Epoch) {
	rand.Read(e[:])
	return e
}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (e Epoch) GenerateConnectionID() (quic.ConnectionID, error) {
	var id [idLength]byte
	copy(id[:], e[:])
	rand.Read(id[epochLength:])
	return quic.ConnectionIDFromBytes(id[:]), nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (Epoch) ConnectionIDLen() int { return idLength }

// epochOf returns the epoch in a datagram's first destination connection ID, and
// false where it is no server's: the packet is too short, or its ID is the
// client's own choice and has another length (RFC 8999, sections 5.1 and 5.2).
func epochOf(datagram []byte) (e Epoch, ok bool) {
	const long, toLength = 0x80, 5
	if len(datagram) == 0 {
		return e, false
	}
	id := datagram[1:]
	if datagram[0]&long != 0 {
		if len(datagram) <= toLength || int(datagram[toLength]) != idLength {
			return e, false
		}
		id = datagram[toLength+1:]
	}
	if len(id) < idLength {
		return e, false
	}
	return Epoch(id[:epochLength]), true
}

// theirs reports whether a datagram is for one of the processes before this one.
// What nobody knows is this one's: a new connection, or one to be reset.
func theirs(datagram []byte, before []Epoch) bool {
	if len(before) == 0 {
		return false
	}
	e, ok := epochOf(datagram)
	if !ok {
		return false
	}
	for _, b := range before {
		if bytes.Equal(b[:], e[:]) {
			return true
		}
	}
	return false
}
