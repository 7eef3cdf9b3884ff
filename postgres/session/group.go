package session

import (
	"bytes"
	"fmt"
	"slices"

	"meridian/postgres/classify"
	"meridian/postgres/wire"
)

// A Message is one message of the client with what it means to the session.
type Message struct {
	Kind    byte
	Frame   wire.Frame
	Stmt    *Statement        // what Parse makes, or what Bind or Describe uses
	Shows   *Statement        // what the portal runs that Describe names, if it was not described
	Taken   *Statement        // what has the name of what Parse makes, which is an error
	Name    string            // of the statement that Close drops, or that Bind or Describe names
	Verdict *classify.Verdict // on what Query or Execute runs
	Text    []byte            // the text that it runs
	Ended   bool              // its first statement ended a block elsewhere: the client has its answer

	id      uint64 // of Close and Query: see expected
	without uint64 // of Parse, Bind and Describe: what is to drop the statement of the name that they have
}

// Ends reports whether the message ends its group: ReadyForQuery answers it.
func (m Message) Ends() bool { return m.Kind == 'S' || m.Kind == 'Q' || m.Kind == 'F' }

// Read decodes a client's message. The Message holds on to f.
func (s *State) Read(f wire.Frame) (Message, error) {
	m := Message{Kind: f.Type(), Frame: f}
	var err error
	switch m.Kind {
	case 'Q':
		if m.Text, err = wire.ParseQuery(f.Body()); err == nil {
			m.Verdict = s.judge.Classify(m.Text)
			if v := m.Verdict.Invalid; v != nil {
				m.Frame = wire.Frame(wire.Builder(nil).Query(refusal(m.Verdict.InvalidOf, *v)))
				m.Text, m.Verdict = m.Frame.Body()[:len(m.Frame.Body())-1], refused
			}
			s.drops(&m)
		}
	case 'P':
		err = s.readParse(&m)
	case 'B':
		err = s.readBind(&m)
	case 'D', 'C':
		var kind byte
		var name []byte
		if kind, name, err = wire.ParseTarget(f.Body()); err != nil {
			break
		}
		switch {
		case kind == 'S' && m.Kind == 'D':
			s.target(&m, name)
		case kind == 'S':
			m.Name = string(name)
			s.drops(&m)
		case kind == 'P' && m.Kind == 'C':
			s.bind(name, nil)
		default:
			if st := s.portal(name); st != nil && st.told == 0 && st.Name != "" {
				m.Shows = st
			}
		}
	case 'E':
		var portal []byte
		if portal, err = wire.ParseExecute(f.Body()); err != nil {
			break
		}
		if st := s.portal(portal); st != nil {
			m.Verdict, m.Text = s.verdict(st), st.Text
		}
	case 'F':
		m.Verdict = &classify.Verdict{Where: classify.Primary, Why: "a function call", Writes: true, Count: 1}
	case 'S', 'H':
	default:
		err = fmt.Errorf("message of type %q: %w", m.Kind, wire.ErrProtocol)
	}
	return m, err
}

func (s *State) readParse(m *Message) error {
	name, text, err := wire.ParseParse(m.Frame.Body())
	if err != nil {
		return err
	}
	verdict := s.judge.Classify(text)
	if v := verdict.Invalid; v != nil {
		m.Frame = wire.Frame(wire.Builder(nil).Message('P', wire.String(string(name)), wire.String(refusal(verdict.InvalidOf, *v)), []byte{0, 0}))
		_, text, _ = wire.ParseParse(m.Frame.Body())
		verdict = refused
	}
	frame := wire.Frame(bytes.Clone(m.Frame))
	at := wire.HeaderSize + len(name) + 1
	if len(name) > 0 {
		if m.Taken = s.lookup(name); m.Taken == nil {
			m.without = s.ahead[string(name)].id
		}
	}
	st := &Statement{Name: string(name), Frame: frame, Text: frame[at : at+len(text)], Verdict: verdict, gen: s.nextGen()}
	s.ahead[st.Name] = expected{st, st.gen}
	m.Stmt = st
	return nil
}

func (s *State) readBind(m *Message) error {
	portal, name, err := wire.ParseBind(m.Frame.Body())
	if err != nil {
		return err
	}
	s.target(m, name)
	s.bind(portal, m.Stmt)
	return nil
}

