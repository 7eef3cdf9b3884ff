package session

import (
	"cmp"
	"slices"

	"meridian/postgres/classify"
)

// A session that stands on two backends has prepared some of its statements on one,
// and some on the other. What lists them (pg_prepared_statements) is given all of them
// first, in the order in which the client made them, and nothing else is there: a
// driver's tests, and poolers, count them.

// lacking returns the names that a text with a verdict needs the backend to know, as the
// session does, and what they are to mean there. group is what is about to be sent: what
// it makes itself is not brought.
func (t *Tracker) lacking(v *classify.Verdict, group []Message) (all []named) {
	if v.Lists {
		return t.unlisted(group)
	}
	for i, name := range v.Uses {
		if st, lacks := t.wants(name, v.NameOnly()); lacks && !slices.Contains(v.Uses[:i], name) {
			all = append(all, named{name, st})
		}
	}
	return all
}

// unlisted is lacking for what lists all statements. What was made after one that is
// brought is brought again: the list tells when each was made.
func (t *Tracker) unlisted(group []Message) (lacks []named) {
	var all []named
	for name := range t.side.known {
		if name != "" && t.state.lookup([]byte(name)) == nil {
			lacks = append(lacks, named{name, nil})
		}
	}
	for name, st := range t.state.statements {
		if name != "" && t.state.lookup([]byte(name)) == st && !makes(group, st) {
			all = append(all, named{name, st})
		}
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Compare(a.st.made, b.st.made) })
	first := slices.IndexFunc(all, func(x named) bool { return t.lacks(x.st) })
	if first < 0 {
		return lacks
	}
	return append(append(lacks, all[first:]...), named{preparer, nil}) // which is there yet if the last one fails
}

// makes reports whether messages make a statement.
func makes(messages []Message, st *Statement) bool {
	return slices.ContainsFunc(messages, func(m Message) bool { return m.Kind == 'P' && m.Stmt == st })
}

// lists reports whether a message's text lists the session's statements.
func (m *Message) lists() bool {
	v := m.text()
	return v != nil && v.Lists
}
