package session_test

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A modelled backend answers as PostgreSQL does: prepared statements, one portal,
// blocks, and messages that are passed over after an error.
type modelled struct {
	statements map[string]string
	portals    map[string]string
	status     byte
	saved      bool // there is a savepoint
	skips      bool
}

func newModelled() *modelled {
	return &modelled{statements: map[string]string{}, portals: map[string]string{}, status: 'I'}
}

// Texts that fail when they are parsed, bound, and executed.
const unparsed, unbound, unrun = "nonsense", "select 1/0 -- bound", "select 1/0"

func exits(text string) bool { return text == "commit" || text == "rollback" }

// mute reports whether a text returns no columns.
func mute(text string) bool { return exits(text) || text == "begin" }

// take answers one message.
func (b *modelled) take(f wire.Frame) (out []wire.Frame) {
	say := func(w wire.Builder) { out = append(out, wire.Frame(w)) }
	if f.Type() == 'S' {
		if b.skips = false; b.status == 'I' {
			clear(b.portals)
		}
		say(wire.Builder(nil).Ready(b.status))
		return out
	}
	if b.skips {
		return nil
	}
	code := b.run(f, say)
	if code != "" {
		b.skips = f.Type() != 'Q'
		clear(b.portals)
		if b.status == 'T' {
			b.status = 'E'
		}
		say(wire.Builder(nil).Error(&wire.Error{Severity: "ERROR", Code: code, Message: "it fails"}))
	}
	if f.Type() == 'Q' {
		say(wire.Builder(nil).Ready(b.status))
	}
	return out
}

// run does what a message says, and returns the code of its error.
func (b *modelled) run(f wire.Frame, say func(wire.Builder)) (code string) {
	aborted := func(text string) bool { return b.status == 'E' && !exits(text) }
	switch f.Type() {
	case 'P':
		name, text, _ := wire.ParseParse(f.Body())
		_, taken := b.statements[string(name)]
		if len(name) == 0 {
			delete(b.statements, "")
		}
		switch {
		case string(text) == unparsed:
			return "42601"
		case aborted(strings.ToLower(string(text))):
			return "25P02"
		case taken && len(name) > 0:
			return "42P05"
		}
		b.statements[string(name)] = string(text)
		say(wire.Builder(nil).Message('1'))
	case 'B':
		portal, name, _ := wire.ParseBind(f.Body())
		text, ok := b.statements[string(name)]
		switch {
		case !ok:
			return "26000"
		case aborted(text):
			return "25P02"
		case text == unbound:
			return "22012"
		}
		b.portals[string(portal)] = text
		say(wire.Builder(nil).Message('2'))
	case 'D':
		return b.describe(f, say)
	case 'C':
		if kind, name, _ := wire.ParseTarget(f.Body()); kind == 'S' {
			delete(b.statements, string(name))
		} else {
			delete(b.portals, string(name))
		}
		say(wire.Builder(nil).Message('3'))
	case 'E':
		name, _ := wire.ParseExecute(f.Body())
		text, ok := b.portals[string(name)]
		if !ok {
			return "34000"
		}
		delete(b.portals, string(name))
		return b.execute(text, say)
	case 'Q':
		text, _ := wire.ParseQuery(f.Body())
		delete(b.statements, "")
		delete(b.portals, "")
		if string(text) == unparsed {
			return "42601"
		}
		return b.execute(string(text), say)
	}
	return ""
}

func (b *modelled) describe(f wire.Frame, say func(wire.Builder)) (code string) {
	kind, name, _ := wire.ParseTarget(f.Body())
	text, ok := b.statements[string(name)]
	if kind == 'P' {
		text, ok = b.portals[string(name)]
	}
	silent := mute(strings.ToLower(text))
	switch {
	case !ok && kind == 'P':
		return "34000"
	case !ok:
		return "26000"
	case b.status == 'E' && !silent:
		return "25P02"
	}
	if kind == 'S' {
		say(wire.Builder(nil).Message('t', []byte{0, 0}))
	}
	if silent {
		say(wire.Builder(nil).Message('n'))
	} else {
		say(wire.Builder(nil).Message('T', []byte{0, 1}, wire.String(text), make([]byte, 18)))
	}
	return ""
}

var prepares = regexp.MustCompile(`^(?i)prepare "?(\w+)"? as (.*)$`)

