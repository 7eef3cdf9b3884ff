package session

import (
	"math"

	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// A Behind is what of a transaction was answered on a standby before the rest of it
// goes elsewhere. PostgreSQL treats what is not the first of its transaction so: a
// VACUUM is refused there, and an isolation level where a snapshot was taken.
type Behind byte

// What was answered.
const (
	Nothing Behind = iota
	Blind          // what takes no snapshot, as SHOW
	Looked         // what takes one
)

// Ran returns what messages have run of the transaction that is open behind them.
// PostgreSQL takes a snapshot to parse a read, and to bind it.
func Ran(messages []Message) (b Behind) {
	for i := range messages {
		switch m := &messages[i]; {
		case m.Verdict != nil && m.Verdict.Block == classify.End:
			b = Nothing
		case m.Verdict != nil && m.Verdict.Looks, m.Stmt != nil && m.Stmt.Verdict.Looks:
			b = Looked
		case m.Kind == 'E' || m.Kind == 'Q':
			b = max(b, Blind)
		}
	}
	return b
}

// What is run in place of that. Neither needs anything.
const (
	lookSQL  = "SELECT"
	blindSQL = "SHOW server_version"
)

// reader is either as the unnamed statement of a backend. No statement of a client
// has its generation.
var reader = &Statement{gen: math.MaxUint64 - 1}

var readerVerdict = &classify.Verdict{Plain: true, Count: 1}

// Begin appends a BEGIN that was answered before.
func (t *Tracker) Begin(dst []byte, sql string) []byte {
	dst = t.Hidden(dst, sql)
	t.steps[len(t.steps)-1].begins = true
	return dst
}

// Begun reports whether the client stands in a block whose BEGIN is not answered by the
// backend: it knows of it, and of no end.
func (t *Tracker) Begun() bool {
	begun := false
	for _, s := range t.steps[t.head:] {
		begun = s.begins || begun && (s.verdict == nil || s.verdict.Block != classify.End)
	}
	return begun
}

// Look has the block that was just opened take a snapshot.
func (t *Tracker) Look(dst []byte) []byte { return t.Hidden(dst, lookSQL) }

// Behind appends what stands for b, ahead of the rest of its group. The client sees
// nothing of it.
func (t *Tracker) Behind(dst []byte, b Behind) []byte {
	if b == Nothing || t.Skipping() {
		return dst
	}
	sql := lookSQL
	if b == Blind {
		sql = blindSQL
	}
	t.push(step{kind: 'P', hidden: true, stmt: reader, was: t.side.known[""]})
	t.side.known[""] = reader.gen
	t.push(step{kind: 'B', hidden: true, stmt: reader})
	t.push(step{kind: 'E', hidden: true, stmt: reader, verdict: readerVerdict})
	t.push(step{kind: 'C', hidden: true})
	portal, none := wire.String(emitPortal), []byte{0, 0}
	out := wire.Builder(dst).Message('P', wire.String(""), wire.String(sql), none)
	out = out.Message('B', portal, wire.String(""), none, none, none)
	return out.Message('E', portal, make([]byte, 4)).Message('C', []byte{'P'}, portal)
}
