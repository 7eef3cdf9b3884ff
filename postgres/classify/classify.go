package classify

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Classify returns the verdict on a text of zero or more statements. A nil n
// knows no function at all.
func Classify(text []byte, n *Names) *Verdict {
	v := judge(text, n)
	v.Names = n
	v.Signals = v.Where == Primary && (bytes.Contains(text, []byte("pg_terminate_backend")) || bytes.Contains(text, []byte("pg_cancel_backend")))
	v.Lists = bytes.Contains(text, []byte("pg_prepared_statement"))
	v.promise(text)
	return v
}

func judge(text []byte, n *Names) *Verdict {
	if n == nil {
		n = &Names{}
	}
	s := scan{text: text, lower: lowered(text), names: n, toks: lex(make([]token, 0, 16+len(text)/4), text)}
	for _, t := range s.toks {
		if t.kind == odd {
			return &Verdict{Where: Primary, Why: "a quote or character that is not understood", Count: 1}
		}
	}
	var all []*Verdict
	for start := 0; start < len(s.toks); {
		end := start
		for end < len(s.toks) && !s.is(end, ";") {
			end++
		}
		if end > start {
			one := s
			one.toks = s.toks[start:end]
			all = append(all, one.statement())
		}
		start = end + 1
	}
	switch len(all) {
	case 0:
		return &Verdict{Where: Standby, Why: "an empty query", Plain: true}
	case 1:
		return all[0]
	}
	return script(all)
}

// script joins the verdicts on a text's statements. They run in one implicit
// transaction, so they run in one place.
func script(all []*Verdict) *Verdict {
	v := &Verdict{Where: Standby, Why: "reads only", Plain: true, Handle: true, Alike: true, Count: len(all)}
	v.Ends = all[0].Block == End && all[0].Foldable
	parted := false
	for _, one := range all {
		v.Alike = v.Alike && one.alike()
		parted = parted || one.Block != NoBlock && one.Block != Aside
		v.Effects = append(v.Effects, one.Effects...)
		v.Uses = append(v.Uses, one.Uses...)
		v.DDL, v.Looks = v.DDL || one.DDL, v.Looks || one.Looks
		v.Writes, v.Copies = v.Writes || one.Writes, v.Copies || one.Copies
		v.Handle = v.Handle && one.Block == NoBlock && one.Execute == "" && len(one.Effects) == 0 && (one.Handle || !one.Writes)
		if one.Block != NoBlock {
			v.Block = Scripted
		}
		if v.Where != Primary && one.Where == Primary {
			v.Where, v.Why, v.Plain = Primary, one.Why, false
		}
		if v.Where != Primary && (!one.Plain || one.Execute != "") {
			v.Where, v.Why, v.Plain = Primary, "several statements that are not all plain reads", false
		}
	}
	v.Handle = v.Handle && v.Writes
	if parted && len(v.Effects) > 0 {
		v.Effects = append(v.Effects, Effect{Act: Pin, Name: "settings in a script with a transaction of its own"})
	}
	return v
}

// alike reports whether any server gives the same answer within a READ ONLY block, which
// is open behind it as well.
func (v *Verdict) alike() bool {
	switch v.Block {
	case Begin:
		return false
	case End:
		return v.Commits && !v.Foldable // COMMIT AND CHAIN
	}
	return v.Where != Primary || v.Alike
}

// A scan is one statement's tokens.
type scan struct {
	text  []byte
	lower string // text in lower case, if it is ASCII
	names *Names
	toks  []token
}

// lowered returns an ASCII text in lower case, and "" for any other.
func lowered(text []byte) string {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return ""
		}
	}
	return strings.ToLower(string(text))
}

func primary(why string) *Verdict { return &Verdict{Where: Primary, Why: why, Writes: true, Count: 1} }

// raw returns a token's text.
func (s *scan) raw(i int) []byte { return s.text[s.toks[i].start:s.toks[i].end] }

// is reports whether token i is that word (in lower case) or punctuation.
func (s *scan) is(i int, w string) bool {
	if i < 0 || i >= len(s.toks) || s.toks[i].kind != word && s.toks[i].kind != punct {
		return false
	}
	return equalFold(s.raw(i), w)
}

