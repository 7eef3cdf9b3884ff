package session

import (
	"slices"

	"meridian/postgres/classify"
)

// After an error in the extended protocol PostgreSQL passes over all messages up
// to the next Sync: also over a Query or a FunctionCall, which end a group where
// no error has happened.

// Loose reports whether what is sent next may be passed over for an error in what
// was sent before: in messages that no Sync follows, or in COPY, which ignores the
// Sync that does.
func (t *Tracker) Loose() bool { return t.loose > 0 || t.mid || t.Skipping() }

// Failed reports whether a block has failed, and nothing that is on its way ends it.
func (t *Tracker) Failed() bool {
	ends := slices.ContainsFunc(t.steps[t.head:], func(s step) bool {
		return !s.hidden && (s.kind == 'Q' || s.kind == 'E') && (s.verdict == nil || s.verdict.Block != classify.NoBlock)
	})
	return t.Status == 'E' && !ends
}

// drops notes that a message failed: Parse drops the statement without a name first.
func (t *Tracker) drops(s step) {
	if s.kind != 'P' || s.stmt.Name != "" {
		return
	}
	delete(t.side.known, "")
	if !s.hidden {
		t.state.name("", nil)
	}
}

// Passed reports whether what ends a group of the client's has been passed over, or
// may be, since it was last asked: it has no ReadyForQuery.
func (t *Tracker) Passed() bool {
	passed := t.passed
	t.passed = false
	return passed
}

// undo makes what is noted of the backend's statements what it was before what is
// at the head was sent.
func (t *Tracker) undo() {
	for i := len(t.steps) - 1; i >= t.head; i-- {
		if name, ok := t.steps[i].touches(); ok {
			t.side.known[name] = t.steps[i].was
		}
	}
}

// redo notes anew what is on its way to the backend, from the head on.
func (t *Tracker) redo() {
	for i := t.head; i < len(t.steps); i++ {
		s := &t.steps[i]
		name, ok := s.touches()
		switch s.was = t.side.known[name]; {
		case ok && !s.closes && s.kind != 'Q':
			t.side.known[name] = s.stmt.gen
		case ok:
			delete(t.side.known, name)
		}
	}
}

// touches returns the name of the statement that a message makes or drops.
func (s *step) touches() (name string, ok bool) {
	switch {
	case s.kind == 'P', s.kind == 'E' && s.brings:
		return s.stmt.Name, true
	case s.closes:
		return s.name, true
	}
	return "", s.kind == 'Q'
}

// pass notes that a message was passed over.
func (t *Tracker) pass(s step) {
	if s.loose {
		t.loose--
	}
	if s.brings {
		t.brings--
	}
	switch {
	case s.kind == 'P' && !s.hidden:
		s.stmt.passed = true
		t.state.unexpect(s.stmt.Name, s.stmt.gen)
	case s.kind == 'Q' && s.hidden: // it may have been one of the settings, which are set again, or a PREPARE
		t.side.applied = 0
		for name := range t.side.known {
			t.side.known[name] = 0
		}
	case s.kind == 'Q':
		t.state.undo("", s.id)
	case s.closes && !s.hidden:
		t.state.undo(s.name, s.id)
	}
}

// lacks reports whether the backend may lack a statement that it needs next: where it
// was brought in a group that is not answered, behind something of the client's
// that may fail, or in a block that has failed, it may have been passed over.
func (t *Tracker) lacks(st *Statement) bool {
	if t.side.known[st.Name] != st.gen {
		return true
	}
	if t.brings == 0 {
		return false
	}
	behind, brought, unsure := false, false, false
	for _, s := range t.steps[t.head:] {
		switch {
		case ends(s.kind):
			behind, unsure = false, unsure || brought
		case s.brings && s.stmt == st:
			brought, unsure = behind || s.failing, false
		case !s.hidden:
			behind = true
		}
	}
	return unsure
}

// unexpect undoes what was expected of a name for a message that was passed over.
func (s *State) unexpect(name string, id uint64) {
	if e, ok := s.ahead[name]; ok && e.id == id {
		delete(s.ahead, name)
	}
}

// undo notes that a message which drops the statement of a name was passed over.
func (s *State) undo(name string, id uint64) {
	s.unexpect(name, id)
	s.undone = append(s.undone, id)
}

// passOver notes that a message is not sent: the backend would pass over it.
func (t *Tracker) passOver(m Message) {
	switch m.Kind {
	case 'P':
		m.Stmt.passed = true
		t.state.unexpect(m.Stmt.Name, m.Stmt.gen)
	case 'Q':
		t.state.undo("", m.id)
	case 'C':
		if m.Frame.Body()[0] == 'S' {
			t.state.undo(m.Name, m.id)
		}
	}
	t.passed = t.passed || m.Ends()
}

// again has a message use what a statement's name means, where the Parse that it
// was read with was passed over since, or what that made was dropped.
func (t *Tracker) again(m *Message) {
	if m.Taken != nil && (m.Taken.passed || m.Taken.gone) {
		m.Taken = t.state.statements[m.Taken.Name]
	}
	switch {
	case m.Kind == 'P':
		m.Stmt.passed = false
		switch {
		case m.Taken != nil || m.Stmt.Name == "":
		case slices.Contains(t.state.undone, m.without):
			m.Taken = t.state.statements[m.Stmt.Name]
		default:
			m.Taken = t.sinceMade(m.Stmt.Name)
		}
	case m.Kind == 'B' || m.Kind == 'D':
		if t.dropped(m) || t.state.outdated(m) {
			m.Stmt = t.state.statements[m.Name]
		}
		if m.Stmt == nil && m.names() {
			m.Stmt = t.sinceMade(m.Name)
		}
	}
}

// sinceMade returns the statement of a name that nothing had when a message was read, and
// that a PREPARE before it, which was answered since, has made on this backend; or nil.
func (t *Tracker) sinceMade(name string) *Statement {
	if st := t.state.statements[name]; st != nil && t.side.known[name] == st.gen {
		return st
	}
	return nil
}

// dropped reports whether the named statement that a message binds, or describes, was
// dropped after it was read.
func (t *Tracker) dropped(m *Message) bool {
	if m.Stmt == nil || m.Stmt.Name == "" || m.Kind == 'D' && m.Frame.Body()[0] == 'P' {
		return false
	}
	return m.Stmt.gone && t.state.statements[m.Stmt.Name] == nil
}

// outdated reports whether what a message names was to be made, or dropped, by one
// that was passed over since.
func (s *State) outdated(m *Message) bool {
	return m.Stmt != nil && m.Stmt.passed || m.Stmt == nil && m.without != 0 && slices.Contains(s.undone, m.without)
}

// Reread reads a group's messages again if a message that they were read with was
// passed over since. The group was sent nowhere.
func (s *State) Reread(g *Group) {
	stale := false
	for i := range g.Messages {
		stale = stale || g.Messages[i].Kind != 'P' && s.outdated(&g.Messages[i])
	}
	if !stale {
		return
	}
	for _, m := range g.Messages {
		switch {
		case m.Kind == 'P':
			s.unexpect(m.Stmt.Name, m.Stmt.gen)
		case m.Kind == 'Q' || m.Kind == 'C' && m.Frame.Body()[0] == 'S':
			s.unexpect(m.Name, m.id)
		}
	}
	for i, m := range g.Messages {
		again, err := s.Read(m.Frame)
		if err == nil { // as before
			g.Messages[i] = again
		}
	}
}
