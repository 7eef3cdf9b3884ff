package postgres

import (
	"strings"

	"meridian/postgres/wire"
)

// noReplication returns why a connection is refused that says so of replication at
// its start, or nil: as PostgreSQL reads it (its ProcessStartupPacket, and parse_bool).
func noReplication(start *wire.Startup) *wire.Error {
	said := strings.ToLower(start.Param("replication"))
	is := func(word string, least int) bool { return len(said) >= least && strings.HasPrefix(word, said) }
	switch {
	case said == "", said == "0", is("false", 1), is("no", 1), is("off", 2):
		return nil
	case said == "1", is("true", 1), is("yes", 1), said == "on", start.Param("replication") == "database":
		return &wire.Error{Severity: "FATAL", Code: stateNotSupported, Message: "meridian: replication connections are not served here"}
	}
	return &wire.Error{Severity: "FATAL", Code: "22023", Message: `invalid value for parameter "replication": "` + start.Param("replication") + `"`,
		Hint: `Valid values are: "false", 0, "true", 1, "database".`}
}
