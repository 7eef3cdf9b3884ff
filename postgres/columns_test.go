package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestAPlanThatChangedIsRefusedWhateverItsColumns prepares statements on the standby,
// changes their tables, and runs them on the primary, where the number of formats
// tells nothing: of one column, and of as many but of another type. It is so whoever
// changes them, in a block whose BEGIN travels with them and in one that is open.
// Control: what did not change runs.
func TestAPlanThatChangedIsRefusedWhateverItsColumns(t *testing.T) {
	for _, pooling := range []bool{false, true} {
		w := newWorld(t, func(c *Config, _ *Deps) { c.TransactionPooling = pooling })
		home := w.connect(dsn(w.iad))
		for i, alter := range []string{"add b int", "alter a type text", "add b int", "alter a type text"} {
			c, by, table := w.connect(dsn(w.dub)), home, fmt.Sprint("columns", i)
			if i > 1 {
				by = c
			}
			w.exec(home, "drop table if exists "+table, "create table "+table+" (a int)", "insert into "+table+" values (1)")
			w.caughtUp(c)
			w.catalogued(w.dub)
			pg, ctx := c.PgConn(), context.Background()
			for name, sql := range map[string]string{"changes": "select * from " + table, "stays": "select 1"} {
				if _, err := pg.Prepare(ctx, name, sql, nil); err != nil {
					t.Fatal(err)
				}
			}
			heard := w.dub.catalogue.defs.Load()
			w.exec(by, "alter table "+table+" "+alter)
			w.eventually("the definition is heard of", func() bool { return w.dub.catalogue.defs.Load() > heard })
			for _, block := range []string{"begin", "begin; lock " + table} {
				_, err := pg.Exec(ctx, block).ReadAll()
				if err = errors.Join(err, pg.ExecPrepared(ctx, "stays", nil, nil, nil).Read().Err); err != nil {
					t.Errorf("%s: what did not change: %v", alter, err)
				}
				r := pg.ExecPrepared(ctx, "changes", nil, nil, nil).Read()
				var e *pgconn.PgError
				if !errors.As(r.Err, &e) || e.Code != "0A000" || e.Routine != "RevalidateCachedQuery" {
					t.Errorf("%s, in %q: %v %q", alter, block, r.Err, r.Rows)
				}
				if _, err := c.Exec(ctx, "select 1"); state(err) != "25P02" {
					t.Errorf("%s: the block goes on: %v", alter, err)
				}
				w.exec(c, "rollback")
			}
			// Prepared anew, it is what the table is now.
			w.exec(c, "begin")
			err := pg.Deallocate(ctx, "changes")
			_, again := pg.Prepare(ctx, "changes", "select * from "+table, nil)
			if r := pg.ExecPrepared(ctx, "changes", nil, nil, nil).Read(); errors.Join(err, again, r.Err) != nil {
				t.Errorf("%s, prepared anew: %v %v %v", alter, err, again, r.Err)
			}
			w.exec(c, "rollback")
		}
	}
}
