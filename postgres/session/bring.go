package session

import (
	"bytes"
	"math"
	"strings"

	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// A prepared statement is brought to a backend that lacks it when it is needed there.
// That may fail: its table is gone. PostgreSQL says so where the statement is bound or
// executed. What Bind names is brought right before it, as a part of its group. What a
// text names, as EXECUTE does, is brought ahead of the group, where nobody sees that it
// fails. Then the text finds no such statement, for which it is told why.

// inject sends a statement that the client prepared elsewhere.
func (t *Tracker) inject(dst []byte, st *Statement) []byte {
	if _, there := t.side.known[st.Name]; there && st.Name != "" {
		dst = t.close(dst, st.Name)
	}
	t.side.brought[st.Name] = st.gen
	if st.Frame == nil {
		dst = t.prepare(dst, st)
	} else {
		t.push(step{kind: 'P', hidden: true, stmt: st, brings: true, was: t.side.known[st.Name]})
		t.side.known[st.Name] = st.gen
		dst = append(dst, st.Frame...)
	}
	return t.compare(dst, st)
}

// preparer is the name of PREPARE as a statement, and as a portal, of a backend. No
// client uses it.
const preparer = "meridian_prepare"

// prepare runs the PREPARE that made a statement. It alone knows the parameters' types.
func (t *Tracker) prepare(dst []byte, st *Statement) []byte {
	if _, there := t.side.known[preparer]; there || t.brings > 0 { // one that fails leaves it there
		dst = t.close(dst, preparer)
	}
	made := &Statement{Name: preparer, gen: math.MaxUint64 - 2}
	t.push(step{kind: 'P', hidden: true, stmt: made, was: t.side.known[preparer]})
	t.side.known[preparer] = made.gen
	t.push(step{kind: 'B', hidden: true, stmt: made})
	t.push(step{kind: 'E', hidden: true, stmt: st, brings: true, was: t.side.known[st.Name], verdict: readerVerdict})
	t.side.known[st.Name] = st.gen
	t.push(step{kind: 'C', hidden: true})
	name, none := wire.String(preparer), []byte{0, 0}
	out := wire.Builder(dst).Message('P', name, wire.String(st.SQL), none)
	out = out.Message('B', name, name, none, none, none)
	out = out.Message('E', name, make([]byte, 4)).Message('C', []byte{'P'}, name)
	return t.close(out, preparer)
}

// placeholderGen is that of all placeholders.
const placeholderGen = math.MaxUint64 - 3

// placeholder returns what has the name of a statement where no more than that is
// needed, as for DEALLOCATE. It cannot fail, and is replaced by what it stands for.
func placeholder(st *Statement) *Statement {
	return &Statement{Name: st.Name, SQL: "PREPARE " + ident(st.Name) + " AS SELECT", gen: placeholderGen}
}

// wants returns what a backend is to be given so that a name means there what it does
// for the session; nil: nothing, it is dropped. only says that the name is all.
func (t *Tracker) wants(name string, only bool) (st *Statement, lacks bool) {
	gen, there := t.side.known[name]
	switch st = t.state.lookup([]byte(name)); {
	case st == nil:
		return nil, there && gen != 0 // dropped elsewhere
	case only && gen == placeholderGen:
		return st, false
	case only:
		return placeholder(st), t.lacks(st)
	}
	return st, t.lacks(st)
}

func (t *Tracker) give(dst []byte, name string, st *Statement) []byte {
	if st == nil {
		return t.close(dst, name)
	}
	return t.inject(dst, st)
}

// Bring sends what the backend lacks of the prepared statements that a message's text
// names, amid a group: they come before the text is bound, which finds them, and fail
// as its Execute would.
func (t *Tracker) Bring(dst []byte, m *Message) []byte {
	if m.Kind == 'P' || m.Stmt == nil || m.Stmt.Verdict.Lists || m.Kind == 'D' && m.Stmt.Verdict.NameOnly() || t.Skipping() { // of what is listed some may not be there any more
		return dst
	}
	for _, x := range t.lacking(m.Stmt.Verdict, nil) {
		t.standing = m.Kind == 'B'
		dst = t.give(dst, x.name, x.st)
		t.standing = false
	}
	return dst
}

// owes has the client told that the Bind succeeded for which something was brought in
// vain. In a block that has failed the Bind would have failed too.
func (t *Tracker) owes(s step, f wire.Frame) {
	if e, err := wire.ParseError(f.Body()); !s.stands || err == nil && e.Code == "25P02" {
		return
	}
	for _, next := range t.steps[t.head:] {
		if !next.hidden && next.kind == 'B' {
			t.owed = wire.Builder(t.owed).Message('2')
			return
		}
	}
}

// Owed returns what goes before the error that was just taken.
func (t *Tracker) Owed() []byte {
	owed := t.owed
	t.owed = nil
	return owed
}

// Misses reports whether the backend is to be given prepared statements that a
// group's texts name.
func (t *Tracker) Misses(messages []Message) bool {
	for i := range messages {
		if v := messages[i].text(); v != nil && len(t.lacking(v, messages)) > 0 {
			return true
		}
	}
	return false
}

// text returns the verdict on the text that a message runs, or has described.
func (m *Message) text() *classify.Verdict {
	switch {
	case m.Verdict != nil:
		return m.Verdict
	case m.Stmt != nil && m.Kind == 'D' && !m.Stmt.Verdict.NameOnly(): // the columns of EXECUTE are those of what it names
		return m.Stmt.Verdict
	}
	return nil
}

// Ahead brings the prepared statements that a group's texts name, before the group is
// sent. A block that is open, or may be, stands whatever becomes of that.
func (t *Tracker) Ahead(dst []byte, messages []Message) []byte {
	for i := range messages {
		v := messages[i].text()
		if v == nil {
			continue
		}
		for _, x := range t.lacking(v, messages) {
			dst = t.aside(dst, x.name, x.st)
		}
	}
	return dst
}

// aside brings a statement in a group of its own. PREPARE outlives its savepoint.
func (t *Tracker) aside(dst []byte, name string, st *Statement) []byte {
	answered := t.Idle()
	block := t.Status != 'I' || !answered
	if block {
		dst = t.harmless(dst, "SAVEPOINT "+preparer)
	}
	t.asking = true
	from := len(t.steps)
	dst = t.give(dst, name, st)
	for i := from; i < len(t.steps); i++ { // the block may fail of what is not answered yet
		t.steps[i].failing = t.steps[i].brings && (!answered || t.Status == 'E')
	}
	t.asking = false
	t.push(step{kind: 'S', hidden: true})
	if dst = wire.Builder(dst).Sync(); block {
		dst = t.harmless(t.harmless(dst, "ROLLBACK TO "+preparer), "RELEASE "+preparer)
	}
	return dst
}

// harmless appends what writes nothing.
func (t *Tracker) harmless(dst []byte, sql string) []byte {
	dst = t.Hidden(dst, sql)
	t.steps[len(t.steps)-1].verdict = readerVerdict
	return dst
}

// A missed is why a statement could not be brought.
type missed struct {
	gen uint64
	why wire.Frame
}

// misses notes why a statement could not be brought ahead of what names it.
func (t *Tracker) misses(f wire.Frame) {
	s := t.steps[t.head]
	if e, err := wire.ParseError(f.Body()); !s.asks || !s.brings || err != nil || e.Code == "25P02" {
		return
	}
	if t.missed == nil {
		t.missed = map[string]missed{}
	}
	t.missed[s.stmt.Name] = missed{s.stmt.gen, bytes.Clone(f)}
}

// brought notes that what is at the head succeeded.
func (t *Tracker) brought(s step) {
	if s.brings {
		delete(t.missed, s.stmt.Name)
	}
}

// instead returns why what a text names is not there, if f says that it is not.
func (t *Tracker) instead(s step, f wire.Frame) wire.Frame {
	if s.verdict == nil || len(t.missed) == 0 {
		return f
	}
	e, err := wire.ParseError(f.Body())
	for _, name := range s.verdict.Uses {
		m, ok := t.missed[name]
		if st := t.state.lookup([]byte(name)); ok && st != nil && st.gen == m.gen && err == nil && e.Code == "26000" && strings.Contains(e.Message, name) {
			return m.why
		}
	}
	return f
}

// unseen reports whether the client sees nothing of a step, not even that it fails.
func (s *step) unseen() bool { return s.hidden && (ends(s.kind) || s.asks) }

// Aside reports whether what comes next is of something that was sent ahead of what
// the client sent.
func (t *Tracker) Aside() bool { return !t.Idle() && t.steps[t.head].unseen() }
