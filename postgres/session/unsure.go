package session

import (
	"slices"

	"meridian/postgres/classify"
)

// What a name means may rest on what is not answered yet: a Parse, Close or Query may be
// passed over, and DEALLOCATE by text is known by its answer. A backend that is the
// session's only one finds the same as PostgreSQL would. One that lacks something, or has
// something of old, must not be sent what names it before that is known.

// Unsure reports whether a group makes a statement of a name that the backend lacks and
// that is taken, unless what is not answered yet drops it; or uses one, or makes one of
// its name, that is not answered for: if that was passed over the backend has another
// there; or names one that the backend lacks, and may be passed over, or is dropped by
// what is not answered yet; or lists all of them behind that.
func (t *Tracker) Unsure(g *Group) bool {
	var made *Statement
	for i := range g.Messages {
		switch m := &g.Messages[i]; {
		case m.lists() && !t.Idle(): // what there is to be listed is not known
			return true
		case m.Taken != nil && t.lacks(m.Taken) && t.dropping():
			return true
		case m.Taken != nil && m.Taken != made && !t.Idle() && !t.state.Has(m.Taken) && t.hides(m.Taken.Name, m.Taken):
			return true
		case m.Stmt != nil && m.Kind != 'P' && m.Stmt.Name != "" && m.Stmt != made && t.lacks(m.Stmt) && t.dropping():
			return true
		case m.Kind == 'D' && m.Stmt != nil && m.Stmt != made && t.lacks(m.Stmt) && m.Stmt.mute() && !t.Idle(): // if the block fails it is described as what is mute
			return true
		case (t.Loose() || t.dropping()) && t.Misses(g.Messages[i:i+1]): // the Sync behind it would end the passing over
			return true
		case m.names() && m.Stmt == nil && (t.unsettled(m.Name) || m.without != 0 && !t.Idle() && t.hides(m.Name, nil)):
			return true
		case m.Kind == 'P' && m.Stmt.Name != "" && (t.unsettled(m.Stmt.Name) || m.without != 0 && !t.Idle() && t.hides(m.Stmt.Name, nil)):
			return true
		case m.Kind != 'P' && slices.ContainsFunc(m.uses(), t.doubtful):
			return true
		case m.Kind == 'P':
			made = m.Stmt
		case m.Stmt != nil && m.Stmt != made && !t.Idle() && !t.state.Has(m.Stmt) && (m.Stmt.Name == "" && t.lacks(m.Stmt) || t.hides(m.Stmt.Name, m.Stmt)):
			return true
		}
	}
	return false
}

// hides reports whether a statement, or nil: what drops the one of a name, is on its way
// to a backend that has, or will have, another one of that name than the session, as a
// handle's or none, which a Bind would find if it were passed over.
func (t *Tracker) hides(of string, st *Statement) bool {
	var gen uint64
	if has := t.state.statements[of]; has != nil {
		gen = has.gen
	}
	first := true
	for _, s := range t.steps[t.head:] {
		name, ok := s.touches()
		switch {
		case !ok || name != of:
			continue
		case first && s.was != gen, s.hidden && name != "": // what is brought before it may be passed over too, or stay
			return true
		case s.kind == 'P' && s.stmt == st:
			return of == "" && s.was != gen
		}
		first = false
	}
	return false
}

// unsettled reports whether amid what is on its way something was brought of a name, or
// dropped, which may be passed over.
func (t *Tracker) unsettled(name string) bool {
	for _, s := range t.steps[t.head:] {
		if of, ok := s.touches(); ok && of == name && s.hidden && (!s.asks || s.failing) && !ends(s.kind) {
			return true
		}
	}
	return false
}

// names reports whether a message is Bind, or Describe of a statement.
func (m *Message) names() bool {
	return m.Kind == 'B' || m.Kind == 'D' && m.Frame.Body()[0] == 'S'
}

// uses returns the prepared statements that a message's text names.
func (m *Message) uses() []string {
	switch {
	case m.Verdict != nil:
		return m.Verdict.Uses
	case m.Stmt != nil:
		return m.Stmt.Verdict.Uses
	}
	return nil
}

// doubtful reports whether a name may mean another statement than is expected, which the
// backend lacks or is to be rid of: what makes or drops that may be passed over.
func (t *Tracker) doubtful(name string) bool {
	e, ok := t.state.ahead[name]
	switch {
	case t.Idle():
		return false
	case !ok:
		return t.unsettled(name)
	case e.st == nil:
		return t.state.statements[name] != nil
	}
	return !t.state.Has(e.st) && t.hides(name, e.st)
}

// dropping reports whether what is not answered yet drops prepared statements by text:
// what a name means is not known before.
func (t *Tracker) dropping() bool {
	for _, s := range t.steps[t.head:] {
		if s.verdict == nil {
			continue
		}
		for _, e := range s.verdict.Effects {
			if e.Act == classify.Deallocate || e.Act == classify.DeallocateAll || e.Act == classify.DiscardAll {
				return true
			}
		}
	}
	return false
}
