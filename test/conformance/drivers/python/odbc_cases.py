"""PostgreSQL's ODBC driver, by pyodbc: catalogues, its own cursors and its savepoints around each statement."""
import datetime
import decimal
import os
import re
import uuid

import pyodbc

from cases import ERRORS, SETUP, TAGS, case, must, only, run, say

pyodbc.pooling = False
BASE = f"Driver={{PostgreSQL Unicode}};Server={os.environ['PGHOST']};Port={os.environ['PGPORT']};Database={os.environ['PGDATABASE']};Uid={os.environ['PGUSER']};Pwd={os.environ['PGPASSWORD']};SSLmode=disable;"


def connect(more="", **options):
    return pyodbc.connect(BASE + more, **options)


def clean(c):
    c.autocommit = True
    c.execute("set client_min_messages to error")
    c.execute("drop schema if exists odbc_ cascade; create schema odbc_")
    c.execute("reset client_min_messages; set search_path to odbc_, public")


def plain(text):
    return re.sub(r"\b[0-9]{4,}\b", "N", str(text))


def wrong(fn, *args):
    try:
        got = fn(*args)
    except pyodbc.Error as e:
        say(type(e).__name__, *[plain(a) for a in e.args])
        return
    must(False, f"no error: {got!r}")


def rows(c, q, *args):
    return [tuple(r) for r in c.execute(q, *args).fetchall()]


WAYS = ("UseServerSidePrepare=1;", "UseServerSidePrepare=0;", "UseDeclareFetch=1;Fetch=7;", "Protocol=7.4-0;", "Protocol=7.4-1;", "Protocol=7.4-2;", "BoolsAsChar=0;ByteaAsLongVarBinary=1;")


@case()
def what_the_driver_asks(c):
    for n in ("SQL_DBMS_NAME", "SQL_DATABASE_NAME", "SQL_USER_NAME", "SQL_TXN_CAPABLE", "SQL_DEFAULT_TXN_ISOLATION", "SQL_DATA_SOURCE_READ_ONLY", "SQL_CURSOR_COMMIT_BEHAVIOR"):
        say(n, c.getinfo(getattr(pyodbc, n)))
    c.execute("create table t(i serial primary key, s varchar(10) not null default 'x', n numeric(5,2)); create table r(t int references t(i)); create view v as select * from t; create index ix on t(s); create function f(a int, b text) returns int language sql as 'select 1'")
    cur = c.cursor()
    say([(r.table_name, r.table_type) for r in cur.tables(schema="odbc_")])
    say([(r.column_name, r.type_name, r.column_size, r.nullable, r.column_def) for r in cur.columns(schema="odbc_", table="t")])
    say([tuple(r)[3:6] for r in cur.primaryKeys("t", schema="odbc_")], [tuple(r)[2:8] for r in cur.foreignKeys("t", schema="odbc_")])
    say([tuple(r)[3:9] for r in cur.statistics("t", schema="odbc_")], [tuple(r)[2:4] for r in cur.procedures("f", schema="odbc_")])
    say([r[0] for r in cur.getTypeInfo()])


@case()
def values_by_each_way(_):
    for way in WAYS:
        c = connect(way, autocommit=True)
        say(way)
        for v in ("true", "1::int2", "3::int8", "1.10::numeric", "'ä€'::text", "'y '::char(3)", "'\\x00ff'::bytea", "'2024-02-29'::date", "'2000-01-01 12:00:00.5'::timestamp", "'12:00'::time", "'01234567-89ab-cdef-0123-456789abcdef'::uuid", "'{1,null}'::int[]", "null::int", "'[1,5)'::int4range", "'{\"a\":1}'::jsonb"):
            try:
                cur = c.execute(f"select {v}")
                say(v, cur.fetchone()[0], cur.description[0][1:])
            except pyodbc.Error as e:
                say(v, *[plain(a) for a in e.args])
        for a in (True, 1, 2**40, 1.5, decimal.Decimal("1.10"), "ä'\\", b"\x00\xff", datetime.date(2000, 1, 1), datetime.datetime(2000, 1, 1, 1), uuid.UUID(int=7), None):
            try:
                say(a, rows(c, "select ?", a))
            except pyodbc.Error as e:
                say(a, *[plain(x) for x in e.args])
        cur = c.execute("select g, repeat('x', g) from generate_series(1, 50) g where g > ?", 10)
        say(len(cur.fetchmany(5)), len(cur.fetchall()))
        c.close()


