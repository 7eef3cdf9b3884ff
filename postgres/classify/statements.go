package classify

import (
	"slices"
	"strings"
)

// byFirst judges statements other than plain writes by their first word. It
// returns nil for a word that it does not know.
func (s *scan) byFirst(first string) *Verdict {
	switch first {
	case "select", "values", "table", "with":
		return s.read(0, "a read")
	case "explain":
		if i := s.executes(first); i > 0 {
			return s.execute(i)
		}
		return s.read(0, "a read")
	case "show":
		return s.show()
	case "begin", "start":
		return s.begin()
	case "commit", "end", "rollback", "abort":
		return s.end()
	case "savepoint", "release":
		return either(Inside)
	case "unlisten":
		return either(Aside)
	case "set":
		return s.set()
	case "reset":
		return s.reset()
	case "discard":
		return s.discard()
	case "prepare":
		return s.prepare()
	case "execute":
		return s.execute(0)
	case "deallocate":
		return s.deallocate()
	case "declare":
		return s.declare()
	case "fetch", "move", "close":
		return &Verdict{Where: Either, Why: "a cursor lives where it was declared", Block: Aside, Count: 1}
	case "listen":
		return s.listen()
	case "copy":
		return s.copy()
	}
	return nil
}

// show judges SHOW.
func (s *scan) show() *Verdict {
	if name, _ := s.parameter(1); slices.Contains(saysOn, name) {
		v := primary(name + ": a standby says on")
		v.Alike = name == "transaction_read_only"
		return v
	}
	v := s.read(0, "a read")
	v.Looks = false
	return v
}

func either(block Block) *Verdict {
	return &Verdict{Where: Either, Why: "it goes where the block is", Block: block, Count: 1}
}

// begin judges BEGIN and START TRANSACTION.
func (s *scan) begin() *Verdict {
	v := &Verdict{Where: Primary, Why: "a block that is not READ ONLY", Block: Begin, Foldable: true, Count: 1}
	serializable := false
	for i := 1; i < len(s.toks); i++ {
		v.Foldable = v.Foldable && (s.is(i, ",") || beginWord[s.name(i)])
		switch {
		case s.are(i, "read", "only"):
			v.ReadOnly = true
		case s.are(i, "read", "write"):
			v.ReadOnly = false
		case s.is(i, "serializable"):
			serializable = true
		case s.is(i, "repeatable"):
			v.Steady = true
		}
	}
	v.Lazy = v.Foldable && !v.ReadOnly && !v.Steady && !serializable && s.has("write") < 0
	switch {
	case v.ReadOnly && serializable:
		v.Why = "a standby has no SERIALIZABLE"
	case v.ReadOnly:
		v.Where, v.Why = Standby, "a READ ONLY block"
	}
	return v
}

// beginWord are the words that BEGIN takes: with any other it may fail.
var beginWord = set("transaction work isolation level read only write uncommitted committed repeatable serializable not deferrable")

func (s *scan) end() *Verdict {
	switch {
	case s.is(1, "prepared"):
		v := primary("two-phase commit")
		v.DDL = true // perhaps
		return v
	case s.has("to") > 0:
		return either(Inside)
	}
	v := either(End)
	v.Commits = s.is(0, "commit") || s.is(0, "end")
	v.Foldable = s.has("chain") < 0 || s.has("no") > 0
	return v
}

// IsRollback reports whether a statement that ends a block undoes it.
func IsRollback(text []byte) bool {
	s := scan{text: text, toks: lex(nil, text)}
	return s.is(0, "rollback") || s.is(0, "abort")
}

// IsPrepared reports whether a statement is PREPARE TRANSACTION, which ends a block that
// has failed as ROLLBACK does.
func IsPrepared(text []byte) bool {
	s := scan{text: text, toks: lex(nil, text)}
	return s.are(0, "prepare", "transaction")
}

// AsRollback returns a script with ROLLBACK in place of its first statement, which is
// longer. What follows stays where it is: errors say at which character they are.
func AsRollback(script []byte) []byte {
	s := scan{text: script, toks: lex(nil, script)}
	last := 0
	for last+1 < len(s.toks) && !s.is(last+1, ";") {
		last++
	}
	out := slices.Clone(script)
	for i := s.toks[0].start; i < s.toks[last].end; i++ {
		out[i] = ' '
	}
	copy(out[s.toks[0].start:], "ROLLBACK")
	return out
}

// BeginTag returns the tag that a statement which begins a block is completed
// with.
func BeginTag(text []byte) string {
	if s := (scan{text: text, toks: lex(nil, text)}); s.is(0, "start") {
		return "START TRANSACTION"
	}
	return "BEGIN"
}

