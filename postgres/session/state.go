package session

import (
	"slices"
	"strings"
	"sync/atomic"

	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// A Statement is a prepared statement as the client made it.
type Statement struct {
	Name    string
	Frame   wire.Frame        // the Parse that made it; nil if PREPARE did
	SQL     string            // the PREPARE that made it; "" if Parse did
	Verdict *classify.Verdict // on its text, or on PREPARE's body
	Text    []byte            // its text, or PREPARE's body

	passed bool // the Parse that would have made it was passed over after an error
	gone   bool // it was dropped

	gen   uint64 // tells it from others of the same name
	made  uint64 // the order in which the client made its statements; 0: that is not answered
	told  uint64 // which columns a Describe of it told the client; 0: none yet
	width int    // how many they are
	since uint64 // definitions had been heard of when it was described
	other int    // not 0: it has other columns on the primary; so many result formats never fit them
}

// Instead returns a statement that Parse made with another text, for one Bind: a
// backend that is given it forgets the other one, until that is used again.
func (s *State) Instead(st *Statement, text []byte) *Statement {
	at := len(st.Name) + 1
	types := st.Frame.Body()[at+len(st.Text)+1:]
	frame := wire.Frame(wire.Builder(nil).Message('P', wire.String(st.Name), append(text[:len(text):len(text)], 0), types))
	return &Statement{Name: st.Name, Frame: frame, Verdict: st.Verdict, Text: frame.Body()[at : at+len(text)], gen: s.nextGen()}
}

// A setting is one entry of the log.
type setting struct {
	seq              uint64
	name, sql, value string
}

// A Judge returns the verdict on a text, and reports whether a verdict is still
// the one that it would return.
type Judge interface {
	Classify(text []byte) *classify.Verdict
	Current(*classify.Verdict) bool
}

// State is what the client believes of its session.
type State struct {
	// Pinned says why everything must run on the primary, or is "".
	Pinned string
	// LazyAtStart says what Lazy is until the session says something else.
	LazyAtStart bool
	// Definitions counts those that were heard of; nil: none is.
	Definitions *atomic.Uint64

	judge      Judge
	statements map[string]*Statement
	ahead      map[string]expected   // as statements will be once all that was sent succeeded
	unnamed    *Statement            // what the portal without a name runs; nil: there is none, or none is known
	portals    map[string]*Statement // and the others
	settings   []setting
	reset      uint64 // the seq of the last DISCARD ALL
	seq        uint64
	block      []classify.Effect // what the open block did, for its COMMIT
	undone     []uint64          // of what drops statements: what was passed over since Settle
	defined    uint64            // definitions of the session's own that were sent
	trial      trial
}

// An expected is what a name will mean, and of which message that is expected: of
// several that drop it the first is answered before the last.
type expected struct {
	st *Statement // nil: nothing
	id uint64     // of Parse its statement's generation
}

// drops notes that a message which was read drops the statement of its name.
func (s *State) drops(m *Message) {
	m.id = s.nextGen()
	s.ahead[m.Name] = expected{id: m.id}
}

// NewState returns the state of a new session.
func NewState(judge Judge) *State {
	return &State{judge: judge, statements: map[string]*Statement{}, ahead: map[string]expected{}, portals: map[string]*Statement{}}
}

// lookup returns the statement that a name will mean, or nil.
func (s *State) lookup(name []byte) *Statement {
	if e, ok := s.ahead[string(name)]; ok {
		return e.st
	}
	return s.statements[string(name)]
}

// Settle forgets what was only expected: all replies are in.
func (s *State) Settle() {
	s.undone = s.undone[:0]
	if len(s.ahead) > 0 {
		clear(s.ahead)
	}
}

// EndPortals forgets the portals: their transaction is over.
func (s *State) EndPortals() {
	s.unnamed = nil // mostly the only one
	if len(s.portals) > 0 {
		clear(s.portals)
	}
}

// portal returns what a portal runs, or nil.
func (s *State) portal(name []byte) *Statement {
	if len(name) == 0 {
		return s.unnamed
	}
	return s.portals[string(name)]
}

// bind notes what a portal runs; nil: nothing, or nothing that is known.
func (s *State) bind(name []byte, st *Statement) {
	switch {
	case len(name) == 0:
		s.unnamed = st
	case st == nil:
		delete(s.portals, string(name))
	default:
		s.portals[string(name)] = st
	}
}

func (s *State) nextGen() uint64 {
	s.seq++
	return s.seq
}

// apply makes effects lasting.
func (s *State) apply(effects []classify.Effect) {
	for _, e := range effects {
		switch e.Act {
		case classify.Set:
			s.log(e.Name, e.SQL, e.Text)
		case classify.ResetAll:
			s.settings = slices.DeleteFunc(slices.Clone(s.settings), func(x setting) bool { return !isRole(x.name) })
			s.log("", "RESET ALL", "")
		case classify.DiscardAll:
			s.nameNone()
			s.settings, s.Pinned = nil, ""
			s.reset = s.nextGen()
		case classify.Prepare:
			s.name(e.Name, &Statement{Name: e.Name, SQL: e.SQL, Text: []byte(e.Text), Verdict: s.judge.Classify([]byte(e.Text)), gen: s.nextGen()})
		case classify.Deallocate:
			s.name(e.Name, nil)
		case classify.DeallocateAll:
			s.nameNone()
		case classify.Pin:
			if s.Pinned == "" {
				s.Pinned = e.Name
			}
		}
	}
}

func isRole(name string) bool { return name == "role" || name == "session authorization" }

// log notes a setting in the place of an older one of the same name.
func (s *State) log(name, sql, value string) {
	s.settings = slices.DeleteFunc(slices.Clone(s.settings), func(x setting) bool { return x.name == name })
	s.settings = append(s.settings, setting{s.nextGen(), name, sql, value})
}

// commit makes the block's effects lasting.
func (s *State) commit() {
	s.apply(s.block)
	s.block = nil
}

// rollback drops the block's effects; partial is said of ROLLBACK TO, after
// which it is not known which of them stand.
func (s *State) rollback(partial bool) {
	if partial && len(s.block) > 0 {
		s.block = append(s.block, classify.Effect{Act: classify.Pin, Name: "settings in a block that was partly rolled back"})
		return
	}
	s.block = nil
}

// A Side is what one backend knows of the session.
type Side struct {
	known   map[string]uint64 // statement -> generation; 0: something of that name may be there
	brought map[string]uint64 // as known, of those that the client prepared elsewhere
	applied uint64            // settings up to this seq
	fresh   bool              // nothing was ever run there
}

// NewSide returns the Side of a backend that has just been opened.
func NewSide() *Side {
	return &Side{known: map[string]uint64{}, brought: map[string]uint64{}, fresh: true}
}

// Missing returns the statements that bring a side to where the session's settings
// are, in order, and counts them as run.
func (s *State) Missing(side *Side) (sql []string) {
	if s.reset > side.applied {
		if !side.fresh {
			sql = append(sql, "DISCARD ALL")
			clear(side.known)
		}
		side.applied = s.reset
	}
	for _, x := range s.settings {
		if x.seq > side.applied {
			sql = append(sql, x.sql)
			side.applied = x.seq
		}
	}
	side.fresh = false
	if len(sql) > 0 {
		delete(side.known, "") // a simple query drops the unnamed statement
	}
	return sql
}

// ran notes that the settings that were just logged came from this side.
func (s *State) ran(side *Side) {
	side.applied, side.fresh = max(side.applied, s.seq), false
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
