package session

import (
	"maps"

	"meridian/postgres/classify"
)

// A trial is the session as it was before a group was sent to a standby. What the
// standby cannot run goes to the primary from its beginning: there nothing of the
// trial may hold, neither a PREPARE that came before the error nor a Parse.
type trial struct {
	open     bool
	settings []setting
	pinned   string
	reset    uint64
	block    []classify.Effect
	was      []named
}

// A named is what a name meant; nil: nothing.
type named struct {
	name string
	st   *Statement
}

// Try notes that a group is about to run where it may be taken back from.
func (s *State) Try() {
	s.trial = trial{open: true, settings: s.settings, pinned: s.Pinned, reset: s.reset, block: s.block, was: s.trial.was[:0]}
}

// Tried notes that what was tried stays.
func (s *State) Tried() { s.trial.open = false }

// TakeBack makes the session what it was before Try, with the group's messages
// read and not sent. It reports whether the backend has, or lacks, settings now
// that the session does not: it is of no more use.
func (s *State) TakeBack(g *Group) (unlike bool) {
	if !s.trial.open {
		return false
	}
	x := s.trial
	s.Tried()
	unlike = s.reset != x.reset || last(s.settings) != last(x.settings)
	s.settings, s.Pinned, s.reset, s.block = x.settings, x.pinned, x.reset, x.block
	for i := len(x.was) - 1; i >= 0; i-- {
		s.name(x.was[i].name, x.was[i].st)
	}
	for _, m := range g.Messages {
		switch {
		case m.Kind == 'P':
			m.Stmt.passed, m.Stmt.gone, s.ahead[m.Stmt.Name] = false, false, expected{m.Stmt, m.Stmt.gen}
		case m.Kind == 'Q' || m.Kind == 'C' && m.Frame.Body()[0] == 'S':
			s.ahead[m.Name] = expected{id: m.id}
		}
	}
	return unlike
}

// last returns when the last of the settings was made.
func last(list []setting) uint64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].seq
}

// name has a name mean a statement; nil: none.
func (s *State) name(name string, st *Statement) {
	if s.trial.open {
		s.trial.was = append(s.trial.was, named{name, s.statements[name]})
	}
	if was := s.statements[name]; was != nil {
		was.gone = true
	}
	if st == nil {
		delete(s.statements, name)
		return
	}
	if st.gone, s.statements[name] = false, st; st.made == 0 {
		st.made = s.nextGen()
	}
}

// nameNone takes all names away, as DEALLOCATE ALL and DISCARD ALL do: the statement
// without a name stays.
func (s *State) nameNone() {
	for name := range s.statements {
		if name != "" {
			s.name(name, nil)
		}
	}
}

// forgetNames notes that a backend has no statement with a name any more.
func (s *Side) forgetNames() {
	maps.DeleteFunc(s.known, func(name string, _ uint64) bool { return name != "" })
}