// set judges SET in all its forms.
func (s *scan) set() *Verdict {
	i := 1
	switch name, end := s.parameter(2); {
	case s.is(1, "local") && own(name):
		return s.setOwn(name, end, true)
	case s.is(1, "local"), s.is(1, "transaction"), s.is(1, "constraints"):
		return either(Inside)
	case s.are(1, "session", "characteristics"):
		return s.setting("session characteristics")
	case s.are(1, "session", "authorization"):
		return s.setting("session authorization")
	case s.is(1, "session"):
		i = 2
	}
	if s.are(i, "time", "zone") {
		return s.setting("timezone")
	}
	name, end := s.parameter(i)
	if own(name) {
		return s.setOwn(name, end, false)
	}
	return s.setting(name)
}

// parameter returns the name of the setting at token i, and the token after.
func (s *scan) parameter(i int) (name string, end int) {
	name = s.name(i)
	for i++; s.is(i, "."); i += 2 {
		name += "." + s.name(i+1)
	}
	return strings.ToLower(name), i
}

func (s *scan) setting(name string) *Verdict {
	v := &Verdict{Where: Standby, Why: "a setting of the session", Count: 1}
	v.Effects = append(v.Effects, Effect{Act: Set, Name: name, SQL: s.sql()})
	if why := pins(name, s.sql()); why != "" {
		v.Effects = append(v.Effects, Effect{Act: Pin, Name: why})
	}
	return v
}

// pins says of settings that change how a text is read why the session must
// stay on the primary.
func pins(name, value string) string {
	switch name {
	case "standard_conforming_strings":
		return "standard_conforming_strings was set"
	case "client_encoding", "names":
		if UnsafeEncoding(value) {
			return "an encoding whose letters may hold quotes"
		}
	}
	return ""
}

// UnsafeEncoding reports whether text names an encoding in which a byte of
// ASCII may be part of another letter, so that texts cannot be scanned.
func UnsafeEncoding(text string) bool {
	text = strings.ToLower(text)
	for _, e := range []string{"sjis", "shift", "big5", "gbk", "uhc", "gb18030", "johab", "936", "949", "950", "932"} {
		if strings.Contains(text, e) {
			return true
		}
	}
	return false
}

func (s *scan) reset() *Verdict {
	if s.is(1, "all") {
		return &Verdict{Where: Standby, Why: "a setting of the session", Count: 1, Effects: []Effect{{Act: ResetAll}}}
	}
	if s.are(1, "session", "authorization") {
		return s.setting("session authorization")
	}
	if s.are(1, "time", "zone") {
		return s.setting("timezone")
	}
	name, _ := s.parameter(1)
	return s.setting(name)
}

func (s *scan) discard() *Verdict {
	v := either(Inside)
	if s.is(1, "all") {
		v.Effects = []Effect{{Act: DiscardAll}}
	}
	return v
}

// prepare judges PREPARE; the statement's body is judged when it is executed.
func (s *scan) prepare() *Verdict {
	as := s.has("as")
	if s.is(1, "transaction") || as < 0 || as+1 >= len(s.toks) {
		return primary("two-phase commit")
	}
	body := string(s.text[s.toks[as+1].start:s.toks[len(s.toks)-1].end])
	return &Verdict{Where: Standby, Why: "a statement is prepared", Count: 1,
		Effects: []Effect{{Act: Prepare, Name: s.name(1), SQL: s.sql(), Text: body}}}
}

// execute judges EXECUTE, which is token i.
func (s *scan) execute(i int) *Verdict {
	v := s.read(i+2, "a prepared read")
	v.Execute = s.name(i + 1)
	if v.Execute == "" {
		return primary("not understood")
	}
	return v
}

// executes returns the index of the EXECUTE that a statement consists of, that
// EXPLAIN explains or that CREATE TABLE AS keeps the result of; or -1.
func (s *scan) executes(first string) int {
	switch first {
	case "execute":
		return 0
	case "explain":
		i, depth := 1, 0
		for ; depth > 0 || s.is(i, "(") || s.is(i, "analyze") || s.is(i, "analyse") || s.is(i, "verbose"); i++ {
			switch {
			case i >= len(s.toks):
				return -1
			case s.is(i, "("):
				depth++
			case s.is(i, ")"):
				depth--
			}
		}
		if s.is(i, "create") {
			return s.keeps(i)
		}
		if s.is(i, "execute") {
			return i
		}
	case "create":
		return s.keeps(0)
	}
	return -1
}

