package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian/postgres/wire"
)

// TestWhatMovesAGroup: what another server may know moves a group, what the text or
// the session has wrong does not.
func TestWhatMovesAGroup(t *testing.T) {
	for _, x := range []struct {
		code, message, routine string
		moves                  bool
	}{
		{"42P01", "relation \"x\" does not exist", "parserOpenTable", true},
		{"42883", "function f() does not exist", "ParseFuncOrColumn", true},
		{"42703", "column \"c\" does not exist", "errorMissingColumn", true},
		{"42704", "type \"t\" does not exist", "typenameType", true},
		{"42501", "permission denied for table x", "aclcheck_error", true},
		{"42804", "UNION types integer and text cannot be matched", "select_common_type", true},
		{"42601", "each UNION query must have the same number of columns", "transformSetOperationTree", true},
		{"42601", "syntax error at or near \"selec\"", "scanner_yyerror", false},
		{"42601", "type modifier cannot have parameter name", "base_yyparse", false},
		{"42P03", "cursor \"c\" already exists", "CreatePortal", false},
		{"42P05", "prepared statement \"a\" already exists", "StorePreparedStatement", false},
		{"42712", "table name \"t\" specified more than once", "checkNameSpaceConflicts", false},
		{"3B001", "savepoint \"a\" does not exist", "RollbackToSavepoint", false},
		{"3F000", "schema \"s\" does not exist", "get_namespace_oid", true},
		{"26000", "prepared statement \"a\" does not exist", "FetchPreparedStatement", true},
		{"34000", "cursor \"c\" does not exist", "PerformPortalFetch", true},
		{"22023", "role \"r\" does not exist", "call_string_check_hook", true},
		{"22023", "invalid value for parameter \"TimeZone\": \"x\"", "call_string_check_hook", false},
		{"22012", "division by zero", "int4div", false},
		{"25006", "cannot execute INSERT in a read-only transaction", "PreventCommandIfReadOnly", true},
	} {
		e := &wire.Error{Code: x.code, Message: x.message, Others: "R" + x.routine + "\x00"}
		if r := refused(e, false); r.moves != x.moves {
			t.Errorf("%s %s: moves is %v", x.code, x.message, r.moves)
		}
	}
}

// TestNothingOfATrialHolds sends groups that prepare and close before something that
// the standby alone refuses: on the primary they run from their beginning, as if they
// had been nowhere.
func TestNothingOfATrialHolds(t *testing.T) {
	w := newWorld(t)
	c, root := w.connect(dsn(w.dub)+"&options=-c%20meridian.consistency%3Deventual"), w.superuser(pair.primary)
	w.exec(root, "drop table if exists unheard", "drop table if exists heard", "create table heard (a int)", "grant select on heard to conduit")
	w.caughtUp(c)
	thaw := w.freeze()
	w.exec(root, "create table unheard (a int)", "grant select on unheard to conduit")
	t.Cleanup(func() { root.Exec(context.Background(), "drop table unheard, heard") })
	pg, ctx := c.PgConn(), t.Context()
	if _, err := pg.Prepare(ctx, "kept", "select 7", nil); err != nil {
		t.Fatal(err)
	}
	batch := func(sql ...string) error {
		b := &pgconn.Batch{}
		for _, s := range sql {
			b.ExecParams(s, nil, nil, nil, nil)
		}
		return pg.ExecBatch(ctx, b).Close()
	}
	refused := w.dub.metrics.byRoute["refused"]
	for _, group := range [][]string{
		{"prepare p1 as select 1", "select a from unheard"},
		{"deallocate p1", "prepare p1 as select 2", "select a from unheard"},
		{"deallocate all", "prepare p1 as select 3", "set work_mem = '5MB'", "select a from unheard"},
	} {
		before := testutil.ToFloat64(refused)
		if err := batch(group...); err != nil {
			t.Errorf("%q: %v", group, err)
		}
		if testutil.ToFloat64(refused) != before+1 {
			t.Errorf("%q was not refused by the standby: the test shows nothing", group)
		}
	}
	thaw()
	w.caughtUp(c)
	if v := simple(t, c, "execute p1"); v != "3" {
		t.Errorf("p1 reads %s", v)
	}
	if v := simple(t, c, "show work_mem"); v != "5MB" {
		t.Errorf("work_mem is %s", v)
	}
	if _, err := pg.ExecPrepared(ctx, "kept", nil, nil, nil).Close(); state(err) != "26000" {
		t.Errorf("DEALLOCATE ALL left a statement: %v", err)
	}
	// What fails on both is undone on both.
	if err := batch("set work_mem = '6MB'", "deallocate p1", "prepare p1 as select 4", "select a from nowhere"); state(err) != "42P01" {
		t.Errorf("%v", err)
	}
	if v := simple(t, c, "execute p1") + simple(t, c, "show work_mem"); v != "45MB" {
		t.Errorf("%s", v)
	}
}
