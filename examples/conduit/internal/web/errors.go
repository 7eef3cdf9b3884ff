package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/jackc/pgx/v5/pgconn"
)

// An Error is an answer that is not a success. It encodes as the API's error
// object: {"errors": {"title": ["can't be blank"]}}.
type Error struct {
	Status int                 `json:"-"`
	Errors map[string][]string `json:"errors"`
}

func (e *Error) Error() string {
	for key, texts := range e.Errors {
		for _, text := range texts {
			return key + " " + text
		}
	}
	return http.StatusText(e.Status)
}

func newError(status int, key, text string) *Error {
	return &Error{Status: status, Errors: map[string][]string{key: {text}}}
}

// Unauthorized is for a caller who is not known: 401.
func Unauthorized(key, text string) error { return newError(http.StatusUnauthorized, key, text) }

// Forbidden is for a caller who is known, and not the owner: 403.
func Forbidden(thing string) error { return newError(http.StatusForbidden, thing, "forbidden") }

// NotFound names the kind of thing that is not there: 404.
func NotFound(thing string) error { return newError(http.StatusNotFound, thing, "not found") }

// Invalid is for input that breaks a rule: 422.
func Invalid(key, text string) error { return newError(http.StatusUnprocessableEntity, key, text) }

// Taken says which unique values already belong to somebody else. Creating
// such a thing is a 409; changing one to it is a 422.
func Taken(status int, keys ...string) error {
	e := &Error{Status: status, Errors: map[string][]string{}}
	for _, key := range keys {
		e.Errors[key] = []string{"has already been taken"}
	}
	return e
}

// explain is the one table from what went wrong to what the client is told.
// Text of the database never reaches the client.
func explain(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return explainSQLState(pg.Code)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), pgconn.Timeout(err):
		return newError(http.StatusGatewayTimeout, "server", "ran out of time")
	case isNetwork(err):
		return newError(http.StatusServiceUnavailable, "database", "is unavailable")
	}
	return newError(http.StatusInternalServerError, "server", "failed")
}

func explainSQLState(code string) *Error {
	switch {
	case code == "57014": // query_canceled
		return newError(http.StatusGatewayTimeout, "server", "ran out of time")
	case code == "25006": // read_only_sql_transaction: no primary took the write
		return newError(http.StatusServiceUnavailable, "database", "is unavailable")
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57": // connection, resources, operator intervention
		return newError(http.StatusServiceUnavailable, "database", "is unavailable")
	case "22": // data exception: text that is not UTF-8, or has a zero byte
		return newError(http.StatusUnprocessableEntity, "body", "is invalid")
	}
	return newError(http.StatusInternalServerError, "server", "failed")
}

// isNetwork reports a database that could not be reached, or that hung up.
func isNetwork(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