// are reports whether the tokens from i are those words.
func (s *scan) are(i int, words ...string) bool {
	for k, w := range words {
		if !s.is(i+k, w) {
			return false
		}
	}
	return true
}

// has returns the index of the first token that is that word, or -1.
func (s *scan) has(w string) int {
	for i := range s.toks {
		if s.is(i, w) {
			return i
		}
	}
	return -1
}

// name returns an identifier as PostgreSQL folds it, or "" if token i is none.
func (s *scan) name(i int) string {
	if i < 0 || i >= len(s.toks) {
		return ""
	}
	switch r := s.raw(i); s.toks[i].kind {
	case word:
		if s.lower != "" {
			return s.lower[s.toks[i].start:s.toks[i].end]
		}
		return strings.ToLower(string(r))
	case quoted:
		return strings.ReplaceAll(string(r[1:len(r)-1]), `""`, `"`)
	}
	return ""
}

// sql returns the statement's own text.
func (s *scan) sql() string {
	return string(s.text[s.toks[0].start:s.toks[len(s.toks)-1].end])
}

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// statement judges by the first word.
func (s *scan) statement() *Verdict {
	if s.is(0, "(") {
		return s.read(0, "a read")
	}
	first := s.name(0)
	if s.toks[0].kind != word {
		return primary("not understood")
	}
	v := s.judge(first)
	v.Uses = s.uses(first)
	return v
}

func (s *scan) judge(first string) *Verdict {
	if v := s.byFirst(first); v != nil {
		if v.Where == Primary {
			v.Effects = append(v.Effects, s.leaves(first)...)
			v.Writes = v.Block == NoBlock && first != "listen" && first != "show"
			v.Handle = v.Writes && s.together(first)
		}
		return v
	}
	if why, ok := writes[first]; ok {
		return s.write(first, why)
	}
	return primary("an unknown statement, " + strings.ToUpper(first))
}

const whyWrite = "a write"

var writes = map[string]string{
	"insert": whyWrite, "update": whyWrite, "delete": whyWrite, "merge": whyWrite, "truncate": whyWrite,
	"lock": "a lock holds only where it was taken", "notify": "notifications come from the primary",
	"call": "a procedure", "do": "a code block",
	"create": "a definition", "alter": "a definition", "drop": "a definition", "comment": "a definition",
	"grant": "a right", "revoke": "a right", "reassign": "a right", "security": "a right",
	"refresh": "a definition", "import": "a definition", "reindex": "maintenance", "cluster": "maintenance",
	"vacuum": "maintenance", "analyze": "maintenance", "analyse": "maintenance", "checkpoint": "maintenance",
	"load": "it acts on the server where it runs",
}

func (s *scan) write(first, why string) *Verdict {
	v := primary(why)
	v.Effects = s.leaves(first)
	v.Writes, v.Handle = first != "lock" && first != "load", s.together(first)
	v.Alike = why == whyWrite
	switch first {
	case "create", "alter", "drop", "import", "do", "call":
		v.DDL = true
	}
	switch {
	case first == "load":
		v.Effects = append(v.Effects, Effect{Act: Pin, Name: "LOAD"})
	case s.makesTemporary(first):
		v.Effects = append(v.Effects, Effect{Act: Pin, Name: "temporary objects"})
	}
	return v
}

// makesTemporary reports whether the statement leaves a temporary object.
func (s *scan) makesTemporary(first string) bool {
	if first == "create" {
		i := 1
		for s.is(i, "or") || s.is(i, "replace") || s.is(i, "local") || s.is(i, "global") {
			i++
		}
		if s.is(i, "temp") || s.is(i, "temporary") {
			return true
		}
	}
	for i, t := range s.toks {
		if (t.kind == word || t.kind == quoted) && s.name(i) == "pg_temp" {
			return true
		}
	}
	return false
}

