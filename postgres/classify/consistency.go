package classify

import (
	"bytes"
	"strings"

	"meridian"
)

// Consistency is the name of the setting that says what reads are promised.
// PostgreSQL keeps it as a setting of an extension that it does not have.
const Consistency = "meridian.consistency"

// Transactions is the name of the setting that says where the reads of a block
// run that has not written: with lazy on the standby.
const Transactions = "meridian.transactions"

// Lazy is that value of it; the other is Whole, the default.
const (
	Lazy  = "lazy"
	Whole = "whole"
)

// promise notes on v what a hint at the start of text asks for, and a value of
// the setting that is none.
func (v *Verdict) promise(text []byte) {
	if value, ok := hint(text); ok {
		if c, err := meridian.ParseConsistency(value); err == nil {
			v.Consistency = &c
		} else {
			v.Invalid, v.InvalidOf = &value, Consistency
		}
	}
	for _, e := range v.Effects {
		if (e.Act == Set || e.Act == SetLocal) && e.Name == Consistency && e.Text != "" {
			if _, err := meridian.ParseConsistency(e.Text); err != nil {
				v.Invalid, v.InvalidOf = &e.Text, Consistency
			}
		}
		if (e.Act == Set || e.Act == SetLocal) && e.Name == Transactions && e.Text != "" && e.Text != Lazy && e.Text != Whole {
			v.Invalid, v.InvalidOf = &e.Text, Transactions
		}
	}
}

// hint returns the consistency that a comment at the start of a text names, as
// in /* meridian: consistency=global */.
func hint(text []byte) (value string, ok bool) {
	text = bytes.TrimLeft(text, " \t\r\n")
	if !bytes.HasPrefix(text, []byte("/*")) {
		return "", false
	}
	comment, _, closed := strings.Cut(string(text[2:min(len(text), longestHint)]), "*/")
	comment, ours := strings.CutPrefix(strings.TrimSpace(comment), "meridian:")
	if !closed || !ours {
		return "", false
	}
	for pair := range strings.FieldsFuncSeq(comment, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' }) {
		if value, ok := strings.CutPrefix(pair, "consistency="); ok {
			return value, true
		}
	}
	return "", false
}

const longestHint = 256 // bytes

// own reports whether a setting is one of the proxy's own.
func own(name string) bool { return name == Consistency || name == Transactions }

// setOwn judges SET of a setting of the proxy's own, whose name ends before
// token i.
func (s *scan) setOwn(name string, i int, local bool) *Verdict {
	act := Set
	v := &Verdict{Where: Standby, Why: "a setting of the session", Count: 1}
	if local {
		v, act = either(Inside), SetLocal
	}
	v.Effects = []Effect{{Act: act, Name: name, SQL: s.sql(), Text: s.value(i + 1)}}
	return v
}

// value returns what SET or set_config gives, if token i alone says it: "" for
// DEFAULT. PostgreSQL refuses a list.
func (s *scan) value(i int) string {
	switch {
	case i >= len(s.toks), s.is(i, "default"):
		return ""
	case s.toks[i].kind != str:
		return string(s.raw(i))
	}
	r := string(s.raw(i))
	if r[0] == '\'' && len(r) > 2 { // an empty one is no value, and not the default
		return strings.ReplaceAll(r[1:len(r)-1], "''", "'")
	}
	return r
}
