"""psycopg2, area by area as its own suite goes. A connection is in a block from its first statement on."""
import io
import re
import select
import threading
import time

import psycopg2
import psycopg2.errors
from psycopg2 import extensions as ext
from psycopg2 import extras, sql

from cases import CA, DSN, ERRORS, SETUP, TAGS, WAY, case, must, only, run, say

DIAG = ("severity", "severity_nonlocalized", "sqlstate", "message_primary", "message_detail", "message_hint", "statement_position", "internal_position",
        "internal_query", "context", "schema_name", "table_name", "column_name", "datatype_name", "constraint_name", "source_function")


def connect(**more):
    return psycopg2.connect(DSN, connect_timeout=20, **more)


def other(**more):
    d = connect(options="-c meridian.consistency=global -c search_path=psycopg2_,public", **more)
    d.autocommit = True
    return d


def clean(c):
    c.autocommit = True
    for (gid,) in rows(c, "select gid from pg_prepared_xacts where database = current_database()"):
        do(c, "rollback prepared '" + gid + "'")
    do(c, "set client_min_messages to error")
    do(c, "drop schema if exists psycopg2_ cascade; create schema psycopg2_; reset client_min_messages; set search_path to psycopg2_, public")
    c.autocommit = False


def do(c, q, *args):
    cur = c.cursor()
    cur.execute(q, *args)
    return cur


def rows(c, q, *args):
    return do(c, q, *args).fetchall()


def one(c, q, *args):
    return do(c, q, *args).fetchone()[0]


def wrong(fn, *args, **more):
    try:
        got = fn(*args, **more)
    except psycopg2.Error as e:
        if e.pgcode is None:
            say(type(e).__name__, re.sub(r"[0-9]{4,}", "N", str(e).split("\n")[0]))
        else:
            say(type(e).__name__, *[f"{f}={getattr(e.diag, f)}" for f in DIAG if getattr(e.diag, f)])
        return
    must(False, f"no error: {got!r}")


@case()
def parameters_at_the_start(c):
    for more in ({"application_name": "psycopg2's"}, {"client_encoding": "latin1"}, {"options": "-c work_mem=3MB -c search_path=a,b"}, {"target_session_attrs": "read-write"}, {"target_session_attrs": "primary"},
                 {"cursor_factory": extras.DictCursor}, {"keepalives": 1}):
        d = connect(**more)
        say(list(more), d.encoding, d.status, d.get_transaction_status(), d.server_version // 10000, d.protocol_version, d.info.dbname, d.info.user,
            *[one(d, f"show {n}") for n in ("application_name", "client_encoding", "search_path", "work_mem")])
        d.close()
    wrong(connect, target_session_attrs="read-only")
    for n in ("client_encoding", "DateStyle", "integer_datetimes", "is_superuser", "server_encoding", "session_authorization", "standard_conforming_strings", "TimeZone", "in_hot_standby", "default_transaction_read_only"):
        say(n, c.get_parameter_status(n))
    if WAY != "direct":
        d = connect(sslmode="verify-ca", sslrootcert=CA)
        must(d.info.ssl_in_use and one(d, "select 1") == 1, "no TLS")
        d.close()


@case()
def command_tags(c):
    c.autocommit = True
    for q in TAGS:
        try:
            cur = do(c, q)
            say(q, "->", cur.statusmessage, cur.rowcount)
        except psycopg2.Error as e:
            say(q, "->", e.pgcode, str(e))


@case()
def error_fields(c):
    do(c, SETUP)
    c.commit()
    for q in ERRORS:
        say(q)
        for auto in (True, False):
            c.rollback()
            c.autocommit = auto
            try:
                say(do(c, q).statusmessage)
            except psycopg2.Error as e:
                say(type(e).__name__, c.get_transaction_status(), *[f"{f}={getattr(e.diag, f)}" for f in DIAG if getattr(e.diag, f)])
            c.rollback() if not auto else do(c, "rollback")
        c.autocommit = False


