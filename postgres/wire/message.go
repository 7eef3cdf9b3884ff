package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A Builder appends frames to a byte slice.
type Builder []byte

// Message appends a frame of type t whose body is the given parts.
func (b Builder) Message(t byte, parts ...[]byte) Builder {
	n := 4
	for _, p := range parts {
		n += len(p)
	}
	b = binary.BigEndian.AppendUint32(append(b, t), uint32(n))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// String returns s with the zero byte that ends it on the wire.
func String(s string) []byte { return append([]byte(s), 0) }

// Query appends a simple Query.
func (b Builder) Query(sql string) Builder { return b.Message('Q', String(sql)) }

// Sync appends a Sync.
func (b Builder) Sync() Builder { return b.Message('S') }

// Ready appends ReadyForQuery with a transaction status: I, T or E.
func (b Builder) Ready(status byte) Builder { return b.Message('Z', []byte{status}) }

// Complete appends CommandComplete.
func (b Builder) Complete(tag string) Builder { return b.Message('C', String(tag)) }

// Parameter appends ParameterStatus.
func (b Builder) Parameter(name, value string) Builder {
	return b.Message('S', String(name), String(value))
}

// KeyData appends BackendKeyData.
func (b Builder) KeyData(pid uint32, secret []byte) Builder {
	return b.Message('K', binary.BigEndian.AppendUint32(nil, pid), secret)
}

// CloseStatement appends a Close of a prepared statement.
func (b Builder) CloseStatement(name string) Builder {
	return b.Message('C', []byte{'S'}, String(name))
}

// cstring splits b after its first zero byte.
func cstring(b []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, false
	}
	return b[:i], b[i+1:], true
}

func malformed(what string) error { return fmt.Errorf("malformed %s: %w", what, ErrProtocol) }

// ParseQuery returns the text of a Query's body.
func ParseQuery(body []byte) ([]byte, error) {
	s, rest, ok := cstring(body)
	if !ok || len(rest) != 0 {
		return nil, malformed("Query")
	}
	return s, nil
}

// ParseParse returns the statement's name and text of a Parse's body.
func ParseParse(body []byte) (name, text []byte, err error) {
	name, rest, ok := cstring(body)
	if ok {
		text, _, ok = cstring(rest)
	}
	if !ok {
		return nil, nil, malformed("Parse")
	}
	return name, text, nil
}

// ParseBind returns the names of portal and statement of a Bind's body.
func ParseBind(body []byte) (portal, statement []byte, err error) {
	portal, rest, ok := cstring(body)
	if ok {
		statement, _, ok = cstring(rest)
	}
	if !ok {
		return nil, nil, malformed("Bind")
	}
	return portal, statement, nil
}

// ParseTarget returns what a Describe's or Close's body names: kind 'S' is a
// statement, 'P' a portal.
func ParseTarget(body []byte) (kind byte, name []byte, err error) {
	if len(body) == 0 {
		return 0, nil, malformed("Describe or Close")
	}
	name, _, ok := cstring(body[1:])
	if !ok {
		return 0, nil, malformed("Describe or Close")
	}
	return body[0], name, nil
}

// ParseExecute returns the portal that an Execute's body names.
func ParseExecute(body []byte) ([]byte, error) {
	name, _, ok := cstring(body)
	if !ok {
		return nil, malformed("Execute")
	}
	return name, nil
}

// ParseParameter returns what a ParameterStatus says.
func ParseParameter(body []byte) (name, value string, err error) {
	n, rest, ok := cstring(body)
	v, _, ok2 := cstring(rest)
	if !ok || !ok2 {
		return "", "", malformed("ParameterStatus")
	}
	return string(n), string(v), nil
}

// Row returns the columns of a DataRow in text form; a null is "".
func Row(body []byte) ([]string, error) {
	if len(body) < 2 {
		return nil, malformed("DataRow")
	}
	n := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	cols := make([]string, 0, min(n, 64))
	for range n {
		if len(body) < 4 {
			return nil, malformed("DataRow")
		}
		size := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if size < 0 {
			cols = append(cols, "")
			continue
		}
		if int(size) > len(body) {
			return nil, malformed("DataRow")
		}
		cols = append(cols, string(body[:size]))
		body = body[size:]
	}
	return cols, nil
}
