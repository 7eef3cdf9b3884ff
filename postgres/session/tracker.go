package session

import (
	"bytes"

	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// A step is a message that was sent to a backend and is not answered yet.
type step struct {
	kind    byte
	hidden  bool // the client did not send it and must not see its reply
	stmt    *Statement
	name    string // of the statement that Close drops
	closes  bool   // a Close of a statement, not of a portal
	brought bool   // a Bind of a statement that the client prepared elsewhere
	begins  bool   // a hidden BEGIN, which the client was answered before
	guard   bool   // a hidden Sync behind a Query: it answers if the Query was passed over
	loose   bool   // see Loose
	asks    bool   // of the same, ahead of its group: nobody sees that it fails
	failing bool   // of the same, in a block that has failed, or may have
	stands  bool   // of the same, for a Bind that would not fail: see Bring
	brings  bool   // a hidden Parse, or Execute of PREPARE, of a statement that the client prepared elsewhere
	ended   bool   // see Message
	was     uint64 // what the backend had of the name before Parse, Close or Query
	id      uint64 // of Close and Query: see expected
	verdict *classify.Verdict
}

// A Tracker follows the conversation with one backend.
type Tracker struct {
	Status byte // of the last ReadyForQuery: I, T or E
	// Compares says that the columns of what is brought are compared with those
	// that the client was told: see Differs.
	Compares bool

	state    *State
	side     *Side
	steps    []step
	head     int
	sent     int    // groups
	failed   bool   // the group at the head had an error
	mid      bool   // the last message that was sent ends no group
	loose    int    // steps that are
	brings   int    // steps that do
	asking   bool   // what is sent asks: see Ask
	standing bool   // what is sent stands for a Bind
	owed     []byte // see Owed
	passed   bool   // see Passed
	kept     bool   // see Committed
	copying  bool   // what is at the head takes COPY data
	tag      string
	effects  []classify.Effect // of the group at the head
	ddl      bool              // something since TookDDL may have changed the catalogues
	differs  bool              // see Differs
	missed   map[string]missed // see Ahead
}

// NewTracker returns the Tracker of an idle backend.
func NewTracker(state *State, side *Side) *Tracker {
	return &Tracker{Status: 'I', state: state, side: side}
}

// Idle reports whether everything was answered.
func (t *Tracker) Idle() bool { return t.head == len(t.steps) }

// Open reports whether the last group that was sent has not ended.
func (t *Tracker) Open() bool {
	last := len(t.steps) - 1
	for last >= t.head && isData(t.steps[last].kind) {
		last--
	}
	return last >= t.head && !ends(t.steps[last].kind)
}

// Over reports whether the group at the head has ended the block, and goes on.
func (t *Tracker) Over() bool { return t.Idle() && !t.failed && t.tag != "" }

// TookDDL reports whether a definition has succeeded since it was last asked.
func (t *Tracker) TookDDL() bool {
	took := t.ddl
	t.ddl = false
	return took
}

// Pending returns how many groups have ended and wait for ReadyForQuery, and
// whether an answer is owed to something that may have written.
func (t *Tracker) Pending() (groups int, wrote bool) {
	for _, s := range t.steps[t.head:] {
		if ends(s.kind) && !s.hidden {
			groups++
		}
		if s.verdict != nil && !s.verdict.Plain {
			wrote = true
		}
		if (s.kind == 'E' || s.kind == 'Q') && s.verdict == nil {
			wrote = true
		}
	}
	return groups, wrote
}

func ends(kind byte) bool { return kind == 'S' || kind == 'Q' || kind == 'F' }

// Hidden appends a simple query whose replies the client must not see.
func (t *Tracker) Hidden(dst []byte, sql string) []byte {
	t.push(step{kind: 'Q', hidden: true, was: t.side.known[""]})
	delete(t.side.known, "")
	return wire.Builder(dst).Query(sql)
}

// Encode appends a message to dst, before it the prepared statements that the
// backend lacks, and expects the replies.
func (t *Tracker) Encode(dst []byte, m Message) []byte {
	t.side.fresh = false
	if t.Skipping() && m.Kind != 'S' {
		t.passOver(m)
		return dst
	}
	t.again(&m)
	closes, was := false, uint64(0)
	switch m.Kind {
	case 'P':
		if _, there := t.side.known[m.Stmt.Name]; there && m.Stmt.Name != "" && m.Taken == nil {
			dst = t.close(dst, m.Stmt.Name)
		}
		if m.Taken != nil && t.lacks(m.Taken) && !t.dropping() {
			dst = t.inject(dst, m.Taken) // so that the backend refuses the name
		}
		was = t.side.known[m.Stmt.Name]
		t.side.known[m.Stmt.Name] = m.Stmt.gen
	case 'B', 'D':
		_, there := t.side.known[m.Name]
		switch {
		case m.Stmt != nil && t.lacks(m.Stmt) && m.Kind == 'D' && t.Status == 'E' && m.Stmt.mute():
			dst = t.inject(dst, quiet(m.Stmt))
		case m.Stmt != nil && t.lacks(m.Stmt):
			dst = t.inject(dst, m.Stmt)
		case m.Stmt == nil && there && (m.Kind == 'B' || m.Frame.Body()[0] == 'S'): // dropped elsewhere, or Emit's
			dst = t.close(dst, m.Name)
		}
	case 'C':
		if closes = m.Frame.Body()[0] == 'S'; closes {
			was = t.side.known[m.Name]
			delete(t.side.known, m.Name)
		}
	case 'Q':
		was = t.side.known[""]
		delete(t.side.known, "")
	}
	loose := t.mid && m.Kind != 'S' && m.Ends() || m.Verdict != nil && m.Verdict.Copies
	t.mid = !m.Ends()
	brought := m.Stmt != nil && (m.Kind == 'B' || m.Kind == 'D' && m.Stmt.other > 0) && t.side.brought[m.Stmt.Name] == m.Stmt.gen
	stmt := m.Stmt
	switch {
	case m.Shows != nil:
		stmt = m.Shows
		stmt.since = t.state.definitions()
	case m.Kind == 'D' && stmt != nil:
		stmt.since = t.state.definitions()
	case m.Verdict != nil && m.Verdict.DDL:
		t.state.defined++
	}
	if m.Kind != 'H' {
		t.push(step{kind: m.Kind, stmt: stmt, name: m.Name, closes: closes, brought: brought, verdict: m.Verdict, loose: loose, was: was, id: m.id, ended: m.Ended})
	}
	switch {
	case brought && m.Stmt.other > 0:
		return wire.Builder(dst).Message('B', wire.String(""), wire.String(m.Stmt.Name), noValues, formats(nil, m.Stmt.other))
	case brought:
		return spread(dst, m.Frame, m.Stmt.width)
	}
	return append(dst, m.Frame...)
}

func (t *Tracker) close(dst []byte, name string) []byte {
	t.push(step{kind: 'C', hidden: true, name: name, closes: true, was: t.side.known[name]})
	delete(t.side.known, name)
	return wire.Builder(dst).CloseStatement(name)
}

func (t *Tracker) push(s step) {
	if t.head == len(t.steps) {
		t.steps, t.head = t.steps[:0], 0
	}
	s.asks, s.stands = t.asking, t.standing
	t.steps = append(t.steps, s)
	if ends(s.kind) {
		t.sent++
	}
	if s.loose {
		t.loose++
	}
	if s.brings {
		t.brings++
		t.steps[len(t.steps)-1].failing = t.Status == 'E' || t.mayFail()
	}
}

// mayFail reports whether what is sent next may be in a block that fails in a group that
// is not answered.
func (t *Tracker) mayFail() bool {
	block, groups := t.Status == 'T', false
	for _, s := range t.steps[t.head:] {
		block = block || s.verdict != nil && s.verdict.Block == classify.Begin
		groups = groups || ends(s.kind)
	}
	return block && groups
}

// Sent returns how many groups were sent, hidden ones too.
func (t *Tracker) Sent() int { return t.sent }

// Reply takes a backend's message and reports whether the client sees it.
func (t *Tracker) Reply(f wire.Frame) (show bool) {
	if t.Idle() {
		// Between two messages of a group a time-out may strike.
		t.failed = t.failed || t.mid && f.Type() == 'E'
		return f.Type() != 'Z' && (f.Type() != 'E' || t.mid)
	}
	s := t.steps[t.head]
	switch f.Type() {
	case 'N', 'S':
		return !s.hidden && !(s.ended && f.Type() == 'N')
	case 'A':
		return true
	case '1':
		if !s.hidden && s.stmt != nil {
			t.state.name(s.stmt.Name, s.stmt)
			t.state.unexpect(s.stmt.Name, s.stmt.gen)
		}
		t.brought(s)
		t.advance()
	case '2', 'n', 's', 'I':
		t.described(s, f)
		if s.kind != 'Q' {
			t.advance()
		}
	case '3':
		if !s.hidden && s.closes {
			t.state.name(s.name, nil)
			t.state.unexpect(s.name, s.id)
		}
		t.advance()
	case 'T':
		t.described(s, f)
		if s.kind == 'D' {
			t.advance()
		}
	case 'G':
		t.takesData()
	case 'C':
		if s.ended { // there was no block to end here
			t.steps[t.head].ended = false
			return false
		}
		t.complete(s, f)
	case 'E':
		t.misses(f)
		t.owes(s, f)
		t.tookData(f)
		t.fail()
		// An injected Parse that fails stands for the statement that needed it.
		return !s.unseen()
	case 'Z':
		t.ready(s, f)
	}
	return !s.hidden
}

// complete takes a CommandComplete.
func (t *Tracker) complete(s step, f wire.Frame) {
	if s.hidden {
		if t.brought(s); s.kind == 'E' {
			t.advance()
		}
		return
	}
	t.tag = tagOf(f.Body())
	t.tookData(f)
	if s.kind == 'E' {
		t.advance()
		if s.verdict != nil {
			t.collect(s.verdict)
		}
	}
	if t.tag != "" {
		t.over(s)
	}
}

// over settles what a block did whose end may have more behind it in its group.
func (t *Tracker) over(s step) {
	switch {
	case t.tag != "ROLLBACK":
		t.state.block = append(t.state.block, t.effects...)
		if t.effects = nil; len(t.state.block) > 0 {
			t.state.commit()
			t.state.ran(t.side)
		}
	case s.kind == 'E' && s.verdict != nil && s.verdict.Block == classify.End:
		t.effects = nil
		t.state.rollback(false)
	case s.kind == 'Q': // which may be ROLLBACK TO
		t.state.rollback(true)
	}
}

// tagOf returns of a command's tag what matters here: whether, and how, it ended a
// transaction.
func tagOf(body []byte) string {
	body = bytes.TrimRight(body, "\x00")
	for _, tag := range []string{"COMMIT", "PREPARE TRANSACTION"} {
		if len(body) >= len(tag) && string(body[:len(tag)]) == tag {
			return tag
		}
	}
	if string(body) == "ROLLBACK" {
		return "ROLLBACK"
	}
	return ""
}

// collect keeps the effects of what succeeded until its group does.
func (t *Tracker) collect(v *classify.Verdict) {
	t.ddl = t.ddl || v.DDL
	for _, e := range v.Effects {
		if e.Undone() {
			t.effects = append(t.effects, e)
			continue
		}
		t.state.apply([]classify.Effect{e})
		t.undo()
		switch e.Act {
		case classify.Prepare:
			t.side.known[e.Name] = t.state.statements[e.Name].gen
		case classify.Deallocate:
			delete(t.side.known, e.Name)
		case classify.DeallocateAll, classify.DiscardAll:
			t.side.forgetNames()
			t.effects = nil
		}
		t.redo()
		if e.Act == classify.DiscardAll {
			t.state.ran(t.side)
		}
	}
}

// fail takes an ErrorResponse: the backend skips to the end of the group.
func (t *Tracker) fail() {
	t.failed = true
	if ends(t.steps[t.head].kind) {
		return
	}
	passed := false
	t.undo()
	t.drops(t.steps[t.head])
	for ; t.head < len(t.steps) && t.steps[t.head].kind != 'S'; t.head++ {
		s := t.steps[t.head]
		passed = passed || ends(s.kind) && !s.hidden
		t.pass(s)
	}
	t.redo()
	t.passed = t.passed || passed || t.head == len(t.steps)
	if passed && t.head < len(t.steps) && t.steps[t.head].guard {
		t.steps[t.head].hidden = false
	}
}

// Skipping reports whether the backend passes over all messages until Sync.
func (t *Tracker) Skipping() bool { return t.failed && t.Idle() }

// ready takes a ReadyForQuery, which ends the group at the head.
func (t *Tracker) ready(s step, f wire.Frame) {
	before := t.Status
	t.advance()
	if len(f.Body()) == 1 {
		t.Status = f.Body()[0]
	}
	if s.kind == 'Q' && !t.failed && s.verdict != nil {
		t.collect(s.verdict)
	}
	if s.kind == 'Q' && !s.hidden {
		t.state.name("", nil)
		t.state.unexpect("", s.id)
	}
	if s.hidden {
		t.failed, t.tag = false, ""
		return
	}
	t.kept = !t.failed && t.Status == 'I' && t.tag != "ROLLBACK"
	t.settle(before)
	t.failed, t.tag, t.effects = false, "", nil
}

// settle decides what of the group's effects is lasting.
func (t *Tracker) settle(before byte) {
	if t.failed {
		t.effects = nil
	}
	logged := len(t.effects) > 0
	switch {
	case t.tag == "COMMIT", t.tag == "PREPARE TRANSACTION":
		logged = logged || len(t.state.block) > 0
		t.state.block = append(t.state.block, t.effects...)
		t.state.commit()
	case t.tag == "ROLLBACK":
		t.state.rollback(t.Status == 'T')
	case t.Status != 'I':
		t.state.block = append(t.state.block, t.effects...)
		return
	case before == 'I' || t.Status == 'I':
		t.state.apply(t.effects)
		t.state.block = nil
	}
	if logged {
		t.state.ran(t.side)
	}
}