// target notes which statement a message names.
func (s *State) target(m *Message, name []byte) {
	if m.Stmt = s.lookup(name); m.Stmt != nil {
		m.Name = m.Stmt.Name // each execution comes here: nothing is allocated
	} else {
		m.Name, m.without = string(name), s.ahead[string(name)].id
	}
}

// Resolve returns the verdict on what a message runs: for EXECUTE that of the
// prepared statement if it is the stricter.
func (s *State) Resolve(v *classify.Verdict) *classify.Verdict {
	if v == nil || v.Execute == "" || v.Where == classify.Primary {
		return v
	}
	st := s.lookup([]byte(v.Execute))
	if st == nil {
		return v
	}
	return s.verdict(st)
}

// verdict returns the verdict on a prepared statement by the names that hold
// now: what its text reaches may have changed since it was prepared.
func (s *State) verdict(st *Statement) *classify.Verdict {
	if v := st.Verdict; v != refused && !s.judge.Current(v) {
		st.Verdict = s.judge.Classify(st.Text)
	}
	return st.Verdict
}

// Confirm notes a statement as prepared: the proxy has answered for it.
func (s *State) Confirm(st *Statement) {
	s.name(st.Name, st)
	s.unexpect(st.Name, st.gen)
}

// Has reports whether a statement is prepared, as far as is answered.
func (s *State) Has(st *Statement) bool { return s.statements[st.Name] == st }

// DropUnnamed notes that a Query, which the proxy has answered, dropped the statement
// without a name.
func (s *State) DropUnnamed(m Message) {
	s.name("", nil)
	s.unexpect("", m.id)
}

// Rejudge asks again for the verdict on prepared statements of that text.
func (s *State) Rejudge(text []byte) {
	for _, st := range s.statements {
		if bytes.Equal(st.Text, text) {
			st.Verdict = s.judge.Classify(text)
		}
	}
}

// A Group is the client's messages up to one that Query, FunctionCall or Sync
// ends: what is run, and answered, in one place.
type Group struct {
	Messages []Message
	Ended    bool
	Executes int // messages that run something
	Sent     int // messages that a standby was sent already
	buf      []byte
}

// Add appends a message, whose frame is copied.
func (g *Group) Add(m Message) {
	// The buffer may move as it grows: the old frames stay valid where they are.
	at := len(g.buf)
	g.buf = append(g.buf, m.Frame...)
	textAt := -1
	if m.Kind == 'Q' {
		textAt = at + wire.HeaderSize
	}
	m.Frame = g.buf[at:len(g.buf):len(g.buf)]
	if textAt >= 0 {
		m.Text = g.buf[textAt : textAt+len(m.Text)]
	}
	g.Messages = append(g.Messages, m)
	g.Ended = m.Ends()
	if m.Verdict != nil || m.Kind == 'E' {
		g.Executes++
	}
}

// Drop takes the first n messages out: they were run elsewhere.
func (g *Group) Drop(n int) {
	for _, m := range g.Messages[:n] {
		if m.Verdict != nil || m.Kind == 'E' {
			g.Executes--
		}
	}
	g.Messages = g.Messages[:copy(g.Messages, g.Messages[n:])]
}

// Forget takes those out of the messages that were sent which fetch from a portal,
// as often as a client likes: nobody sends them again.
func (g *Group) Forget() {
	var rest Group
	for i, m := range g.Messages {
		if i >= g.Sent || m.Kind != 'E' && m.Kind != 'H' || m.Verdict != nil && m.Verdict.Block != classify.NoBlock {
			rest.Add(m)
			if i < g.Sent {
				rest.Sent++
			}
		}
	}
	rest.Ended, rest.Executes = g.Ended, g.Executes
	*g = rest
}

// Names reports whether messages make or drop statements by Parse, Close or Query.
func (g *Group) Names() bool {
	return slices.ContainsFunc(g.Messages, func(m Message) bool {
		return m.Kind == 'P' || m.Kind == 'C' && m.Frame.Body()[0] == 'S' || m.Kind == 'Q' && len(g.Messages) > 1
	})
}

// Size returns the bytes held.
func (g *Group) Size() int { return len(g.buf) }

// Reset empties the group for reuse.
func (g *Group) Reset() {
	*g = Group{Messages: g.Messages[:0], buf: g.buf[:0]}
	if cap(g.buf) > 1<<20 {
		g.buf = nil
	}
}
