package postgres

import (
	"errors"

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
	stateFailed        = "25P02" // a block has failed
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
