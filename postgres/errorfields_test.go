package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What PostgreSQL says of a login that it refuses, and of a session that
// somebody ends, comes with all its fields.
func TestErrorsAreWhole(t *testing.T) {
	w := newWorld(t)
	for _, start := range []string{"&work_mem=much", "&no_such_setting=1", "&shared_buffers=1GB", "&options=-c"} {
		want := startError(t, pair.primary.URL("conduit", "conduit")+"&"+start[1:])
		for _, p := range []*Proxy{w.iad, w.dub} {
			if got := startError(t, dsn(p)+start); got != want || want.Routine == "" || want.Line == 0 {
				t.Errorf("%s in %s: %+v, want %+v", start, p.cfg.Region, got, want)
			}
		}
	}
}

func startError(t *testing.T, dsn string) pgconn.PgError {
	t.Helper()
	c, err := pgx.Connect(context.Background(), dsn)
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v, %v", dsn, c, err)
	}
	return *e
}