@case()
def blocks(c):
    do(c, "create table t(i int primary key)")
    say(c.status, c.get_transaction_status())
    c.commit()
    say(c.status, c.get_transaction_status())
    do(c, "insert into t values(1)")
    c.rollback()
    say(rows(c, "table t"))
    wrong(do, c, "bogus")
    say(c.get_transaction_status())
    wrong(do, c, "select 1")
    c.rollback()
    with c:
        do(c, "insert into t values(2)")
    try:
        with c:
            do(c, "insert into t values(2)")
    except psycopg2.IntegrityError as e:
        say(e.pgcode)
    say(rows(c, "table t"))
    c.rollback()
    for level in (ext.ISOLATION_LEVEL_READ_COMMITTED, ext.ISOLATION_LEVEL_REPEATABLE_READ, ext.ISOLATION_LEVEL_SERIALIZABLE, ext.ISOLATION_LEVEL_READ_UNCOMMITTED):
        for ro in (None, True, False):
            for de in (None, True):
                c.set_session(isolation_level=level, readonly=ro if ro is not None else "default", deferrable=de if de is not None else "default", autocommit=False)
                say(level, ro, de, *[one(c, f"show transaction_{n}") for n in ("isolation", "read_only", "deferrable")], one(c, "select count(*) from t"))
                if ro:
                    wrong(do, c, "insert into t values(9)")
                c.rollback()
    c.set_session(isolation_level="default", readonly="default", deferrable="default")
    for q in ("savepoint a", "insert into t values(5)", "savepoint b", "insert into t values(5)"):
        try:
            say(q, do(c, q).statusmessage)
        except psycopg2.Error as e:
            say(q, e.pgcode)
    say(do(c, "rollback to b").statusmessage, rows(c, "select * from t order by 1"), do(c, "rollback to a").statusmessage, rows(c, "select * from t order by 1"))
    c.commit()
    do(c, "insert into t values(8)")
    say(do(c, "commit and chain").statusmessage, c.get_transaction_status())
    c.rollback()


@case()
def two_phases(c):
    do(c, "create table t(i int)")
    c.commit()
    c.tpc_begin(c.xid(1, "psycopg2 one", "bq"))
    do(c, "insert into t values(1)")
    c.tpc_prepare()
    say(c.status)
    wrong(do, c, "select 1")
    say([(x.format_id, x.gtrid, x.bqual) for x in other().tpc_recover()])
    c.tpc_commit()
    say(rows(c, "table t"))
    c.rollback()
    c.tpc_begin("psycopg2 two")
    do(c, "insert into t values(2)")
    c.tpc_prepare()
    c.reset()
    d = other()
    d.tpc_rollback("psycopg2 two")
    say(d.tpc_recover())
    c.tpc_begin("psycopg2 three")
    do(c, "insert into psycopg2_.t values(3)")
    c.tpc_commit()
    say(rows(c, "table psycopg2_.t"))
    wrong(d.tpc_commit, "psycopg2 none")
    d.close()


VALUES = ["true", "1::int2", "2::int4", "3::int8", "1.5::float4", "'NaN'::float8", "1.10::numeric", "'NaN'::numeric", "'ä€𝄞'::text", "'y '::char(3)", "'\\x00ff'::bytea", "'01234567-89ab-cdef-0123-456789abcdef'::uuid", "'{\"a\":[1,null]}'::json",
          "'{\"a\":1}'::jsonb", "'2024-02-29'::date", "'infinity'::date", "'2000-01-01 12:00:00.5'::timestamp", "'2000-01-01 12:00+03'::timestamptz", "'12:00'::time", "'12:00+03'::timetz", "'1 day 2:03:04.5'::interval", "'10.0.0.1/24'::inet",
          "'(1,2)'::point", "'101'::bit(3)", "'{1,null,3}'::int[]", "'{{a,b},{c,null}}'::text[]", "'[0:1]={1,2}'::int[]", "'[1,5)'::int4range", "'empty'::numrange", "row(1,'x',null)", "'a b'::tsvector", "'<a/>'::xml", "null", "'{}'::text[]", "1::oid", "'$1.50'::money"]


