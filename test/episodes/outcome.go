package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/test/history"
)

// sqlstates says of the database's own refusals whether what was sent may have
// been done all the same. Those that are not here are known by their class.
var sqlstates = map[string]history.Outcome{
	"08001": history.Failed,  // the primary could not be reached: nothing was sent
	"08006": history.Failed,  // the connection was lost; nothing was in doubt
	"08007": history.Unknown, // sent, and not answered
	"40000": history.Undone,  // lost with the primary
	"40003": history.Unknown, // PostgreSQL's own word for it
	"57P03": history.Failed,  // cannot connect now
}

// classes are those of errors that end a statement before it has an effect.
var classes = map[string]bool{"22": true, "23": true, "25": true, "26": true, "28": true, "40": true, "42": true, "53": true}

// outcome says what a client knows after err, and its SQLSTATE or another word
// for it. sent: what would make the effect last was handed to the connection.
func outcome(err error, sent bool) (history.Outcome, string) {
	if err == nil {
		return history.OK, ""
	}
	unless := func(code string) (history.Outcome, string) {
		if sent {
			return history.Unknown, code
		}
		return history.Failed, code
	}
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e):
		if o, ok := sqlstates[e.Code]; ok {
			if !sent {
				o = history.Failed
			}
			return o, e.Code
		}
		if classes[e.Code[:min(2, len(e.Code))]] {
			return history.Failed, e.Code
		}
		return unless(e.Code) // 57P01, for one, comes before the effect or after
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return history.Failed, "rolled-back"
	case errors.Is(err, context.DeadlineExceeded):
		return unless("timeout")
	}
	return unless("lost")
}

// noteOf is what a person wants to know of an error.
func noteOf(err error, sent bool) string {
	switch {
	case err == nil:
		return ""
	case sent:
		return "after it was sent: " + err.Error()
	}
	return "before it was to last: " + err.Error()
}
