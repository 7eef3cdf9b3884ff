package session

import (
	"slices"
	"strings"

	"meridian"
	"meridian/postgres/classify"
)

// Consistency returns what the session's reads are promised; ok is false if
// the session has not said.
func (s *State) Consistency() (c meridian.Consistency, ok bool) {
	return promised(s.own(classify.Consistency))
}

// own returns the value of one of the proxy's own settings, or "".
func (s *State) own(name string) string {
	for i := len(s.block) - 1; i >= 0; i-- {
		switch e := s.block[i]; {
		case e.Act == classify.ResetAll:
			return ""
		case (e.Act == classify.Set || e.Act == classify.SetLocal) && e.Name == name:
			return e.Text
		}
	}
	for _, x := range s.settings {
		if x.name == name {
			return x.value
		}
	}
	return ""
}

// Lazy reports whether blocks begin on the standby, where they stay until they
// write. A session that has said anything of isolation has not asked for it.
func (s *State) Lazy() bool {
	switch s.own(classify.Transactions) {
	case classify.Lazy:
	case "":
		if !s.LazyAtStart {
			return false
		}
	default:
		return false
	}
	return !slices.ContainsFunc(s.settings, func(x setting) bool {
		return x.name == "session characteristics" || strings.HasPrefix(x.name, "default_transaction_")
	})
}

// promised reads a value that was judged; "" is the default.
func promised(value string) (meridian.Consistency, bool) {
	if value == "" { // mostly, and an error costs more than the statement's verdict
		return meridian.Consistency{}, false
	}
	c, err := meridian.ParseConsistency(value)
	return c, err == nil
}

// refused is the verdict on what stands for a text with an invalid consistency.
var refused = &classify.Verdict{Where: classify.Standby, Why: "an invalid consistency", Count: 1}

// refusal returns a statement that fails as PostgreSQL fails when a parameter
// is given an invalid value. PostgreSQL itself takes any, since it does not
// know the setting; and it must fail where the statement would run, so that a
// block, or the rest of a pipeline, fails with it.
func refusal(setting, value string) string {
	levels := meridian.Levels
	if setting == classify.Transactions {
		levels = classify.Lazy + ", " + classify.Whole
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`$'\%`, r) {
			return '?'
		}
		return r
	}, value)
	return `DO $meridian$ BEGIN RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'invalid value for parameter "` + setting + `": "` +
		plain + `"', HINT = 'Available values: ` + levels + `.'; END $meridian$`
}
