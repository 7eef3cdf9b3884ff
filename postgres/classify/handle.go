package classify

// alone are the words with which a definition may not run in a transaction of
// several statements, or may not under some circumstances.
var alone = set("database tablespace subscription concurrently system")

// together reports whether a statement that may write runs, with the same
// outcome, in one transaction with another before it. What may end its own
// transaction (CALL, DO) or refuses to be in one (VACUUM) does not.
func (s *scan) together(first string) bool {
	switch first {
	case "insert", "update", "delete", "merge", "truncate", "copy",
		"comment", "grant", "revoke", "reassign", "security", "import", "refresh":
		return true
	case "create", "alter", "drop":
		for i, t := range s.toks {
			if t.kind == word && alone[s.name(i)] {
				return false
			}
		}
		return true
	case "select", "with", "values", "table", "explain":
		for i, t := range s.toks {
			if (t.kind == word || t.kind == quoted) && silentReason(s.name(i)) != "" {
				return false // it may be bound to its session, and mostly writes nothing
			}
		}
		return true
	}
	return false
}