@case()
def command_tags(c):
    for q in TAGS:
        try:
            say(q, c.execute(q).rowcount)
        except pyodbc.Error as e:
            say(q, *[plain(a) for a in e.args])


@case()
def errors(c):
    c.execute(SETUP)
    for q in ERRORS:
        for auto in (True, False):
            c.autocommit = auto
            try:
                say(q, auto, c.execute(q).rowcount)
            except pyodbc.Error as e:
                say(q, auto, *[plain(a) for a in e.args])
            except UnicodeError:
                say(q, "not said in UTF-8")
            c.rollback()
        c.autocommit = True


@case()
def blocks_by_each_way(c):
    c.execute("create table t(i int primary key)")
    for k, way in enumerate(WAYS + tuple(f"RollbackOnError={n};" for n in range(3))):
        d = connect(way)
        d.execute("set search_path to odbc_, public")
        d.commit()
        d.execute("insert into t values(?)", 10 * k)
        wrong(d.execute, "insert into t values(?)", 10 * k)
        try:
            say(way, rows(d, "select count(*) from t where i = ?", 10 * k))
        except pyodbc.Error as e:
            say(way, e.args[0])
        d.rollback()
        d.execute("insert into t values(?)", 10 * k)
        d.commit()
        d.execute("delete from t")
        d.rollback()
        say(rows(d, "select count(*) from t"))
        d.commit()
        d.cursor().executemany("insert into t values(?)", [(10 * k + n,) for n in range(1, 8)])
        d.commit()
        d.autocommit = True
        for i in range(1000 * k + 1000, 1000 * k + 1020):
            d.execute("insert into t values(?)", i)
            must(rows(d, "select count(*) from t where i = ?", i) == [(1,)], f"the row {i} is not seen")
        d.close()
    for level in (pyodbc.SQL_TXN_READ_COMMITTED, pyodbc.SQL_TXN_REPEATABLE_READ, pyodbc.SQL_TXN_SERIALIZABLE):
        d = connect()
        d.set_attr(pyodbc.SQL_ATTR_TXN_ISOLATION, level)
        say(rows(d, "show transaction_isolation"), rows(d, "select count(*) from odbc_.t"))
        d.close()


@case()
def several_results(c):
    cur = c.execute("select 1; select 2, 3")
    say([tuple(r) for r in cur.fetchall()], cur.nextset(), [tuple(r) for r in cur.fetchall()], cur.nextset())
    c.execute("create function two() returns setof refcursor language plpgsql as $$declare a refcursor := 'a'; begin open a for select 7; return next a; end$$")
    c.autocommit = False
    say(rows(c, "{call two()}"), rows(c, "fetch all from a"))
    c.rollback()
    say(rows(c, "select {fn ucase('x')}, {d '2000-01-01'}, {fn concat('a', 'b')}"))


@case(pooled=False)
def temporary_and_time(c):
    c.execute("create temp table tt as select 1 a")
    say(rows(c, "table tt"), rows(c, "select pg_try_advisory_lock(80), pg_advisory_unlock(80)"))
    c.execute("create sequence s")
    say(rows(c, "select nextval('s')"), rows(c, "select currval('s')"))
    c.execute("set statement_timeout to 200")
    wrong(c.execute, "select pg_sleep(20)")
    wrong(c.execute, "select pg_sleep(20), pg_advisory_unlock_all()")
    say(rows(c, "select 1"))


only()
run(connect, lambda c: c.close(), clean)
