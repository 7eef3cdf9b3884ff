// Package h3conn opens connections of quic-go's HTTP/3 server together with the
// stream on which that speaks of the connection itself.
//
// Who accepts the streams of a connection can bound each of them. quic-go lets a
// program do so ([http3.Server.NewRawServerConn]), but keeps the control stream to
// itself, without which nobody can say GOAWAY (RFC 9114, section 5.2). So the
// method behind that one is linked by its name. A version that does not have it is
// not linked, and the test of this package compares how it is declared.
package h3conn

import (
	_ "unsafe" // for go:linkname

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Open begins HTTP/3 on a connection that a client opened, and returns it with its
// control stream, on which SETTINGS were sent. Who calls it accepts streams.
func Open(s *http3.Server, c *quic.Conn) (*http3.RawServerConn, *quic.SendStream, error) {
	return open(s, c)
}

//go:linkname open github.com/quic-go/quic-go/http3.(*Server).newRawServerConn
func open(s *http3.Server, c *quic.Conn) (*http3.RawServerConn, *quic.SendStream, error)