// execute runs a text, whose tag says which it was.
func (b *modelled) execute(text string, say func(wire.Builder)) (code string) {
	tag := strings.ToUpper(text)
	if b.status == 'E' && !exits(text) && !strings.HasPrefix(text, "ROLLBACK TO") {
		return "25P02"
	}
	if name, ok := strings.CutPrefix(text, "execute "); ok {
		if text, ok = b.statements[name]; !ok {
			return "26000"
		}
		if strings.HasPrefix(text, "execute ") {
			return "54001" // PostgreSQL goes deeper, until it does not
		}
		return b.execute(text, say)
	}
	name, drops := strings.CutPrefix(text, "deallocate ")
	_, there := b.statements[name]
	switch m := prepares.FindStringSubmatch(text); {
	case text == unrun || text == unbound:
		return "22012"
	case text == "begin" && b.status == 'I':
		b.status = 'T'
	case exits(text):
		if b.status == 'E' {
			tag = "ROLLBACK"
		}
		b.status, b.saved = 'I', false
		clear(b.portals)
	case name == "all":
		maps.DeleteFunc(b.statements, func(name, _ string) bool { return name != "" })
	case drops && !there:
		return "26000"
	case drops:
		delete(b.statements, name)
	case m != nil && b.statements[m[1]] != "":
		return "42P05"
	case m != nil:
		b.statements[m[1]] = m[2]
	case strings.HasPrefix(text, "SAVEPOINT"):
		if b.status == 'I' {
			return "25P01"
		}
		b.saved = true
	case strings.HasPrefix(text, "ROLLBACK TO"), strings.HasPrefix(text, "RELEASE"):
		if !b.saved {
			return "3B001"
		}
		if b.saved = tag[1] == 'O'; b.status == 'E' {
			b.status = 'T'
		}
	}
	say(wire.Builder(nil).Complete(tag))
	return ""
}

// A rehearsal is a client whose messages go to one backend directly, and by a
// session to one of two.
type rehearsal struct {
	*conversation
	t        *testing.T
	at       string
	direct   *modelled
	backends map[string]*modelled
	coming   []wire.Frame // replies that were not taken yet
	group    session.Group
	want     []wire.Frame
	got      []wire.Frame
	log      []string
}

// idle reports whether all was answered.
func (r *rehearsal) idle() bool { return len(r.coming) == 0 && len(r.group.Messages) == 0 }

// hear takes n of the replies.
func (r *rehearsal) hear(n int) {
	tr := r.trackers[r.at]
	for ; n > 0 && len(r.coming) > 0; n-- {
		f := tr.Words(r.coming[0])
		r.coming = r.coming[1:]
		show := tr.Reply(f)
		if owed := tr.Owed(); len(owed) > 0 {
			r.got = append(r.got, owed)
		}
		if show {
			r.got = append(r.got, f)
		}
		tr.Passed()
		tr.TookDDL()
	}
}

// say has the client send a message.
func (r *rehearsal) say(b wire.Builder) {
	f := wire.Frame(b)
	r.log = append(r.log, fmt.Sprintf("%q", []byte(f)))
	r.want = append(r.want, r.direct.take(f)...)
	if tr := r.trackers[r.at]; r.idle() && !tr.Skipping() {
		r.state.Settle()
		if tr.Status == 'I' {
			r.state.EndPortals()
		}
	}
	m, err := r.state.Read(f)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.group.Add(m); r.group.Ended {
		r.send()
	}
}

// send sends the group to the backend.
func (r *rehearsal) send() {
	tr := r.trackers[r.at]
	r.state.Reread(&r.group)
	if tr.Unsure(&r.group) {
		r.hear(len(r.coming))
		r.state.Reread(&r.group)
	}
	var out []byte
	if !tr.Skipping() && !tr.Failed() {
		out = tr.Ahead(out, r.group.Messages)
	}
	for i := range r.group.Messages {
		out = tr.Encode(tr.Bring(out, &r.group.Messages[i]), r.group.Messages[i])
	}
	in := wire.NewReader(bytes.NewReader(out))
	for f, err := in.Frame(); err == nil; f, err = in.Frame() {
		for _, answer := range r.backends[r.at].take(f) {
			r.coming = append(r.coming, wire.Frame(bytes.Clone(answer)))
		}
	}
	r.group = session.Group{}
}

