package gateway

import (
	"context"
	"errors"
	"net/http"

	"meridian"
	"meridian/gateway/ledger"
)

// statusGone is what logs and metrics say of a caller who went away; nobody
// reads it from the wire.
const statusGone = 499

// A reply is the status code and message of an error.
type reply struct {
	status  int
	message string
}

// statuses is the one table from kinds to what an HTTP API answers.
var statuses = map[meridian.Kind]reply{
	meridian.Internal:           {http.StatusInternalServerError, "Internal Server Error"},
	meridian.Invalid:            {http.StatusBadRequest, "Bad Request"},
	meridian.Unauthenticated:    {http.StatusUnauthorized, "Unauthorized"},
	meridian.Forbidden:          {http.StatusForbidden, "Forbidden"},
	meridian.NotFound:           {http.StatusNotFound, "Not Found"},
	meridian.TooLarge:           {http.StatusRequestEntityTooLarge, "Request Entity Too Large"},
	meridian.Throttled:          {http.StatusTooManyRequests, "Too Many Requests"},
	meridian.Timeout:            {http.StatusServiceUnavailable, "Service Unavailable"},
	meridian.Canceled:           {statusGone, "Client Closed Request"},
	meridian.Unavailable:        {http.StatusServiceUnavailable, "Service Unavailable"},
	meridian.PrimaryUnavailable: {http.StatusServiceUnavailable, "Service Unavailable"},
	meridian.Crashed:            {http.StatusInternalServerError, "Internal Server Error"},
	meridian.Malformed:          {http.StatusInternalServerError, "Internal Server Error"},
}

// The answers that have no kind of their own. The last is for a request
// that another region may have executed.
var (
	headersTooLarge = reply{http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large"}
	methodNotTaken  = reply{http.StatusMethodNotAllowed, "Method Not Allowed"}
	notExpected     = reply{http.StatusExpectationFailed, "Expectation Failed"}
	forwardSlow     = reply{http.StatusGatewayTimeout, "Gateway Timeout"}
)

// onceAs is what a request is answered that has a key and is not executed.
var onceAs = map[ledger.Do]reply{
	ledger.Busy:     {http.StatusConflict, "Conflict"},
	ledger.Spent:    {http.StatusConflict, "Conflict"},
	ledger.Unknown:  {http.StatusConflict, "Conflict"},
	ledger.Spoiled:  {http.StatusConflict, "Conflict"},
	ledger.Mismatch: {http.StatusUnprocessableEntity, "Unprocessable Entity"},
}

// replyTo returns the answer to an error.
func replyTo(k meridian.Kind) reply {
	if r, ok := statuses[k]; ok {
		return r
	}
	return statuses[meridian.Internal]
}

// kindOf returns the kind of an error, and that of the context's end for an
// error that only repeats it.
func kindOf(err error) meridian.Kind {
	k := meridian.KindOf(err)
	switch {
	case k != meridian.Internal:
		return k
	case errors.Is(err, context.DeadlineExceeded):
		return meridian.Timeout
	case errors.Is(err, context.Canceled):
		return meridian.Canceled
	}
	return k
}
