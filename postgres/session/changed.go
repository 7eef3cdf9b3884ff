package session

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"strings"

	"meridian/postgres/wire"
)

// Words returns a backend's message as PostgreSQL would have said it if the
// session stood on one backend alone. What is not there since it could not be brought
// fails as that did. A statement that was brought to a backend
// after its table had changed has other columns there than the client was told,
// and a Bind that names a format for each fails as malformed. PostgreSQL would
// have said that the plan must not change, for which drivers prepare anew.
func (t *Tracker) Words(f wire.Frame) wire.Frame {
	switch {
	case f.Type() != 'E' || t.Idle():
		return f
	case !t.steps[t.head].brought:
		return t.instead(t.steps[t.head], f)
	}
	e, err := wire.ParseError(f.Body())
	if err != nil || e.Code != "08P01" || !strings.HasPrefix(e.Message, "bind message ") || t.steps[t.head].stmt.other == 0 && !strings.Contains(e.Message, "result formats but query has") {
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
	return t.describe(dst, st)
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
	case columns == s.stmt.told:
		s.stmt.other = 0
	case t.Compares:
		t.differs, t.side.known[s.stmt.Name], s.stmt.since = true, 0, 0 // it is brought again
	default:
		s.stmt.other = max(2, width+1) // PostgreSQL takes one format, and that for all columns
	}
}

// definitions returns how many definitions were heard of, or sent.
func (s *State) definitions() uint64 {
	if s.Definitions == nil {
		return s.defined + 1
	}
	return s.defined + s.Definitions.Load() + 1
}

// Doubts reports whether a group needs statements that are to be brought, and were
// described before a definition was heard of.
func (t *Tracker) Doubts(g *Group) bool {
	for i := range g.Messages {
		if t.doubts(&g.Messages[i]) {
			return !t.mid && !t.Skipping()
		}
	}
	return false
}

func (t *Tracker) doubts(m *Message) bool {
	st := m.Stmt
	return (m.Kind == 'B' || m.Kind == 'D') && st != nil && st.told != 0 && st.since != t.state.definitions() && !st.passed && t.side.known[st.Name] != st.gen
}

// Ask brings those statements and asks for their columns, before the group is sent:
// what is sent along has run when the answer comes. In a block an error of theirs is
// the group's.
func (t *Tracker) Ask(dst []byte, g *Group) []byte {
	alone := t.Status == 'I'
	for i := range g.Messages {
		if m := &g.Messages[i]; t.doubts(m) {
			m.Stmt.since = t.state.definitions()
			t.asking = alone
			dst = t.describe(t.inject(dst, m.Stmt), m.Stmt)
			t.asking = false
		}
	}
	if t.mid = !alone; t.mid {
		return wire.Builder(dst).Message('H')
	}
	t.push(step{kind: 'S', hidden: true})
	return wire.Builder(dst).Sync()
}

func (t *Tracker) describe(dst []byte, st *Statement) []byte {
	t.push(step{kind: 'D', hidden: true, stmt: st})
	return wire.Builder(dst).Message('D', []byte{'S'}, wire.String(st.Name))
}

// noValues are the formats and the values of a Bind that has none.
var noValues = []byte{0, 0, 0, 0}

// formats are so many result formats.
func formats(format []byte, n int) []byte {
	if format == nil {
		format = []byte{0, 0}
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(n)), bytes.Repeat(format, n)...)
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
	var format []byte
	if len(body)-at == 4 {
		format = body[at+2:]
	}
	return wire.Builder(dst).Message('B', body[:at], formats(format, width))
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
