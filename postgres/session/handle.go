package session

import (
	"encoding/binary"
	"math"

	"meridian/postgres/wire"
)

// EmitSQL leaves a transaction's handle in the log. The handle is its parameter.
const EmitSQL = "SELECT pg_catalog.pg_logical_emit_message(true, 'meridian', $1)"

// emitter is EmitSQL as the unnamed statement of a backend. No statement of a
// client has its generation.
var emitter = &Statement{gen: math.MaxUint64}

// emitPortal is a portal of a name that no client uses.
const emitPortal = "meridian_handle"

// typeText is the object id of PostgreSQL's type text.
const typeText = 25

// Emit appends the statement that leaves a handle in the transaction of what
// follows in the same group. The client sees nothing of it unless it fails: then
// its error is the group's. EmitSQL is not parsed again while it is still the
// backend's unnamed statement, which neither shows in pg_prepared_statements nor
// falls to DEALLOCATE ALL.
func (t *Tracker) Emit(dst []byte, handle string) []byte {
	if t.Skipping() {
		return dst
	}
	out := wire.Builder(dst)
	if t.side.known[""] != emitter.gen || t.parsing() {
		t.push(step{kind: 'P', hidden: true, stmt: emitter, was: t.side.known[""]})
		t.side.known[""] = emitter.gen
		out = out.Message('P', wire.String(""), wire.String(EmitSQL), []byte{0, 1}, binary.BigEndian.AppendUint32(nil, typeText))
	}
	t.push(step{kind: 'B', hidden: true, stmt: emitter})
	t.push(step{kind: 'E', hidden: true, stmt: emitter})
	portal, none := wire.String(emitPortal), []byte{0, 0}
	out = out.Message('B', portal, wire.String(""), none, []byte{0, 1}, binary.BigEndian.AppendUint32(nil, uint32(len(handle))), []byte(handle), none)
	return out.Message('E', portal, make([]byte, 4))
}

// parsing reports whether emitter is on its way to the backend, and may fail.
func (t *Tracker) parsing() bool {
	for _, s := range t.steps[t.head:] {
		if s.kind == 'P' && s.stmt == emitter {
			return true
		}
	}
	return false
}

// EmitAlone appends the same as a group of its own, for the transaction block
// that is open. In a failed block it fails, and nobody sees.
func (t *Tracker) EmitAlone(dst []byte, handle string) []byte {
	return t.Hidden(dst, "SELECT pg_catalog.pg_logical_emit_message(true, 'meridian', '"+handle+"')")
}

// Guard appends a Sync that the client did not send. It goes behind a Query that
// follows Emit: should that fail, PostgreSQL passes over the Query and would
// answer nothing.
func (t *Tracker) Guard(dst []byte) []byte {
	t.push(step{kind: 'S', hidden: true, guard: true})
	return wire.Builder(dst).Sync()
}

// Committed reports whether the group that was last answered left no block open
// and was not undone.
func (t *Tracker) Committed() bool { return t.kept }

// Unseen reports whether the client does not see the reply that comes next.
func (t *Tracker) Unseen() bool { return !t.Idle() && t.steps[t.head].hidden }

// Quiet reports whether everything that the client sent was answered. A guard
// may still be owed, which nobody waits for.
func (t *Tracker) Quiet() bool {
	for _, s := range t.steps[t.head:] {
		if !s.guard || !s.hidden {
			return false
		}
	}
	return true
}
