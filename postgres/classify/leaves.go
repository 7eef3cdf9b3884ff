package classify

import "regexp"

// leaving finds in the body of a function or code block what stays in its
// session: settings, temporary objects, session locks and the like.
var leaving = regexp.MustCompile(`(?i)\bset_config\b|\bpg_temp\b|\b(temp|temporary)\s+(table|view|sequence)\b|\binto\s+temp|` +
	`\bpg_(try_)?advisory_lock|\b(listen|load)\s|\bupdate\s+pg_settings\b|(^|;|\b(begin|then|else|loop))\s*set\s`)

// Leaves reports whether code with that body may leave something in its
// session. It errs to the safe side; what the body puts together at run time it
// cannot see.
func Leaves(body string) bool { return leaving.MatchString(body) }

const whyLeaves = "a function that changes the session"

// leaves returns the pin for a statement that runs code which leaves something
// behind, or nil.
func (s *scan) leaves(first string) []Effect {
	for i, t := range s.toks {
		switch {
		case t.kind == str && first == "do" && Leaves(string(s.raw(i))):
			return []Effect{{Act: Pin, Name: "a code block that changes the session"}}
		case t.kind != word && t.kind != quoted && t.kind != op:
		case s.names.Leaves[s.name(i)], t.kind == op && s.names.Leaves[string(s.raw(i))]:
			return []Effect{{Act: Pin, Name: whyLeaves}}
		case first == "update" && s.name(i) == "pg_settings":
			return []Effect{{Act: Pin, Name: "an update of pg_settings"}}
		}
	}
	return nil
}