@case()
def values(c):
    extras.register_uuid()
    for v in VALUES:
        try:
            cur = do(c, f"select {v}")
            say(v, cur.fetchone()[0], cur.description[0][1:])
        except Exception as e:
            say(v, type(e).__name__, str(e))
            c.rollback()
    for a in (True, 1, 2**70, 1.5, "it's \\ ä", b"\x00\xff'", None, [1, None], ["a", None], [], extras.Json({"a": [1]}), extras.NumericRange(1, 5), (1, 2), extras.Inet("10.0.0.1")):
        try:
            say(do(c, "select %s", (a,)).fetchone() if not isinstance(a, tuple) else do(c, "select 1 in %s", (a,)).fetchone())
        except Exception as e:
            say(type(e).__name__, str(e))
            c.rollback()


@case()
def types_of_its_own(c):
    do(c, "create type pair as (a int, b text); create type fr as range(subtype=float8); create type mood as enum('sad','ok'); create table t(p pair, ps pair[], f fr, m mood)")
    do(c, "create extension if not exists hstore schema public")
    c.commit()
    extras.register_composite("pair", c)
    extras.register_range("fr", "FloatRange", c)
    extras.register_hstore(c)
    do(c, "insert into t values(row(1,'x'), array[row(2,'y,z\"')::pair], '[1.5,2.5)', 'ok')")
    say(rows(c, "table t"), one(c, "select %s::hstore", ({"a": "1", "b": None},)))
    wrong(extras.register_composite, "nosuch", c)


@case()
def cursors(c):
    do(c, "create table t as select g i from generate_series(1,500) g")
    c.commit()
    with c.cursor("named") as cur:
        cur.itersize = 50
        cur.execute("select i from t order by i")
        say(cur.fetchone(), cur.fetchmany(3), cur.rownumber, sum(1 for _ in cur))
    with c.cursor("scrolls", scrollable=True) as cur:
        cur.execute("select i from t order by i")
        cur.scroll(100)
        say(cur.fetchone())
        cur.scroll(-50)
        say(cur.fetchmany(2))
        cur.scroll(499, mode="absolute")
        say(cur.fetchall())
    c.commit()
    held = c.cursor("held", withhold=True)
    held.execute("select i from t order by i")
    say(held.fetchmany(2))
    c.commit()
    do(c, "delete from t where i < 400")
    c.commit()
    say(held.fetchmany(2))
    held.close()
    c.commit()
    wrong(lambda: c.cursor("late").fetchone())
    c.rollback()
    say(do(c, "select * from t where i > 498").fetchall())
    d = c.cursor(cursor_factory=extras.RealDictCursor)
    d.execute("select 1 a, 2 b")
    say([dict(r) for r in d.fetchall()])
    do(c, "create function rc() returns refcursor language plpgsql as $$declare r refcursor := 'rr'; begin open r for select * from t order by i; return r; end$$")
    d = c.cursor()
    d.callproc("rc")
    say(d.fetchall(), rows(c, "fetch 2 from rr"))
    d.execute("select 1; select 2")
    say(d.fetchall())


