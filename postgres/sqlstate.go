package postgres

import (
	"errors"
	"strings"

	"meridian"
	"meridian/postgres/wire"
)

// The SQLSTATEs that the proxy itself answers with (PostgreSQL documentation,
// appendix A).
const (
	stateNotSent       = "08001" // the primary could not be reached: nothing was sent
	stateConnection    = "08006" // the connection was lost; nothing was in doubt
	stateInDoubt       = "08007" // sent, and not answered
	stateCommitted     = "MD001" // it was committed; its answer is lost
	stateUndone        = "40000" // it was sent, and surely not carried out
	stateLostWrite     = "MD002" // a write that was acknowledged is lost with an old primary
	stateUnclaimed     = "MD003" // its request's claim is not part of this history: nothing was carried out
	stateProtocol      = "08P01"
	stateTooOld        = "57P03" // the replica is behind, and there is no primary to ask
	stateFull          = "53300"
	stateNoDatabase    = "3D000"
	statePassword      = "28P01"
	stateNotSupported  = "0A000"
	stateReadOnly      = "25006"
	stateShutdown      = "57P01"
	stateCanceled      = "57014"
	stateInternal      = "XX000"
	stateAuthorization = "28000"
	stateParameter     = "22023"
	stateWarning       = "01000"
)

// byKind is the table from kinds to SQLSTATEs.
var byKind = map[meridian.Kind]string{
	meridian.Invalid:            stateProtocol,
	meridian.Unauthenticated:    statePassword,
	meridian.Forbidden:          stateAuthorization,
	meridian.NotFound:           stateNoDatabase,
	meridian.Throttled:          stateFull,
	meridian.Timeout:            stateFull,
	meridian.Canceled:           stateShutdown,
	meridian.Unavailable:        stateTooOld,
	meridian.PrimaryUnavailable: stateNotSent,
}

// pgError returns what a client is told of err: PostgreSQL's own words if it
// spoke, else the SQLSTATE of err's kind.
func pgError(err error) *wire.Error {
	var e *wire.Error
	if errors.As(err, &e) {
		own := *e
		own.Severity = "ERROR"
		return &own
	}
	code, ok := byKind[meridian.KindOf(err)]
	if !ok {
		code = stateInternal
	}
	return &wire.Error{Severity: "ERROR", Code: code, Message: "meridian: " + err.Error()}
}

// A refusal is what a standby's error means for the statement.
type refusal struct {
	moves    bool   // the primary may well accept it
	remember bool   // and will, whatever the session and the data
	why      string //
}

// syntaxError is what no catalogue changes.
const syntaxError = "42601"

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
		r.moves = strings.Contains(e.Message, "in the future")
	case "22P02":
		r.moves = strings.HasPrefix(e.Message, "invalid input value for enum ")
		r.why = "the standby does not know it: " + e.Message
	case "3F000", "26000", "34000":
		r.moves, r.why = true, "the standby does not know it: "+e.Message
	case "40001", "40P01", "57P04":
		r.moves, r.why = true, "replay on the standby was in its way: "+e.Message
	case syntaxError:
	default: // what there is, of which type, and who may: the primary's catalogues may say something else by now
		if strings.HasPrefix(e.Code, "42") {
			r.moves, r.why = true, "the standby does not know it: "+e.Message
		}
	}
	return r
}
