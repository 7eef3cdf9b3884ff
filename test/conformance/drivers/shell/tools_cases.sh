# pgTAP by pg_prove and psql, and pgcli.
export PGOPTIONS="-c search_path=tools,public -c client_min_messages=error"
dir=$(mktemp -d); trap 'rm -rf $dir' EXIT
psql -Xq -c 'drop schema if exists tools cascade' -c 'create schema tools' -c 'drop extension if exists pgtap' -c 'create extension pgtap schema public' -c "create table t(id serial primary key, name text not null unique, n int default 3 check (n > 0))" \
  -c "create function f(i int) returns int language sql as 'select i + 1'" -c "create index t_n on t(n)" -c "create view v as select name from t"
cat > $dir/one.sql <<'SQL'
begin;
select plan(18);
select has_table('t'); select has_column('t', 'name'); select col_not_null('t', 'name'); select col_type_is('t', 'n', 'integer'); select col_default_is('t', 'n', '3');
select has_pk('t'); select has_index('t', 't_n'); select has_view('v'); select has_function('f', array['integer']); select function_lang_is('f', array['integer'], 'sql');
select lives_ok($$insert into t(name) values('a')$$); select throws_ok($$insert into t(name) values('a')$$, '23505'); select throws_ok($$insert into t(name, n) values('b', 0)$$, '23514');
prepare got as select name from t; select results_eq('got', array['a']); select set_eq('select n from t', array[3]); select is(f(1), 2); select isnt_empty('select * from v'); select performs_ok('got', 10000);
select * from finish();
rollback;
SQL
cat > $dir/units.sql <<'SQL'
create function tools.setup_t() returns setof text language plpgsql as $$begin insert into t(name) values('made'); return next ok(true, 'begun'); end$$;
create function tools.test_rows() returns setof text language plpgsql as $$begin return next is(count(*)::int, 1) from t; insert into t(name) values('x'); end$$;
create function tools.test_again() returns setof text language plpgsql as $$begin return next is(count(*)::int, 1) from t; end$$;
SQL
cat > $dir/bad.sql <<'SQL'
begin; select plan(3); select ok(true, 'well'); select is(1, 2, 'ill'); select * from finish(); rollback;
SQL
echo '== pg_prove'; pg_prove -v -d $PGDATABASE $dir/one.sql 2>&1 | sed -E "s#$dir##; s/^Files=.*//"
echo '== pg_prove, what fails'; pg_prove -v -d $PGDATABASE $dir/bad.sql 2>&1 | sed -E "s#$dir##; s/^Files=.*//"
echo '== tests that are functions'; psql -Xq -f $dir/units.sql; psql -XAtq -c "select * from runtests('tools'::name)" 2>&1; pg_prove -d $PGDATABASE --runtests --schema tools 2>&1 | sed -E 's/^Files=.*//'; psql -XAt -c 'select count(*) from t'
echo '== side by side'; for i in 1 2 3 4; do cp $dir/one.sql $dir/s$i.sql; sed -i "s/'a'/'a$i'/g" $dir/s$i.sql; done; pg_prove -j4 -d $PGDATABASE $dir/s?.sql 2>&1 | grep -vE '^Files=' | sed -E "s#$dir##; s/ +/ /g" | sort
echo '== pgcli, whose prompt needs a terminal: what it executes, and what it completes from'
/usr/bin/python3 - <<'PY' 2>&1 | sed -E 's/ +$//'
import logging, os
logging.disable()
from pgcli.packages.parseutils.meta import FunctionMetadata
from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial
e = PGExecute(os.environ["PGDATABASE"], os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGHOST"], os.environ["PGPORT"], options=os.environ["PGOPTIONS"])
for q in (r"\dt", r"\d t", r"\d+ t", r"\d v", r"\df tools.f", r"\sf tools.f", r"\dv", r"\di", r"\dn tools", r"\dT", r"\du pg_monitor", r"\l+ conduit", "insert into t(name) values('by pgcli')", "select name, n from t", "begin", "update t set n = 5", "select n from t; select 1/0", "rollback", "select n from t", "selec 1", "savepoint s"):
    print(q)
    def run():
        try:
            yield from e.run(q, PGSpecial())
        except Exception as x:
            print(" ", type(x).__name__, x)
    for title, rows, headers, status, sql, ok, special in run():
        print(" ", title, headers, [tuple(r) for r in rows] if rows is not None and not q.startswith(r"\l") else rows and len(list(rows)), status, ok)
print(e.search_path(), "tools" in e.schemata())
print([t for t in e.tables() if t[0] == "tools"], [t for t in e.views() if t[0] == "tools"], [c for c in e.table_columns() if c[0] == "tools"], [c for c in e.view_columns() if c[0] == "tools"])
print([(f.schema_name, f.func_name, f.arg_types, f.return_type) for f in e.functions() if f.schema_name == "tools"], [k for k in e.foreignkeys() if k[0] == "tools"], len([d for d in e.datatypes() if d[0] == "tools"]), "conduit" in e.databases())
print(e.view_definition("v"), e.function_definition("f"), len(list(e.casing())) > 0)
PY