// read judges the tokens from i by their names.
func (s *scan) read(i int, why string) *Verdict {
	if reason := s.reason(i); reason != "" {
		v := primary(reason)
		if into := s.has("into"); into > 0 && (s.is(into+1, "temp") || s.is(into+1, "temporary")) {
			v.Effects = append(v.Effects, Effect{Act: Pin, Name: "temporary objects"})
		}
		if s.locksForSession() {
			v.Effects = append(v.Effects, Effect{Act: Pin, Name: "a session's advisory lock"})
		}
		if s.setsByFunction() {
			v.Effects = append(v.Effects, Effect{Act: Pin, Name: "set_config in a statement that cannot be repeated"})
		}
		return v
	}
	if name := s.asksOf(i); name != "" && !s.setsByFunction() {
		v := primary(name + ": a standby says on")
		v.Alike = name == "transaction_read_only"
		return v
	}
	v := &Verdict{Where: Standby, Why: why, Plain: true, Looks: true, Count: 1}
	if s.setsByFunction() {
		v.Plain = false
		v.Effects = s.configEffect()
		if len(v.Effects) > 0 && v.Effects[0].Act == Pin {
			v.Where, v.Why = Primary, v.Effects[0].Name
		}
	}
	return v
}

// asksOf returns the setting that a standby answers for by itself and that the tokens
// from i name in quotes, as current_setting() has it, or "".
func (s *scan) asksOf(i int) string {
	for ; i < len(s.toks); i++ {
		if s.toks[i].kind != str {
			continue
		}
		for _, name := range saysOn {
			if equalFold(bytes.Trim(s.raw(i), "'"), name) {
				return name
			}
		}
	}
	return ""
}

// saysOn are the settings that are on where a standby is asked, wherever writes go.
var saysOn = []string{"transaction_read_only", "in_hot_standby"}

func (s *scan) locksForSession() bool {
	for i, t := range s.toks {
		if t.kind == word && bytes.Contains(bytes.ToLower(s.raw(i)), []byte("advisory_lock")) {
			return true
		}
	}
	return false
}

// reason returns why a text that reads belongs on the primary, or "".
func (s *scan) reason(from int) string {
	for i := from; i < len(s.toks); i++ {
		switch s.toks[i].kind {
		case word, quoted:
			if why := s.wordReason(i); why != "" {
				return why
			}
		case op:
			if why, ok := s.names.Reaches[string(s.raw(i))]; ok {
				return "operator " + string(s.raw(i)) + ": " + why
			}
		}
	}
	return ""
}

func (s *scan) wordReason(i int) string {
	name := s.name(i)
	if s.toks[i].kind == word {
		switch name {
		case "insert", "update", "delete", "merge":
			return "a write, " + strings.ToUpper(name)
		case "into":
			return "SELECT INTO"
		case "for":
			if s.is(i+1, "update") || s.is(i+1, "share") || s.is(i+1, "no") || s.is(i+1, "key") {
				return "a row lock"
			}
		}
	}
	called := s.is(i+1, "(")
	if why := silentReason(name); why != "" && (name != "last_value" || !called) {
		return name + ": " + why
	}
	if why, ok := s.names.Reaches[name]; ok {
		return name + ": " + why
	}
	if called && s.calls(i) && !s.names.Known[name] {
		return name + ": a function that is not known here"
	}
	return ""
}

// calls reports whether the name at i, which a parenthesis follows, can be a
// function's: it is no word of the grammar, and no name that the text gives.
func (s *scan) calls(i int) bool {
	if s.toks[i].kind == word && grammar[s.name(i)] {
		return false
	}
	if i > 0 {
		switch p := s.toks[i-1]; {
		case s.is(i-1, ")"), p.kind == quoted:
			return false // t(a, b) after an expression gives it a name
		case p.kind == word && introduces[s.name(i-1)]:
			return false
		case p.kind == word && !s.is(i-1, "all") && !grammar[s.name(i-1)] && !operatorWord[s.name(i-1)]:
			return false
		}
	}
	return !s.introducedByWith(i)
}

// operatorWord are words after which an expression begins and that are not in
// the grammar list since no parenthesis follows them as a rule.
var operatorWord = set("return default then else escape unknown true false")

// introducedByWith reports whether name(...) at i is followed by AS (...), as
// only the columns of a common table expression are.
func (s *scan) introducedByWith(i int) bool {
	depth := 0
	for j := i + 1; j < len(s.toks); j++ {
		switch {
		case s.is(j, "("):
			depth++
		case s.is(j, ")"):
			if depth--; depth == 0 {
				return s.is(j+1, "as") && (s.is(j+2, "(") || s.is(j+2, "materialized") || s.is(j+2, "not"))
			}
		}
	}
	return false
}
