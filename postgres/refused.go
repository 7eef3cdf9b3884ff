package postgres

import (
	"slices"
	"strings"

	"meridian/postgres/wire"
)

// A refusal is what a standby's error means for the statement.
type refusal struct {
	moves    bool   // the primary may well accept it
	remember bool   // and will, whatever the session and the data
	why      string //
}

// What follows is of class 42 and yet no matter of what the server knows.
var alike = map[string]string{
	"42P03": "a cursor of the session's has the name",
	"42P05": "a prepared statement of the session's has the name",
	"42602": "the name is malformed",
	"42622": "the name is too long",
	"42712": "the text has two tables of one name",
}

// ofText reports whether the error is one that every server has: in the text itself,
// or in what the session has. Of the syntax errors those of the scanner and the
// grammar are; whether both sides of a UNION have as many columns is known from the
// catalogues, as are all others of class 42: what there is, of which type, and who may.
// 3B001, a savepoint that is not there, is of no class that moves.
func ofText(e *wire.Error) bool {
	if e.Code == "42601" {
		return strings.Contains(e.Others, "Rscanner_yyerror\x00") || strings.Contains(e.Others, "Rbase_yyparse\x00")
	}
	return alike[e.Code] != ""
}

// unmade are what settings say that name an object which is not there.
var unmade = []string{`role "`, `invalid value for parameter "default_text_search_config"`, `invalid value for parameter "default_table`, `invalid value for parameter "temp_tablespaces"`}

func startsWithAny(s string, with []string) bool {
	return slices.ContainsFunc(with, func(w string) bool { return strings.HasPrefix(s, w) })
}

// refused judges an error of a standby (shared reference: SQLSTATEs measured on
// hot standbys of PostgreSQL 15). The same error inside a READ ONLY block moves
// the block only if the primary would not refuse it as well.
func refused(e *wire.Error, inBlock bool) refusal {
	recovery := strings.Contains(e.Message, "recovery")
	r := refusal{why: "the standby refused it: " + e.Code + " " + e.Message}
	switch e.Code {
	case "25006":
		r.moves = !inBlock || recovery
		r.remember = !inBlock
	case "0A000":
		r.moves = recovery || strings.Contains(e.Message, "hot standby")
		r.remember = strings.Contains(e.Message, "unlogged")
	case "55000":
		r.moves = recovery || strings.Contains(e.Message, "not yet defined in this session")
		r.remember = recovery
	case "XX000":
		r.moves, r.remember = recovery, recovery
	case "22023":
		r.moves = strings.Contains(e.Message, "in the future") || startsWithAny(e.Message, unmade)
	case "22P02":
		r.moves = strings.HasPrefix(e.Message, "invalid input value for enum ")
		r.why = "the standby does not know it: " + e.Message
	case "3F000", "26000", "34000": // what a function prepared or opened on the primary is unknown here
		r.moves, r.why = true, "the standby does not know it: "+e.Message
	case "40001", "40P01", "57P04":
		r.moves, r.why = true, "replay on the standby was in its way: "+e.Message
	default:
		if strings.HasPrefix(e.Code, "42") && !ofText(e) {
			r.moves, r.why = true, "the standby does not know it: "+e.Message
		}
	}
	return r
}
