package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The codes that stand where a start-up packet has its protocol version
// (PostgreSQL documentation, 55.7).
const (
	CodeCancel = 80877102
	CodeSSL    = 80877103
	CodeGSS    = 80877104
)

// MaxStartup is the longest start-up packet, as in PostgreSQL.
const MaxStartup = 10000

// A Startup is the first packet of a connection. Code is one of the codes
// above, or a protocol version: major in the upper 16 bits.
type Startup struct {
	Code   uint32
	Params []Param // of a start-up message, in the client's order
	Cancel Key     // of a cancel request
}

// A Param is one start-up parameter.
type Param struct{ Name, Value string }

// A Key names a session to cancel. Protocol 3.2 allows secrets of up to 256
// bytes.
type Key struct {
	PID    uint32
	Secret string
}

// Major returns the major version of a start-up message, 0 for other packets.
func (s *Startup) Major() int {
	if s.Code>>16 == 1234 {
		return 0
	}
	return int(s.Code >> 16)
}

// Minor returns the minor version of a start-up message.
func (s *Startup) Minor() int { return int(s.Code & 0xffff) }

// Param returns the value of a parameter, or "".
func (s *Startup) Param(name string) string {
	for _, p := range s.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// ReadStartup reads one packet of the start-up phase.
func ReadStartup(r *Reader) (*Startup, error) {
	b, err := r.Untyped(MaxStartup)
	if err != nil {
		return nil, err
	}
	return ParseStartup(b)
}

// ParseStartup decodes a start-up packet without its length.
func ParseStartup(b []byte) (*Startup, error) {
	if len(b) < 4 {
		return nil, malformed("start-up packet")
	}
	s := &Startup{Code: binary.BigEndian.Uint32(b)}
	b = b[4:]
	switch {
	case s.Code == CodeSSL || s.Code == CodeGSS:
		return s, nil
	case s.Code == CodeCancel:
		if len(b) < 8 || len(b) > 4+256 {
			return nil, malformed("cancel request")
		}
		s.Cancel = Key{PID: binary.BigEndian.Uint32(b), Secret: string(b[4:])}
		return s, nil
	case s.Major() != 3:
		return nil, fmt.Errorf("protocol version %d.%d: %w", s.Code>>16, s.Minor(), ErrProtocol)
	}
	for len(b) > 1 {
		name, rest, ok := cstring(b)
		value, rest, ok2 := cstring(rest)
		if !ok || !ok2 || len(name) == 0 {
			return nil, malformed("start-up packet")
		}
		s.Params = append(s.Params, Param{string(name), string(value)})
		b = rest
	}
	if len(b) != 1 || b[0] != 0 {
		return nil, malformed("start-up packet")
	}
	return s, nil
}

// Unknown returns the protocol options that the client asks for and nobody
// knows: those whose name begins with _pq_.
func (s *Startup) Unknown() (names []string) {
	for _, p := range s.Params {
		if strings.HasPrefix(p.Name, "_pq_.") {
			names = append(names, p.Name)
		}
	}
	return names
}

// Startup appends a start-up message of protocol 3.0.
func (b Builder) Startup(params []Param) Builder {
	at := len(b)
	b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0), 3<<16)
	for _, p := range params {
		b = append(append(b, String(p.Name)...), String(p.Value)...)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

// CancelRequest appends a cancel request.
func (b Builder) CancelRequest(k Key) Builder {
	b = binary.BigEndian.AppendUint32(b, uint32(12+len(k.Secret)))
	b = binary.BigEndian.AppendUint32(b, CodeCancel)
	return append(binary.BigEndian.AppendUint32(b, k.PID), k.Secret...)
}

// Negotiate appends NegotiateProtocolVersion: minor version 0 is the newest
// that is spoken, and the named options are not known.
func (b Builder) Negotiate(unknown []string) Builder {
	body := binary.BigEndian.AppendUint32(nil, 3<<16)
	body = binary.BigEndian.AppendUint32(body, uint32(len(unknown)))
	for _, u := range unknown {
		body = append(body, String(u)...)
	}
	return b.Message('v', body)
}

// Forwarded returns the parameters that a backend is to be given: all but
// user, database and replication, of which the proxy decides, and protocol options. They are
// sorted by name, so that equal sets compare equal.
func (s *Startup) Forwarded() []Param {
	var out []Param
	for _, p := range s.Params {
		if p.Name != "user" && p.Name != "database" && p.Name != "replication" && !strings.HasPrefix(p.Name, "_pq_.") {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return out
}
