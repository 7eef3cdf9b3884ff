// Package migrate brings a database's schema to what a folder of SQL files
// says.
//
// Files *.sql are applied in the order of their names, each once, each in one
// transaction together with the record of it. So a file that fails leaves
// nothing behind, and what was applied is never applied again. A file that was
// changed after it was applied is an error: what the database holds can no
// longer be told from the files. A file that is gone is none.
//
// Two nodes may apply at the same time; the second waits and finds nothing
// left to do.
package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian"
)

// lockKey is the advisory lock that one application holds: "meridian" in ASCII.
const lockKey int64 = 0x6d6572696469616e

// table is where it is recorded what was applied. It belongs to the role that
// applies, as what the files make does.
const table = `
CREATE SCHEMA IF NOT EXISTS meridian;
CREATE TABLE IF NOT EXISTS meridian.migrations (
	name       text PRIMARY KEY,
	sha256     text NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now()
)`

// A file is one migration.
type file struct {
	Name, SQL, Sum string
}

// Apply applies what is not applied yet and returns the names. Connections
// must be the primary's, as the role that shall own what the files make. On an
// error the names are of those that were applied before it; a file's own error
// is of kind Invalid and begins with "file:line:".
func Apply(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), dir fs.FS) (applied []string, err error) {
	files, err := read(dir)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	holder, err := connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	defer holder.Close(context.WithoutCancel(ctx)) // releases the lock
	done, err := begin(ctx, holder)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	todo, err := plan(files, done)
	if err != nil {
		return nil, meridian.WithKind(meridian.Invalid, err)
	}
	for _, f := range todo {
		if err := apply(ctx, connect, f); err != nil {
			return applied, err
		}
		applied = append(applied, f.Name)
	}
	return applied, nil
}

func read(dir fs.FS) ([]file, error) {
	names, err := fs.Glob(dir, "*.sql") // in order
	if err != nil {
		return nil, err
	}
	files := make([]file, len(names))
	for i, name := range names {
		content, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		files[i] = file{Name: name, SQL: string(content), Sum: hex.EncodeToString(sum[:])}
	}
	return files, nil
}

// begin takes the lock and returns the checksums of what was applied.
func begin(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey); err != nil {
		return nil, err
	}
	if _, err := conn.PgConn().Exec(ctx, table).ReadAll(); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT name, sha256 FROM meridian.migrations")
	if err != nil {
		return nil, err
	}
	done := map[string]string{}
	var name, sum string
	_, err = pgx.ForEachRow(rows, []any{&name, &sum}, func() error {
		done[name] = sum
		return nil
	})
	return done, err
}

// plan returns the files to apply, in order.
func plan(files []file, done map[string]string) (todo []file, err error) {
	for _, f := range files {
		sum, ok := done[f.Name]
		switch {
		case !ok:
			todo = append(todo, f)
		case sum != f.Sum:
			return nil, fmt.Errorf("%s was changed after it was applied (sha256 %.12s then, %.12s now): restore it, and put the change into a new file", f.Name, sum, f.Sum)
		}
	}
	return todo, nil
}

// apply runs one file on a connection of its own, so that its settings are
// gone with it.
func apply(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), f file) error {
	conn, err := connect(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	const xid = "SELECT pg_current_xact_id()::text"
	var before, after string
	if err := tx.QueryRow(ctx, xid).Scan(&before); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	// The simple protocol takes a file of many statements as it is.
	results, err := conn.PgConn().Exec(ctx, f.SQL).ReadAll()
	if err != nil {
		return f.explain(err, len(results))
	}
	if err := tx.QueryRow(ctx, xid).Scan(&after); err != nil || before != after {
		return meridian.WithKind(meridian.Invalid, fmt.Errorf(
			"%s:1: the file ends the transaction that it runs in (COMMIT or ROLLBACK), so part of it may be applied without a record; remove that", f.Name))
	}
	_, err = tx.Exec(ctx, "INSERT INTO meridian.migrations (name, sha256) VALUES ($1, $2)", f.Name, f.Sum)
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// explain says where in the file an error is, after so many statements that
// went well.
func (f file) explain(err error, done int) error {
	pg := (*pgconn.PgError)(nil)
	if !errors.As(err, &pg) {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	line := lineOfStatement(f.SQL, done)
	if pg.Position > 0 {
		line = lineOfCharacter(f.SQL, int(pg.Position))
	}
	text := pg.Message
	for _, more := range []string{pg.Detail, pg.Hint, pg.Where} {
		if more != "" {
			text += "; " + more
		}
	}
	return meridian.WithKind(meridian.Invalid, fmt.Errorf("%s:%d: %s (SQLSTATE %s)", f.Name, line, text, pg.Code))
}