// keeps returns the index of EXECUTE in the CREATE TABLE AS at token i, or -1.
func (s *scan) keeps(i int) int {
	for ; i < len(s.toks); i++ {
		if s.are(i, "as", "execute") {
			return i + 1
		}
	}
	return -1
}

// uses returns the prepared statements that the backend must have as the session
// has them, for the statement to end as it should. PREPARE of a name that is
// taken is an error.
func (s *scan) uses(first string) []string {
	at := -1
	switch first {
	case "prepare", "deallocate":
		at = 0
		if s.is(1, "prepare") && len(s.toks) > 2 {
			at = 1
		}
	default:
		at = s.executes(first)
	}
	if at < 0 || s.is(at+1, "transaction") && first == "prepare" || s.is(at+1, "all") {
		return nil
	}
	if name := s.name(at + 1); name != "" {
		return []string{name}
	}
	return nil
}

func (s *scan) deallocate() *Verdict {
	i := 1
	if s.is(1, "prepare") && len(s.toks) > 2 {
		i = 2
	}
	v := &Verdict{Where: Standby, Why: "a prepared statement is dropped", Count: 1}
	if s.is(i, "all") {
		v.Effects = []Effect{{Act: DeallocateAll}}
	} else {
		v.Effects = []Effect{{Act: Deallocate, Name: s.name(i)}}
	}
	return v
}

func (s *scan) declare() *Verdict {
	for i := range s.toks {
		if s.are(i, "with", "hold") {
			v := primary("a cursor that outlives its block")
			v.Effects = []Effect{{Act: Pin, Name: "a cursor WITH HOLD"}}
			return v
		}
	}
	v := s.read(1, "a cursor over a read")
	v.Plain, v.Block = false, Inside
	return v
}

func (s *scan) listen() *Verdict {
	v := primary("notifications come from the primary")
	v.Effects = []Effect{{Act: Pin, Name: "LISTEN"}}
	return v
}

// copy judges COPY: only COPY ... TO STDOUT is a read.
func (s *scan) copy() *Verdict {
	depth := 0
	for i := range s.toks {
		switch {
		case s.is(i, "("):
			depth++
		case s.is(i, ")"):
			depth--
		case depth == 0 && s.is(i, "to") && s.is(i+1, "stdout"):
			v := *s
			v.toks = append([]token(nil), s.toks[:i]...) // options follow
			return v.readCopy()
		}
	}
	v := primary("COPY into a table, or a file of the server")
	v.Copies = true
	return v
}

// readCopy judges what COPY reads. A table's column list looks like a call.
func (s *scan) readCopy() *Verdict {
	if s.is(1, "(") {
		return s.read(1, "COPY of a read")
	}
	for i := 1; i < len(s.toks) && !s.is(i, "("); i++ {
		name := s.name(i)
		if why := silentReason(name); why != "" {
			return primary(name + ": " + why)
		}
		if why, ok := s.names.Reaches[name]; ok {
			return primary(name + ": " + why)
		}
	}
	return &Verdict{Where: Standby, Why: "COPY of a table", Plain: true, Looks: true, Count: 1}
}

// setsByFunction reports whether the statement names set_config.
func (s *scan) setsByFunction() bool { return s.has("set_config") >= 0 }

// configEffect returns what set_config leaves: nothing if it is local to the
// transaction; a setting if the statement is that call alone, with constants;
// else a pin, since the call cannot be repeated elsewhere.
func (s *scan) configEffect() []Effect {
	i := s.has("set_config")
	local := s.is(i+1, "(") && s.is(i+6, "true") && s.is(i+7, ")") && s.is(i+3, ",") && s.is(i+5, ",")
	name := ""
	if s.is(i+1, "(") && i+4 < len(s.toks) && s.toks[i+2].kind == str {
		name = strings.ToLower(s.value(i + 2))
	}
	switch {
	case local && own(name):
		return []Effect{{Act: SetLocal, Name: name, Text: s.value(i + 4)}}
	case local:
		return nil
	}
	start := 1
	if s.are(1, "pg_catalog", ".") {
		start = 3
	}
	whole := s.is(0, "select") && i == start && len(s.toks) == i+8 && s.is(i+6, "false") &&
		s.toks[i+2].kind == str && s.toks[i+4].kind == str && s.is(i+7, ")")
	if !whole {
		return []Effect{{Act: Pin, Name: "set_config in a statement that cannot be repeated"}}
	}
	if why := pins(name, s.sql()); why != "" {
		return []Effect{{Act: Pin, Name: why}}
	}
	e := Effect{Act: Set, Name: name, SQL: s.sql()}
	if own(name) {
		e.Text = s.value(i + 4)
	}
	return []Effect{e}
}
