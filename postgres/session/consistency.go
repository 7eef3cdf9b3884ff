package session

import (
	"strings"

	"meridian"
	"meridian/postgres/classify"
)

// Consistency returns what the session's reads are promised; ok is false if
// the session has not said.
func (s *State) Consistency() (c meridian.Consistency, ok bool) {
	for i := len(s.block) - 1; i >= 0; i-- {
		switch e := s.block[i]; {
		case e.Act == classify.ResetAll:
			return c, false
		case (e.Act == classify.Set || e.Act == classify.SetLocal) && e.Name == classify.Consistency:
			return promised(e.Text)
		}
	}
	for _, x := range s.settings {
		if x.name == classify.Consistency {
			return promised(x.value)
		}
	}
	return c, false
}

// promised reads a value that was judged; "" is the default.
func promised(value string) (meridian.Consistency, bool) {
	c, err := meridian.ParseConsistency(value)
	return c, err == nil
}

// refused is the verdict on what stands for a text with an invalid consistency.
var refused = &classify.Verdict{Where: classify.Standby, Why: "an invalid consistency", Count: 1}

// refusal returns a statement that fails as PostgreSQL fails when a parameter
// is given an invalid value. PostgreSQL itself takes any, since it does not
// know the setting; and it must fail where the statement would run, so that a
// block, or the rest of a pipeline, fails with it.
func refusal(value string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`$'\%`, r) {
			return '?'
		}
		return r
	}, value)
	return `DO $meridian$ BEGIN RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'invalid value for parameter "meridian.consistency": "` +
		plain + `"', HINT = 'Available values: ` + meridian.Levels + `.'; END $meridian$`
}