@case()
def copying(c):
    do(c, "create table t(i int primary key, s text)")
    cur = c.cursor()
    cur.copy_from(io.StringIO("1\tone\n2\t\\N\n"), "t")
    say(cur.rowcount, cur.statusmessage)
    cur.copy_expert("copy t from stdin csv", io.StringIO('3,"a,b"\n'))
    out = io.StringIO()
    cur.copy_to(out, "t", sep="|", null="-")
    say(out.getvalue())
    c.commit()
    out = io.BytesIO()
    cur.copy_expert("copy (select * from t order by i) to stdout (format binary)", out)
    say(out.getvalue()[:11], len(out.getvalue()))
    for text in ("1\tagain\n", "x\ty\n", "7\n"):
        wrong(cur.copy_from, io.StringIO(text), "t")
        c.rollback()

    class Broken(io.StringIO):
        def read(self, n=-1):
            raise ValueError("read no more")
    try:
        cur.copy_from(Broken(), "t")
    except psycopg2.Error as e:
        say(e.pgcode, str(e).split("\n")[0])
    c.rollback()
    out = io.StringIO()
    cur.copy_expert("copy (select g from generate_series(1,50000) g) to stdout", out)
    say(len(out.getvalue()), one(c, "select count(*) from t"))
    extras.execute_values(cur, "insert into t(i,s) values %s returning i", [(i, str(i)) for i in range(10, 130)], page_size=50)
    say(len(cur.fetchall()))
    extras.execute_batch(cur, "update t set s = s || '!' where i = %s", [(i,) for i in range(10, 130)])
    c.commit()
    say(one(c, "select count(*) from t where s like '%!'"))


@case(pooled=False)
def notifications(c):
    c.autocommit = True
    d = other()
    do(c, "listen two")
    do(d, "notify two, 'one'; select pg_notify('two', 'two')")
    until = time.monotonic() + 20
    while len(c.notifies) < 2 and time.monotonic() < until:
        select.select([c], [], [], 1)
        c.poll()
    for n in c.notifies:
        say(n.channel, n.payload, n.pid == d.get_backend_pid())
    c.notifies.clear()
    do(c, "notify two, 'own'")
    say([(n.channel, n.payload, n.pid == c.get_backend_pid()) for n in c.notifies])
    c.autocommit = False
    do(c, "notify two, 'undone'")
    c.rollback()
    do(c, "unlisten two")
    c.commit()
    d.close()


@case()
def notices(c):
    do(c, "do $$begin raise notice 'n %', 1; raise warning 'w'; end$$; drop table if exists missing")
    say(c.notices)


@case()
def large_objects(c):
    lo = c.lobject(0, "wb")
    oid = lo.oid
    say(lo.write(b"hello world"), lo.tell(), lo.seek(6))
    lo.truncate(8)
    lo.close()
    c.commit()
    lo = c.lobject(oid, "rb")
    say(lo.read(), lo.mode)
    c.rollback()
    wrong(lo.read)
    lo = c.lobject(oid, "rwt")
    say(lo.seek(0, 2), lo.write("ä"))
    lo.seek(0)
    say(lo.read())
    lo.unlink()
    c.commit()
    wrong(c.lobject, oid, "r")
    c.rollback()


@case()
def cancelling(c):
    do(c, "create table t(i int)")
    c.commit()
    for auto in (True, False):
        c.autocommit = auto
        for q in ("select pg_sleep(20)", "insert into t select 1 from (select pg_sleep(20)) s", "do $$begin perform pg_sleep(20); end$$"):
            t = threading.Timer(0.3, c.cancel)
            t.start()
            wrong(do, c, q)
            t.join()
            say(c.get_transaction_status())
            c.rollback()
    c.autocommit = True
    # PostgreSQL sends its process the signal twice: nothing may follow that could be hit by the second.
    t = threading.Timer(0.3, c.cancel)
    t.start()
    say(do(c, "do $$begin begin perform pg_sleep(20); exception when query_canceled then insert into t values(7); end; end$$").statusmessage)
    t.join()
    say(rows(c, "table t"))
    d = connect()  # its first statement
    t = threading.Timer(0.3, d.cancel)
    t.start()
    wrong(do, d, "select pg_sleep(20), pg_advisory_unlock_all()")
    t.join()
    d.close()
    do(c, "set statement_timeout to 100")
    wrong(do, c, "insert into t select 1 from (select pg_sleep(20)) s")