// move goes on at the other backend, where that can be.
func (r *rehearsal) move() {
	if r.idle() && r.trackers[r.at].Status == 'I' && r.trackers[r.at].Idle() && !r.trackers[r.at].Skipping() {
		r.state.Settle()
		r.state.EndPortals()
		r.at = map[string]string{"near": "main", "main": "near"}[r.at]
		r.log = append(r.log, "goes to "+r.at)
	}
}

// FuzzSession: whatever a client sends, and wherever and however late it is
// answered, it sees what one backend would have answered.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0x01, 0x10, 0x06, 0x0b, 0x11, 0x04, 0x06, 0x0a})
	f.Add([]byte{0x01, 0x10, 0x06, 0x0a, 0x0b, 0x07, 0x31, 0x11, 0x04, 0x06, 0x0a, 0x07, 0x51})
	f.Add([]byte{0x41, 0x11, 0x04, 0x06, 0x06, 0x0a, 0x0b, 0x01, 0x12, 0x21, 0x05})
	texts := []string{"select 1", "select 2", "begin", "commit", "rollback", unparsed, unbound, unrun, "prepare c as select 3", "execute c", "deallocate c", "deallocate all"}
	names := []string{"", "a", "b", "c"}
	f.Fuzz(func(t *testing.T, program []byte) {
		r := &rehearsal{conversation: newConversation(), t: t, at: "near", direct: newModelled(), backends: map[string]*modelled{"near": newModelled(), "main": newModelled()}}
		for i, op := range program[:min(len(program), 60)] {
			arg := op >> 4
			name, text := names[arg&3], texts[(int(arg)>>1+i)%len(texts)]
			b := wire.Builder(nil)
			switch op & 15 {
			case 0, 1:
				if name == "c" { // which texts name: who makes that by Parse, and names it in the same group, is nobody
					name = ""
				}
				r.say(b.Message('P', wire.String(name), wire.String(text), []byte{0, 0}))
			case 2, 3:
				r.say(b.Message('B', wire.String(""), wire.String(name), make([]byte, 6)))
			case 4, 12:
				r.say(b.Message('E', wire.String(""), make([]byte, 4)))
			case 5:
				r.say(b.Message('C', []byte("SP")[arg&1:arg&1+1], wire.String(names[int(arg>>1&3)%3*int(1-arg&1)])))
			case 6, 13:
				r.say(b.Sync())
			case 7:
				if len(r.group.Messages) > 0 {
					r.say(wire.Builder(nil).Sync())
				}
				r.say(b.Query(text))
			case 8: // which columns EXECUTE has depends on when it is asked
				if !strings.HasPrefix(r.direct.statements[name], "execute") {
					r.say(b.Message('D', []byte{'S'}, wire.String(name)))
				}
			case 9:
				if !strings.HasPrefix(r.direct.portals[""], "execute") {
					r.say(b.Message('D', []byte{'P'}, wire.String("")))
				}
			case 10, 14:
				r.hear(1 + int(arg))
			case 11, 15:
				r.hear(len(r.coming))
				r.move()
			}
		}
		if len(r.group.Messages) > 0 {
			r.say(wire.Builder(nil).Sync())
		}
		r.hear(len(r.coming))
		if got, want := shown(r.got), shown(r.want); !slices.Equal(got, want) {
			t.Fatalf("%s\ngot  %s\nwant %s", strings.Join(r.log, "\n"), strings.Join(got, " "), strings.Join(want, " "))
		}
		if !r.trackers[r.at].Idle() {
			t.Fatalf("%s: not all is answered", strings.Join(r.log, "\n"))
		}
	})
}

// shown returns what a test compares of replies: types, tags and codes, but which error
// it is in a block that has failed.
func shown(frames []wire.Frame) (out []string) {
	status := byte('I')
	for _, f := range frames {
		if f.Type() == 'Z' {
			status = f.Body()[0]
		}
		switch e, err := wire.ParseError(f.Body()); {
		case f.Type() == 'E' && status == 'E':
			out = append(out, "E")
		case f.Type() == 'E' && err == nil:
			out = append(out, "E "+e.Code)
		case f.Type() == 'C' || f.Type() == 'Z' || f.Type() == 'T':
			out = append(out, fmt.Sprintf("%c %q", f.Type(), f.Body()))
		default:
			out = append(out, string(f.Type()))
		}
	}
	return out
}
