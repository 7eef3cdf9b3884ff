package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/test/history"
)

func TestWhatMayHaveHappenedIsUnknown(t *testing.T) {
	state := func(code string) error { return fmt.Errorf("exec: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err  error
		sent bool
		want history.Outcome
	}{
		{nil, true, history.OK},
		{state("08007"), true, history.Unknown},
		{state("08007"), false, history.Failed}, // of a block whose COMMIT was not sent
		{state("08001"), true, history.Failed},
		{state("57P03"), true, history.Failed},
		{state("57P01"), true, history.Unknown},
		{state("57P01"), false, history.Failed},
		{state("40001"), true, history.Failed},
		{state("40000"), true, history.Undone},
		{state("40000"), false, history.Failed},
		{state("23505"), true, history.Failed},
		{state("XX000"), true, history.Unknown},
		{pgx.ErrTxCommitRollback, true, history.Failed},
		{context.DeadlineExceeded, true, history.Unknown},
		{io.ErrUnexpectedEOF, true, history.Unknown},
		{closedConn{}, true, history.Unknown},
		{io.ErrUnexpectedEOF, false, history.Failed},
		{errors.New("anything"), true, history.Unknown},
	} {
		if got, code := outcome(c.err, c.sent); got != c.want {
			t.Errorf("%v, sent %t: %s (%s), want %s", c.err, c.sent, got, code, c.want)
		}
	}
}

// closedConn is as pgx's error of a connection that it found closed, which it
// returns too if the connection was lost after the statement was sent.
type closedConn struct{}

func (closedConn) Error() string     { return "conn closed" }
func (closedConn) SafeToRetry() bool { return true }