@case(pooled=False)
def a_backend_that_somebody_ends(c):
    d = connect()  # in a block
    d.set_session(readonly=False)
    victim = connect()
    victim.autocommit = True
    one(victim, "select 1")
    say(one(d, "select pg_terminate_backend(%s)", (victim.get_backend_pid(),)), d.get_transaction_status())
    d.commit()
    time.sleep(0.3)
    try:
        do(victim, "select 1")
        must(False, "it lives")
    except psycopg2.OperationalError as e:
        say(e.pgcode or "57P01", victim.closed)
    do(c, "create table t(i int); insert into t values(1)")
    do(d, "create temp table mine(i int)")  # it can leave no more
    d.commit()
    e = connect()
    one(e, "select 1")
    say(one(d, f"select pg_terminate_backend({e.get_backend_pid()})"))
    d.commit()
    say(one(d, f"select pg_terminate_backend({c.get_backend_pid()})"))
    d.commit()
    time.sleep(0.3)
    for x in (c, e):
        try:
            do(x, "select 1")
            must(False, "it lives")
        except psycopg2.OperationalError as err:
            say(err.pgcode or "57P01", x.closed)
    f = connect()
    f.autocommit = True
    got = []

    def sleeps():
        try:
            do(f, "select pg_sleep(20)")
        except psycopg2.Error as err:
            got.append(err.pgcode)
    t = threading.Thread(target=sleeps)
    t.start()
    time.sleep(0.3)
    say(one(d, "select pg_cancel_backend(%s)", (f.get_backend_pid(),)))
    d.commit()
    t.join()
    say(got, one(f, "select 1"))
    say(one(d, "select pg_terminate_backend(4194300)"))


@case(pooled=False)
def temporary_and_locks(c):
    d = other()
    do(c, "create temp table tt on commit preserve rows as select 1 a")
    say(rows(c, "table tt"), one(c, "select pg_try_advisory_lock(9)"), one(d, "select pg_try_advisory_lock(9)"))
    c.rollback()
    wrong(do, c, "table tt")
    c.rollback()
    say(one(d, "select pg_try_advisory_lock(9)"), one(c, "select pg_advisory_unlock(9)"), one(d, "select pg_try_advisory_xact_lock(9)"))
    do(c, "create sequence s")
    say(one(c, "select nextval('s')"), one(c, "select currval('s')"), one(c, "select lastval()"))
    c.commit()
    do(c, "set work_mem to '7MB'")
    c.reset()
    say(one(c, "show work_mem"))


@case()
def asynchronously(c):
    d = psycopg2.connect(DSN, async_=1)

    def wait():
        while True:
            state = d.poll()
            if state == ext.POLL_OK:
                return
            select.select([d] if state == ext.POLL_READ else [], [d] if state == ext.POLL_WRITE else [], [], 20)
    wait()
    cur = d.cursor()
    for q in ("create table psycopg2_.a(i int)", "insert into psycopg2_.a values(1)", "select * from psycopg2_.a", "begin", "delete from psycopg2_.a", "rollback", "table psycopg2_.a"):
        cur.execute(q)
        wait()
        say(q, cur.statusmessage, cur.fetchall() if cur.description else "")
    cur.execute("select pg_sleep(20)")
    threading.Timer(0.3, d.cancel).start()
    try:
        wait()
        must(False, "it was not canceled")
    except psycopg2.Error as e:
        say(e.pgcode)
    cur.execute("select 1/0")
    wrong(wait)
    d.close()


@case()
def a_read_after_each_write(c):
    do(c, "create table t(i int primary key, n int)")
    c.commit()
    for i in range(60):
        do(c, "insert into t values(%s,0)", (i,))
        c.commit()
        must(one(c, "select count(*) from t") == i + 1, f"the row {i} is not seen")
        c.commit()
    c.autocommit = True
    for i in range(60):
        do(c, "update t set n=n+1 where i=%s", (i,))
        must(one(c, "select n from t where i=%s", (i,)) == 1, f"the update of {i} is not seen")
    say(do(c, sql.SQL("select count(*) from {}").format(sql.Identifier("psycopg2_", "t"))).fetchone())


only()
run(connect, lambda c: c.close(), clean)
