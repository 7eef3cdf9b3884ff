package session_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian/postgres/classify"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// A conversation is one session on two backends, near and main.
type conversation struct {
	state    *session.State
	sides    map[string]*session.Side
	trackers map[string]*session.Tracker
	held     session.Group
}

func newConversation() *conversation {
	names := &classify.Names{Known: map[string]bool{"set_config": true}}
	c := &conversation{sides: map[string]*session.Side{}, trackers: map[string]*session.Tracker{}}
	cache := classify.NewCache()
	cache.SetNames(names)
	c.state = session.NewState(cache)
	c.state.Definitions = &atomic.Uint64{}
	for _, side := range []string{"near", "main"} {
		c.sides[side] = session.NewSide()
		c.trackers[side] = session.NewTracker(c.state, c.sides[side])
	}
	return c
}

// TestSession runs the scripts in testdata.
//
//	send SIDE     the client's messages, one a line; prints what the backend gets, (hidden) in parentheses
//	read          the client's messages, which are not sent yet; prints nothing
//	unsure SIDE   says whether what they name is to be asked for
//	emit SIDE     a handle
//	place SIDE    sends them; add "amid" where they are sent behind others of their group
//	reply SIDE    the backend's messages; prints what the client sees, and the state
//	ask SIDE      what is sent ahead of the client's messages, if anything is
//	defined       a definition is heard of
//	settle        all replies of both are in
//	missing SIDE  prints what would bring the backend to the session's settings
//	bring SIDE    one message, amid a group, with what it needs
//	ahead SIDE    the prepared statements that the client's messages name, which are not sent
func TestSession(t *testing.T) {
	scripts, err := filepath.Glob("testdata/[a-eg-z]*") // but fuzz
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, path := range scripts {
		c := newConversation()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "settle":
				c.state.Settle()
				return ""
			case "read":
				c.held = c.read(t, d.Input)
				return ""
			case "defined":
				c.state.Definitions.Add(1)
				return ""
			}
			side := d.CmdArgs[0].Key
			switch d.Cmd {
			case "send":
				return c.send(t, side, d.Input)
			case "unsure":
				return fmt.Sprintln(c.trackers[side].Unsure(&c.held))
			case "place":
				if !d.HasArg("amid") {
					c.state.Reread(&c.held)
				}
				return c.encode(side, c.held)
			case "emit":
				c.trackers[side].Emit(nil, "handle")
				return ""
			case "ask":
				return c.ask(t, side, d.Input)
			case "reply":
				return c.reply(t, side, d.Input)
			case "missing":
				return strings.Join(append(c.state.Missing(c.sides[side]), ""), "\n")
			case "bring":
				g := c.read(t, d.Input)
				return "(" + strings.Join(kinds(c.trackers[side].Bring(nil, &g.Messages[0])), " ") + ") " + c.encode(side, g)
			case "ahead":
				return "(" + strings.Join(kinds(c.trackers[side].Ahead(nil, c.read(t, d.Input).Messages)), " ") + ")\n"
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	}
}

func (c *conversation) read(t *testing.T, input string) (group session.Group) {
	for line := range strings.Lines(input) {
		m, err := c.state.Read(frame(t, strings.TrimSpace(line)))
		if err != nil {
			t.Fatal(err)
		}
		group.Add(m)
	}
	return group
}

func (c *conversation) ask(t *testing.T, side, input string) string {
	group := c.read(t, input)
	if !c.trackers[side].Doubts(&group) {
		return ""
	}
	return "(" + strings.Join(kinds(c.trackers[side].Ask(nil, &group)), " ") + ")\n"
}

// kinds returns the types of messages.
func kinds(raw []byte) (types []string) {
	r := wire.NewReader(strings.NewReader(string(raw)))
	for f, err := r.Frame(); err == nil; f, err = r.Frame() {
		types = append(types, string(f.Type()))
	}
	return types
}

func (c *conversation) send(t *testing.T, side, input string) string {
	return c.encode(side, c.read(t, input))
}

func (c *conversation) encode(side string, group session.Group) string {
	var out []string
	for _, m := range group.Messages {
		types := kinds(c.trackers[side].Encode(nil, m))
		for i := range types[:max(len(types)-1, 0)] {
			types[i] = "(" + types[i] + ")"
		}
		out = append(out, types...)
	}
	return strings.Join(out, " ") + "\n"
}

// frame makes a client's message of a line: its type, and its words.
func frame(t *testing.T, line string) wire.Frame {
	kind, rest, _ := strings.Cut(line, " ")
	b := wire.Builder(nil)
	first, second, _ := strings.Cut(rest, " ")
	name := func(s string) []byte { return wire.String(strings.Trim(s, `"`)) }
	switch kind {
	case "Q":
		b = b.Query(rest)
	case "P":
		b = b.Message('P', name(first), wire.String(second), []byte{0, 0})
	case "B":
		b = b.Message('B', name(first), name(second), make([]byte, 6))
	case "D", "C":
		b = b.Message(kind[0], []byte(first), name(second))
	case "E":
		b = b.Message('E', name(first), make([]byte, 4))
	case "S":
		b = b.Sync()
	default:
		t.Fatalf("message %q", line)
	}
	return wire.Frame(b)
}

func (c *conversation) reply(t *testing.T, side, input string) string {
	tr := c.trackers[side]
	var out []string
	for line := range strings.Lines(input) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		b := wire.Builder(nil)
		switch kind {
		case "C":
			b = b.Complete(rest)
		case "Z":
			b = b.Ready(rest[0])
		case "E":
			code, message, _ := strings.Cut(rest, " ")
			b = b.Error(&wire.Error{Severity: "ERROR", Code: code, Message: message})
		case "T":
			b = b.Message('T', []byte{0, 1}, wire.String(rest), make([]byte, 18))
		default:
			b = b.Message(kind[0])
		}
		f := wire.Frame(b)
		words := tr.Words(f)
		show := tr.Reply(f)
		out = append(out, kinds(tr.Owed())...)
		if !show {
			continue
		}
		if e, err := wire.ParseError(words.Body()); kind == "E" && err == nil && string(words) != string(f) {
			kind += " " + e.Code
		}
		out = append(out, kind)
	}
	s := strings.Join(out, " ")
	if tr.Idle() {
		s += fmt.Sprintf(" [idle %c]", tr.Status)
	}
	if promise, ok := c.state.Consistency(); ok {
		s += fmt.Sprintf(" [%s]", promise)
	}
	if c.state.Pinned != "" {
		s += " [pinned: " + c.state.Pinned + "]"
	}
	return strings.TrimSpace(s) + "\n"
}

// TestAPortalIsKnownPastTheEndBefore: the end of one transaction may come between
// the Bind and the Execute of the next one, whose verdict must not be lost.
func TestAPortalIsKnownPastTheEndBefore(t *testing.T) {
	c := newConversation()
	c.send(t, "main", "Q select 1")
	read := func(line string) session.Message {
		m, err := c.state.Read(frame(t, line))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	read(`P "" select pg_advisory_lock(1)`)
	read(`B "" ""`)
	read(`B named ""`)
	c.reply(t, "main", "T\nD\nC SELECT 1\nZ I")
	for _, line := range []string{`E ""`, `E named`} {
		if m := read(line); m.Verdict == nil || m.Verdict.Where != classify.Primary {
			t.Errorf("%s: %+v", line, m.Verdict)
		}
	}
	c.state.EndPortals()
	if m := read(`E ""`); m.Verdict != nil {
		t.Errorf("past the end: %+v", m.Verdict)
	}
}
