package session

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"strings"

	"meridian/postgres/wire"
)

// Words returns a backend's message as PostgreSQL would have said it if the
// session stood on one backend alone. A statement that was brought to a backend
// after its table had changed has other columns there than the client was told,
// and a Bind that names a format for each fails as malformed. PostgreSQL would
// have said that the plan must not change, for which drivers prepare anew.
func (t *Tracker) Words(f wire.Frame) wire.Frame {
	if f.Type() != 'E' || t.Idle() || !t.steps[t.head].brought {
		return f
	}
	e, err := wire.ParseError(f.Body())
	if err != nil || e.Code != "08P01" || !strings.HasPrefix(e.Message, "bind message has") || !strings.Contains(e.Message, "result formats but query has") {
		return f
	}
	return wire.Frame(wire.Builder(nil).Error(&wire.Error{Severity: e.Severity, Code: "0A000",
		Message: "cached plan must not change result type", Others: "RRevalidateCachedQuery\x00"}))
}

// Differs reports whether a statement was brought whose columns are not those
// that the client was told, and forgets it. What the client would get are rows
// that it cannot read.
func (t *Tracker) Differs() bool {
	differs := t.differs
	t.differs = false
	return differs
}

// compare asks for the columns of a statement that is brought.
func (t *Tracker) compare(dst []byte, st *Statement) []byte {
	if !t.Compares || st.told == 0 {
		return dst
	}
	t.push(step{kind: 'D', hidden: true, stmt: st})
	return wire.Builder(dst).Message('D', []byte{'S'}, wire.String(st.Name))
}

// described takes the answer to a Describe of a statement.
func (t *Tracker) described(s step, f wire.Frame) {
	if s.kind != 'D' || s.stmt == nil {
		return
	}
	columns, width := columns(f)
	switch {
	case !s.hidden:
		s.stmt.told, s.stmt.width = columns, width
	case columns != s.stmt.told:
		t.differs, t.side.known[s.stmt.Name] = true, 0 // it is brought again
	}
}

// spread appends a Bind of a statement that was brought. A client that asks for
// all columns in one format names it for each that it was told of, so that
// PostgreSQL refuses a statement that has more or fewer by now: see Words.
func spread(dst []byte, bind wire.Frame, width int) []byte {
	body := bind.Body()
	at := resultFormats(body)
	if at == 0 || width < 2 || len(body)-at > 4 {
		return append(dst, bind...)
	}
	format := []byte{0, 0}
	if len(body)-at == 4 {
		format = body[at+2:]
	}
	return wire.Builder(dst).Message('B', body[:at], binary.BigEndian.AppendUint16(nil, uint16(width)), bytes.Repeat(format, width))
}

// resultFormats returns where in a Bind the formats of the results begin, or 0.
func resultFormats(body []byte) int {
	portal, stmt, err := wire.ParseBind(body)
	at := len(portal) + len(stmt) + 2
	if err != nil || len(body) < at+2 {
		return 0
	}
	if at += 2 + 2*int(binary.BigEndian.Uint16(body[at:])); len(body) < at+2 {
		return 0
	}
	n := int(binary.BigEndian.Uint16(body[at:]))
	at += 2
	for range n {
		if len(body) < at+4 {
			return 0
		}
		at += 4 + max(0, int(int32(binary.BigEndian.Uint32(body[at:]))))
	}
	if len(body) < at+2 || len(body) != at+2+2*int(binary.BigEndian.Uint16(body[at:])) {
		return 0
	}
	return at
}

// columns returns what stands for the columns that a RowDescription or NoData
// tells of, and how many they are: their names, types and modifiers, which is
// what PostgreSQL compares.
func columns(f wire.Frame) (hash uint64, width int) {
	h := fnv.New64a()
	h.Write([]byte{f.Type()})
	if f.Type() != 'T' || len(f.Body()) < 2 {
		return h.Sum64(), 0
	}
	const table, typ, size, modifier, format = 6, 4, 2, 4, 2 // bytes of what follows a name
	for b := f.Body()[2:]; ; width++ {
		at := bytes.IndexByte(b, 0) + 1
		if at == 0 || len(b) < at+table+typ+size+modifier+format {
			return h.Sum64(), width
		}
		h.Write(b[:at])
		b = b[at+table:]
		h.Write(b[:typ])
		h.Write(b[typ+size : typ+size+modifier])
		b = b[typ+size+modifier+format:]
	}
}
