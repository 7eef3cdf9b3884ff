"""psycopg 3, area by area as its own suite goes, with libpq below it."""
import asyncio
import datetime
import decimal
import ipaddress
import threading
import time
import uuid

import psycopg
from psycopg import IsolationLevel, Rollback, pq, sql
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.range import Range, RangeInfo, register_range

from cases import CA, DSN, ERRORS, POOLED, SETUP, TAGS, WAY, case, must, only, run, say

DIAG = ("severity", "severity_nonlocalized", "sqlstate", "message_primary", "message_detail", "message_hint", "statement_position",
        "internal_position", "internal_query", "context", "schema_name", "table_name", "column_name", "datatype_name", "constraint_name",
        "source_function")


def connect(**more):
    return psycopg.connect(DSN, connect_timeout=20, **more)


def other(**more):
    return connect(options="-c meridian.consistency=global -c search_path=psycopg3_,public", **more)


def clean(c):
    c.autocommit = True
    for (gid,) in rows(c, "select gid from pg_prepared_xacts where database = current_database()"):
        c.execute("rollback prepared '" + gid + "'")  # of a run that broke off: its locks are still there
    c.execute("set client_min_messages to error")
    c.execute("drop schema if exists psycopg3_ cascade; create schema psycopg3_; reset client_min_messages; set search_path to psycopg3_, public")


def wrong(fn, *args, **more):
    try:
        got = fn(*args, **more)
    except psycopg.Error as e:
        if e.sqlstate is None:
            say(type(e).__name__, str(e).split("\n")[0])
        else:
            say(type(e).__name__, *[f"{f}={getattr(e.diag, f)}" for f in DIAG if getattr(e.diag, f)])
        return
    except Exception as e:
        say(type(e).__name__, str(e))
        return
    must(False, f"no error: {got!r}")


def rows(c, q, *args, **more):
    return c.execute(q, *args, **more).fetchall()


def one(c, q, *args, **more):
    return c.execute(q, *args, **more).fetchone()[0]


# --- connecting


@case()
def parameters_at_the_start(c):
    for more in ({"application_name": "psycopg's"}, {"fallback_application_name": "fallback"}, {"client_encoding": "latin1"}, {"options": "-c search_path=a,b -c work_mem=3MB"},
                 {"options": "-csearch_path=x,\\ y --statement_timeout=5s"}, {"keepalives": 1, "keepalives_idle": 10}, {"target_session_attrs": "read-write"},
                 {"target_session_attrs": "any"}, {"target_session_attrs": "primary"}, {"gssencmode": "disable"}, {"gssencmode": "prefer"}, {"replication": "false"}):
        d = connect(**more)
        say(more, d.info.encoding, d.info.dbname, d.info.user, d.info.transaction_status.name, d.info.status.name,
            *[one(d, f"show {n}") for n in ("application_name", "client_encoding", "search_path", "work_mem", "statement_timeout")])
        d.close()
    wrong(connect, target_session_attrs="read-only")
    wrong(connect, target_session_attrs="standby")
    for options in ("-c work_mem=much", "-c nope=1", "-c", "--nope=1", "-c port=1"):
        try:
            connect(options=options).close()
            say(options, "taken")
        except psycopg.Error as e:
            say(options, str(e).split("FATAL:")[-1])


@case()
def what_the_server_says_at_the_start(c):
    i = c.info
    say(i.server_version // 10000, i.encoding, i.timezone, i.hostaddr if hasattr(i, "hostaddr") else "", i.pipeline_status.name)
    for n in ("application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby", "integer_datetimes", "IntervalStyle", "is_superuser",
              "server_encoding", "server_version", "session_authorization", "standard_conforming_strings", "TimeZone", "nothing"):
        say(n, i.parameter_status(n))
    say(c.pgconn.protocol_version, c.pgconn.used_password if WAY != "direct" else True, c.pgconn.backend_pid > 0)


@case()
def tls_and_channel_binding(c):
    host = DSN.replace("127.0.0.1", "localhost")
    for url, more in ((DSN, {"sslmode": "disable"}), (DSN, {"sslmode": "allow"}), (DSN, {"sslmode": "prefer"}), (DSN, {"sslmode": "require"}), (DSN, {"sslmode": "verify-ca", "sslrootcert": CA}),
                      (host, {"sslmode": "verify-full", "sslrootcert": CA}), (DSN, {"sslmode": "require", "channel_binding": "require"}), (DSN, {"sslmode": "require", "channel_binding": "disable"}),
                      (DSN, {"sslmode": "require", "ssl_min_protocol_version": "TLSv1.3"}), (DSN, {"sslmode": "require", "ssl_max_protocol_version": "TLSv1.2", "channel_binding": "require"}),
                      (DSN, {"sslmode": "require", "sslcompression": "1", "sslsni": "0"})):
        if WAY == "direct":  # no TLS there
            say({k: v for k, v in more.items() if k != "sslrootcert"}, 1)
            continue
        d = psycopg.connect(url, connect_timeout=20, **more)
        say({k: v for k, v in more.items() if k != "sslrootcert"}, one(d, "select 1"))
        if more["sslmode"] in ("require", "verify-full"):
            must(d.pgconn.ssl_in_use, "no TLS")
            e = psycopg.connect(url, connect_timeout=20, **more)
            threading.Timer(0.2, e.cancel).start()
            try:
                e.execute("select pg_sleep(10)")
                must(False, "it was not canceled")
            except psycopg.errors.QueryCanceled:
                pass
            e.close()
        d.close()


@case()
def a_wrong_password(c):
    if WAY != "direct":
        try:
            psycopg.connect(DSN, password="wrong")
        except psycopg.OperationalError as e:
            must('FATAL:  password authentication failed for user "conduit"' in str(e), str(e))


@case(differs="replication connections are not served")
def replication(c):
    try:
        d = connect(replication="database")
        say(d.pgconn.exec_(b"IDENTIFY_SYSTEM").status)
        d.close()
    except psycopg.Error as e:
        say(str(e))


# --- executing


@case()
def command_tags(c):
    for q in TAGS:
        try:
            cur = c.execute(q)
            say(q, "->", cur.statusmessage, cur.rowcount)
        except psycopg.Error as e:
            say(q, "->", e.sqlstate, str(e))


@case()
def error_fields(c):
    c.execute(SETUP)
    for q in ERRORS:
        say(q)
        for binary in (False, True):
            if c.info.transaction_status != pq.TransactionStatus.IDLE:
                c.execute("rollback")
            try:
                say(c.execute(q, binary=binary, prepare=binary).statusmessage)
            except psycopg.Error as e:
                say(type(e).__name__, *[f"{f}={getattr(e.diag, f)}" for f in DIAG if getattr(e.diag, f)])
    if c.info.transaction_status != pq.TransactionStatus.IDLE:
        c.execute("rollback")


@case()
def several_results(c):
    cur = c.execute("create table t(i int); insert into t values(1),(2); select * from t; update t set i=i+1; select 'last'")
    while True:
        say(cur.statusmessage, cur.rowcount, cur.description and cur.fetchall())
        if not cur.nextset():
            break
    cur = c.execute("")
    say(cur.statusmessage, cur.pgresult.status)
    say(c.execute(";;").statusmessage, c.execute("-- x").statusmessage, c.execute("select").fetchall())
    wrong(c.execute, "insert into t values(5); select 1/0; insert into t values(6)")
    say(rows(c, "select * from t order by 1"))
    wrong(c.execute, "select 1; select %s", (1,))


@case()
def a_read_after_each_write(c):
    c.execute("create table t(i int primary key, n int)")
    for i in range(60):
        c.execute("insert into t values(%s,0)", (i,))
        must(one(c, "select count(*) from t") == i + 1, f"the row {i} is not seen")
        c.execute("update t set n=n+1 where i=%s", (i,))
        must(one(c, "select n from t where i=%s", (i,)) == 1, f"the update of {i} is not seen")
    c.autocommit = False
    for i in range(100, 110):
        c.execute("insert into t values(%s,0)", (i,))
        c.commit()
        must(one(c, "select max(i) from t") == i, "a block is not seen")
        c.rollback()
    c.autocommit = True
    with c.pipeline():
        for i in range(200, 230):
            c.execute("insert into t values(%s,0)", (i,))
            cur = c.execute("select max(i) from t")
            if i % 5 == 0:
                must(cur.fetchone()[0] == i, "a write of the pipeline is not seen")


@case()
def prepared_by_use(c):
    c.prepare_threshold = 2
    c.prepared_max = 5
    c.execute("create table t(a int, b text)")
    for i in range(30):
        c.execute("insert into t values(%s,%s)", (i, str(i)))
        say(one(c, "select count(*) from t where a <= %s", (i,)))
        c.execute(f"select {i} + %s", (1,), prepare=True)
    c.execute("alter table t add c int default 7")
    say(rows(c, "select * from t where a=%s", (3,), prepare=True))
    c.execute("alter table t add d int default 8")
    c.execute("deallocate all")
    wrong(c.execute, "select * from t where a=%s", (4,), prepare=True)  # it goes on believing in its name
    c.execute("drop table t")
    wrong(c.execute, "select count(*) from t where a <= %s", (1,))


CHANGED = "a prepared statement whose table has changed may work where PostgreSQL says *cached plan must not change result type*"


@case(differs=CHANGED if POOLED else "")
def a_plan_that_must_not_change(c):
    c.execute("create table t(a int); insert into t values(1)")
    say(rows(c, "select * from t", prepare=True), rows(c, "select * from t", prepare=True))
    c.execute("alter table t add b int default 2")
    wrong(c.execute, "select * from t", prepare=True)
    c.autocommit = False
    wrong(c.execute, "select * from t", prepare=True)
    wrong(c.execute, "select 1")
    c.rollback()


@case()
def rows_of_each_kind(c):
    for factory in (dict_row, namedtuple_row):
        say(c.cursor(row_factory=factory).execute("select 1 as a, 'x' as b").fetchall())
    cur = c.execute("select 1 as one, 'abc'::varchar(5) as two, 1.5::numeric(5,2) as three, now() as four")
    say([(d.name, d.type_code, d.display_size, d.internal_size, d.precision, d.scale, d.null_ok) for d in cur.description])
    cur = c.execute("select * from generate_series(1,10) as g")
    cur.scroll(3)
    say(cur.fetchone(), cur.fetchmany(2), cur.rownumber, cur.rowcount, list(cur))
    say([r for r in c.cursor().stream("select * from generate_series(1,2000) as g")][-1])
    wrong(lambda: list(c.cursor().stream("select 1/(g-1500) from generate_series(1,2000) as g")))
    for i, r in enumerate(c.cursor().stream("select * from generate_series(1,200000) as g")):
        if i == 10:
            break
    say(one(c, "select 1"))


@case()
def many(c):
    c.execute("create table t(id serial primary key, v text)")
    cur = c.cursor()
    cur.executemany("insert into t(v) values(%s)", [(str(i),) for i in range(500)])
    say(cur.rowcount)
    cur.executemany("insert into t(v) values(%s) returning id", [(str(i),) for i in range(5)], returning=True)
    while True:
        say(cur.fetchall())
        if not cur.nextset():
            break
    wrong(cur.executemany, "insert into t(id) values(%s)", [(1000,), (1001,), (1,), (1002,)])
    say(one(c, "select count(*) from t"))


# --- types


VALUES = ["true", "1::int2", "2::int4", "3::int8", "1.5::float4", "1e300::float8", "'NaN'::float8", "1.10::numeric", "'NaN'::numeric", "1e40::numeric", "'ä€𝄞'::text", "'x'::varchar", "'y '::char(3)", "'n'::name", "'\\x00ff'::bytea",
          "'01234567-89ab-cdef-0123-456789abcdef'::uuid", "'{\"a\":[1,null]}'::json", "'{\"a\":1}'::jsonb", "'2024-02-29'::date", "'2000-01-01 12:00:00.5'::timestamp", "'2000-01-01 12:00+03'::timestamptz",
          "'12:00'::time", "'12:00+03'::timetz", "'1 day 2:03:04.5'::interval", "'10.0.0.1/24'::inet", "'10.0.0.0/8'::cidr", "'08:00:2b:01:02:03'::macaddr", "'(1,2)'::point", "'101'::bit(3)", "'101'::varbit", "'$1.50'::money",
          "'{1,null,3}'::int[]", "'{{a,b},{c,null}}'::text[]", "'[0:1]={1,2}'::int[]", "'[1,5)'::int4range", "'empty'::numrange", "'{[1,3),[5,6)}'::int4multirange", "array['[1,2)'::int8range]", "row(1,'x',null)", "row(1,row(2,'y'))",
          "'a b'::tsvector", "'a&b'::tsquery", "'<a/>'::xml", "'0/16B3748'::pg_lsn", "'pg_class'::regclass::text", "'int4'::regtype", "null", "'x'::unknown", "'{}'::text[]", "1::oid", "'$.a'::jsonpath", "'t'::\"char\"", "'(1,2),(3,4)'::box"]


@case()
def values_in_both_formats(c):
    for v in VALUES:
        got = []
        for binary in (False, True):
            try:
                got.append(c.execute(f"select {v}", binary=binary).fetchone()[0])
            except Exception as e:
                got.append(f"{type(e).__name__} {e}")
        say(v, *got)


@case()
def arguments_of_all_types(c):
    D = datetime
    for a in (True, 1, 2**40, 2**70, 1.5, decimal.Decimal("1.10"), "text", b"\x00\xff", None, uuid.UUID(int=7), D.date(2000, 1, 1), D.datetime(2000, 1, 1), D.datetime(2000, 1, 1, tzinfo=D.timezone.utc), D.time(1, 2), D.timedelta(1, 5),
              [1, 2, None], ["a", None], [[1, 2], [3, 4]], [], ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8"), Range(1, 5), Range(empty=True), psycopg.types.json.Json({"a": 1}), psycopg.types.json.Jsonb([None])):
        for fmt in ("%s", "%b", "%t"):
            try:
                say(repr(getattr(a, "obj", a)), fmt, c.execute(f"select {fmt}", (a,)).fetchone()[0], c.execute(f"select pg_typeof({fmt})::text", (a,)).fetchone()[0])
            except Exception as e:
                say(repr(a)[:50] if not hasattr(a, "obj") else "json", fmt, type(e).__name__, str(e))
    say(c.execute("select %(a)s, %(b)s, %(a)s", {"a": 1, "b": "x"}).fetchone())


@case()
def types_of_its_own(c):
    import enum
    c.execute("create type mood as enum('sad','ok'); create type pair as (a int, b text); create type fr as range(subtype=float8); create domain pos as int check(value>0); create table t(m mood, p pair, ps pair[], f fr, d pos)")
    Mood = enum.Enum("Mood", "sad ok")
    register_enum(EnumInfo.fetch(c, "mood"), c, Mood)
    register_composite(CompositeInfo.fetch(c, "pair"), c)
    register_range(RangeInfo.fetch(c, "fr"), c)
    for binary in (False, True):
        cur = c.cursor(binary=binary)
        cur.execute("insert into t values(%s, row(1,'x')::pair, array[row(2,'y,z\"')::pair], %s, %s)", (Mood.ok, Range(1.5, 2.5), 4))
        say(cur.execute("select * from t").fetchall())
    c.execute("create extension if not exists hstore schema public")
    from psycopg.types import TypeInfo
    from psycopg.types.hstore import register_hstore
    register_hstore(TypeInfo.fetch(c, "hstore"), c)
    say(c.execute("select %s::hstore", ({"a": "1", "b": None},)).fetchone())
    say(TypeInfo.fetch(c, "nosuchtype"), TypeInfo.fetch(c, "pg_catalog.int4").name)


# --- cursors on the server


@case()
def server_cursors(c):
    c.execute("create table t as select g i from generate_series(1,100) g")
    with c.transaction():
        with c.cursor("named") as cur:
            cur.execute("select i from t order by i")
            say(cur.fetchone(), cur.fetchmany(3), [d.name for d in cur.description], cur.rowcount)
            cur.itersize = 7
            say(sum(r[0] for r in cur))
        with c.cursor("a'\"b", scrollable=True) as cur:
            cur.execute("select i from t where i > %s order by i", (10,), binary=True)
            cur.scroll(5)
            say(cur.fetchone())
            cur.scroll(-3)
            say(cur.fetchone())
            cur.scroll(50, mode="absolute")
            say(cur.fetchone(), len(cur.fetchall()))
        with c.cursor("noscroll", scrollable=False) as cur:
            cur.execute("select i from t order by i")
            cur.fetchmany(5)
            wrong(cur.scroll, -1)
    with c.cursor("held", withhold=True) as cur:
        cur.execute("select i from t order by i")
        say(cur.fetchmany(2), one(c, "select count(*) from t"), cur.fetchmany(2))
    wrong(lambda: c.cursor("late").execute("select 1"))
    wrong(lambda: c.cursor("x").execute("create table z(i int)"))
    wrong(lambda: c.cursor("x", withhold=True).execute("select nothing"))


# --- COPY


@case()
def copy_out(c):
    c.execute("create table t(i int, s text, b bytea); insert into t values(1,'a',null),(2,E'tab\\there\\n','\\x00')")
    cur = c.cursor()
    for q in ("copy t to stdout", "copy t to stdout (format csv, header)", "copy (select * from t order by i desc) to stdout (format binary)", "copy (values(1),(2)) to stdout (delimiter '|')"):
        with cur.copy(q) as copy:
            say(q, [bytes(b) for b in copy])
    with cur.copy("copy t to stdout (format binary)") as copy:
        copy.set_types(["int4", "text", "bytea"])
        say(list(copy.rows()))
    with cur.copy("copy (select i from t where i > %s) to stdout", (1,)) as copy:
        say(list(copy.rows()))
    say(cur.statusmessage, cur.rowcount)

    def reads(q):
        with cur.copy(q) as copy:
            list(copy)
    wrong(reads, "copy (select 1/(g-500) from generate_series(1,1000) g) to stdout")
    d = connect(autocommit=True)

    def leaves():
        with d.cursor().copy("copy (select repeat('x',1000) from generate_series(1,100000)) to stdout") as copy:
            for i, _ in enumerate(copy):
                if i == 5:
                    raise ZeroDivisionError
    wrong(leaves)
    say(one(d, "select 1"))
    d.close()
    wrong(reads, "copy nowhere to stdout")
    say(one(c, "select 2"))


@case()
def copy_in(c):
    c.execute("create table t(i int primary key, s text)")
    cur = c.cursor()
    with cur.copy("copy t from stdin") as copy:
        copy.write("1\ta\n2\t")
        copy.write(b"b\n")
    say(cur.statusmessage, cur.rowcount)
    with cur.copy("copy t(s, i) from stdin (format csv)") as copy:
        copy.write("x,10\n\"y,z\",11\n")
    with cur.copy("copy t from stdin (format binary)") as copy:
        copy.set_types(["int4", "text"])
        for i in range(100, 3000):
            copy.write_row((i, "row %d" % i))
    say(cur.rowcount, one(c, "select count(*) from t"))
    with cur.copy("copy t from stdin") as copy:
        for i in range(5000, 9000):
            copy.write_row((i, None if i % 2 else "x" * 100))
    say(one(c, "select count(*) from t"))

    def breaks():
        with cur.copy("copy t from stdin") as copy:
            copy.write("20000\tx\n")
            raise ZeroDivisionError("mine")
    wrong(breaks)

    def bad(data):
        with cur.copy("copy t from stdin") as copy:
            for _ in range(3):
                copy.write(data)
    wrong(bad, "1\tdup\n")
    wrong(bad, "x\ty\n")
    wrong(bad, "30001\ty\tz\n")
    wrong(bad, "30001")
    say(one(c, "select count(*) from t"))
    with c.transaction():
        with cur.copy("copy t from stdin") as copy:
            copy.write("40000\tx\n")
        say(one(c, "select count(*) from t"))
        try:
            with c.transaction():
                bad("1\tdup\n")
        except psycopg.Error as e:
            say(e.sqlstate)
        say(one(c, "select count(*) from t"))


# --- pipelines


def settle(p):
    """Ends what was aborted: each sync raises what it comes to read of it."""
    while True:
        try:
            return p.sync()
        except (psycopg.errors.DivisionByZero, psycopg.errors.PipelineAborted):
            pass


@case()
def pipelines(c):
    c.execute("create table t(i int primary key)")
    with c.pipeline() as p:
        a = c.execute("insert into t values(1) returning i")
        b = c.execute("select count(*) from t")
        d = c.execute("insert into t values(%s) returning i", (2,))
        say(b.fetchone(), a.fetchone(), d.fetchone())
        p.sync()
        e = c.execute("select sum(i) from t")
        say(e.fetchone())
    say(c.info.pipeline_status.name, rows(c, "table t"))

    def fails():
        with c.pipeline():
            c.execute("insert into t values(3)")
            c.execute("insert into t values(1)")
            c.execute("insert into t values(4)")
    wrong(fails)
    say(rows(c, "table t"))
    with c.pipeline() as p:
        c.execute("insert into t values(5)")
        p.sync()

        try: # psycopg raises whichever it comes to read first
            c.execute("select 1/%s", (0,))
            c.execute("select 'aborted'")
            p.sync()
        except (psycopg.errors.DivisionByZero, psycopg.errors.PipelineAborted):
            say("it is aborted")
            settle(p)
        z = c.execute("insert into t values(6) returning i")
        say(z.fetchone())
    say(rows(c, "table t"))
    with c.pipeline() as p:
        with c.transaction():
            c.execute("insert into t values(7)")
            cur = c.execute("select max(i) from t")
        say(cur.fetchone())

    def within():
        with c.pipeline():
            with c.transaction():
                c.execute("insert into t values(8)")
                c.execute("select nothing").fetchone()
    wrong(within)
    with c.pipeline():
        for i in range(100, 400):
            c.execute("insert into t values(%s)", (i,))
    say(one(c, "select count(*) from t"))
    with c.pipeline():
        cur = c.cursor()
        cur.executemany("insert into t values(%s) returning i", [(i,) for i in range(500, 510)], returning=True)
        say(cur.fetchone(), cur.nextset(), cur.fetchone())
    with c.pipeline():
        curs = [c.execute("select %s::int, repeat('x', 10000)", (i,)) for i in range(200)]
        say(sum(k.fetchone()[0] for k in curs))
    c.autocommit = False
    with c.pipeline():
        c.execute("insert into t values(1000)")
        c.execute("insert into t values(1001)")
    c.rollback()
    say(one(c, "select count(*) from t"))
    c.rollback()


@case()
def pipelines_by_libpq(c):
    g = c.pgconn
    c.execute("create table t(i int primary key)")

    def drain(n):
        got = []
        while n:
            r = g.get_result()
            if r is None:
                got.append("-")
                continue
            s = pq.ExecStatus(r.status).name
            got.append(s + " " + (r.command_status or b"").decode() + " " + r.error_message.decode().split("\n")[0] + " " + " ".join(str(r.get_value(0, k)) for k in range(r.nfields) if r.ntuples))
            if s == "PIPELINE_SYNC":
                n -= 1
        return got
    g.nonblocking = 0
    g.enter_pipeline_mode()
    for i in range(3):
        g.send_query_params(b"insert into t values($1)", [str(i).encode()])
        g.send_query_params(b"select count(*) from t", None)
        g.pipeline_sync()
    say(drain(3))
    g.send_prepare(b"p", b"select $1::int * 2")
    g.send_describe_prepared(b"p")
    g.send_query_prepared(b"p", [b"21"], result_format=1)
    g.send_query_params(b"select 1/0", None)
    g.send_query_prepared(b"p", [b"22"])
    g.pipeline_sync()
    g.send_query_prepared(b"p", [b"23"])
    g.pipeline_sync()
    say(drain(2))
    g.send_query_params(b"begin", None)
    g.send_query_params(b"insert into t values(10)", None)
    g.send_query_params(b"selec", None)
    g.pipeline_sync()
    g.send_query_params(b"select 1", None)
    g.pipeline_sync()
    g.send_query_params(b"rollback", None)
    g.send_query_params(b"select count(*) from t", None)
    g.pipeline_sync()
    say(drain(3))
    g.send_query_params(b"select 5", None)
    g.send_flush_request()
    g.flush()
    r = g.get_result()
    say(r.get_value(0, 0), g.get_result())
    g.send_query_params(b"insert into t values(20) returning i", None)
    g.send_flush_request()
    g.flush()
    r = g.get_result()
    say(r.get_value(0, 0), g.get_result())
    g.send_query_params(b"insert into t values(20)", None)
    g.pipeline_sync()
    say(drain(1))
    for q in (b"create table z(i int)", b"insert into z values(1)", b"select * from z", b"drop table z", b"select * from z"):
        g.send_query_params(q, None)
    g.pipeline_sync()
    say(drain(1))
    g.send_query_params(b"vacuum t", None)
    g.pipeline_sync()
    say(drain(1))
    g.send_query_params(b"set work_mem to '7MB'", None)
    g.send_query_params(b"show work_mem", None)
    g.pipeline_sync()
    say(drain(1))
    g.exit_pipeline_mode()
    say(rows(c, "select * from t order by 1"), one(c, "show work_mem"))


@case()
def cancel_in_a_pipeline(c):
    c.execute("create table t(i int)")
    threading.Timer(0.4, c.cancel).start()

    def go():
        with c.pipeline() as p:
            c.execute("insert into t values(1)")
            p.sync()
            c.execute("select pg_sleep(20)")
            c.execute("insert into t values(2)")
            p.sync()
            c.execute("insert into t values(3)")
    wrong(go)
    say(rows(c, "select * from t"))


# --- libpq


@case()
def libpq_by_itself(c):
    g = c.pgconn
    name = lambda r: pq.ExecStatus(r.status).name
    r = g.exec_(b"select 1 as a, 'x' as b; select 2")
    say(name(r), r.get_value(0, 0), r.ntuples, r.nfields)
    r = g.exec_params(b"select $1::int8, $2::bytea", [b"\0\0\0\0\0\0\0\x05", b"\x01"], param_formats=[1, 1], result_format=1)
    say(r.get_value(0, 0), r.get_value(0, 1), r.fformat(0), r.ftype(0), r.fmod(0), r.fsize(0))
    r = g.prepare(b"st", b"select $1, $2::text from pg_class", [23, 25])
    say(name(r))
    r = g.describe_prepared(b"st")
    say(name(r), r.nparams, r.param_type(0), r.param_type(1), r.nfields, r.fname(0), r.ftype(1))
    r = g.exec_params(b"select relname, oid from pg_catalog.pg_class where relname=$1", [b"pg_class"])
    say(r.ftable(0), r.ftablecol(0), r.ftablecol(1), r.get_value(0, 0))
    g.exec_(b"begin; declare cu cursor for select 1 as z")
    r = g.describe_portal(b"cu")
    say(name(r), r.nfields, r.fname(0))
    r = g.describe_portal(b"none")
    say(name(r), r.error_message)
    g.exec_(b"rollback")
    say(name(g.exec_(b"")), name(g.exec_params(b"", None)))
    r = g.exec_(b"select 1/0")
    say(name(r), r.error_message, r.error_field(pq.DiagnosticField.SOURCE_FILE) is not None, r.error_field(pq.DiagnosticField.SOURCE_LINE) is not None)
    r = g.exec_(b"copy (select 5) to stdout")
    say(name(r), g.get_copy_data(0), g.get_copy_data(0)[0])
    say(name(g.get_result()), g.get_result())
    g.exec_(b"create table t(i int)")
    r = g.exec_(b"copy t from stdin")
    say(name(r))
    g.put_copy_data(b"1\n")
    g.put_copy_end(b"mine")
    r = g.get_result()
    say(name(r), r.error_message, g.get_result())
    g.send_query(b"select 1; select 2; select 1/0; select 3")
    while (r := g.get_result()) is not None:
        say(name(r), r.get_value(0, 0) if r.ntuples else r.error_message)
    g.send_query_params(b"select g from generate_series(1,3) g", None)
    g.set_single_row_mode()
    while (r := g.get_result()) is not None:
        say(name(r), r.get_value(0, 0) if r.ntuples else "")
    say(g.transaction_status, g.parameter_status(b"server_encoding"))


# --- transactions


@case()
def transactions(c):
    c.autocommit = False
    c.execute("create table t(i int)")
    say(c.info.transaction_status.name)
    c.commit()
    with c.transaction():
        c.execute("insert into t values(1)")
        with c.transaction("named"):
            c.execute("insert into t values(2)")
            raise Rollback()
        with c.transaction(force_rollback=True):
            c.execute("insert into t values(3)")
        try:
            with c.transaction():
                c.execute("select nothing")
        except psycopg.Error as e:
            say(e.sqlstate)
        say(rows(c, "table t"))
    c.rollback()
    say(rows(c, "table t"))
    wrong(c.execute, "bogus")
    say(c.info.transaction_status.name)
    wrong(c.execute, "select 1")
    c.commit()
    say(c.info.transaction_status.name)
    for level in IsolationLevel:
        for ro in (None, True, False):
            for de in (None, True):
                c.isolation_level, c.read_only, c.deferrable = level, ro, de
                say(level.name, ro, de, one(c, "show transaction_isolation"), one(c, "show transaction_read_only"), one(c, "show transaction_deferrable"), one(c, "select count(*) from t"))
                if ro:
                    wrong(c.execute, "insert into t values(9)")
                c.rollback()
    c.isolation_level = c.read_only = c.deferrable = None
    for q in ("begin isolation level repeatable read; select count(*) from t; insert into t values(77); commit", "savepoint s", "insert into t values(5)", "rollback to s", "release s", "commit and chain", "select 1", "rollback and chain", "rollback"):
        try:
            say(q, c.execute(q).statusmessage, c.info.transaction_status.name)
        except psycopg.Error as e:
            say(q, e.sqlstate, str(e))


@case()
def two_phases(c):
    c.execute("create table t(i int)")
    c.autocommit = False
    c.tpc_begin(c.xid(1, "psycopg3 gid", "bq"))
    c.execute("insert into t values(1)")
    c.tpc_prepare()
    say(c.info.transaction_status.name)
    c.tpc_commit()
    say([(x.format_id, x.gtrid, x.bqual) for x in c.tpc_recover()])
    say(rows(c, "table t"))
    c.rollback()
    c.tpc_begin("psycopg3 two")
    c.execute("insert into t values(2)")
    c.tpc_prepare()
    c.tpc_rollback()
    say(rows(c, "table t"))
    c.rollback()
    c.tpc_begin("psycopg3 three")
    c.execute("insert into t values(3)")
    c.tpc_commit()
    say(rows(c, "table t"))
    c.rollback()
    d = other()
    c.tpc_begin("psycopg3 four")
    c.execute("insert into t values(4)")
    c.tpc_prepare()
    x = [x for x in d.tpc_recover() if x.gtrid == "psycopg3 four"]
    d.rollback()
    d.tpc_commit(x[0])
    say(one(d, "select count(*) from t"))
    d.close()


# --- notifications, notices, settings


@case(pooled=False)
def notifications(c):
    d = connect(autocommit=True)
    c.execute("listen psy")
    d.execute("notify psy, 'one'")
    d.execute("select pg_notify('psy', 'two')")
    gen = c.notifies()
    for _ in range(2):
        n = next(gen)
        say(n.channel, n.payload, n.pid == d.info.backend_pid)
    gen.close()
    c.add_notify_handler(lambda n: say("handler", n.channel, n.payload, n.pid == c.info.backend_pid))
    c.execute("notify psy, 'own'")
    c.execute("select 1")
    c.execute("unlisten psy")
    d.execute("notify psy, 'unheard'")
    say(one(c, "select 1"))
    d.close()


@case()
def notices(c):
    c.add_notice_handler(lambda d: say(*[f"{f}={getattr(d, f)}" for f in DIAG if getattr(d, f)]))
    c.execute("set client_min_messages to debug1")
    c.execute("do $$begin raise debug 'd'; raise log 'l'; raise info 'i'; raise notice 'n' using hint='h', detail='d', errcode='01123', table='t'; raise warning 'w'; end$$")
    c.execute("drop table if exists missing, missing2")
    c.execute("rollback")
    c.execute("set local work_mem to '5MB'")
    c.execute("create table t(i int); create table if not exists t(i int)")
    c.execute("begin; begin; commit")


@case()
def settings_that_are_reported(c):
    c.prepare_threshold = None
    for q in ("set timezone to 'Asia/Tokyo'", "set datestyle to 'SQL, DMY'", "set client_encoding to 'latin1'", "set client_encoding to 'utf8'", "set application_name to 'x''y'", "set standard_conforming_strings to off", "set standard_conforming_strings to on",
              "begin", "set local timezone to 'Europe/Rome'", "rollback", "set intervalstyle to 'iso_8601'", "set role pg_monitor", "reset role", "set session authorization pg_monitor", "reset session authorization", "reset all", "select set_config('timezone','UTC',false)", "set search_path to psycopg3_"):
        c.execute(q)
        say(q, [c.info.parameter_status(n) for n in ("TimeZone", "DateStyle", "client_encoding", "application_name", "standard_conforming_strings", "IntervalStyle", "is_superuser", "session_authorization")], rows(c, "select current_user, session_user"))
    c.execute("set client_encoding to 'latin1'")
    say(one(c, "select 'ä'"), one(c, "select %s", ("ü",)))
    wrong(c.execute, "select '€'::text || chr(8364)")
    c.execute("set client_encoding to 'sql_ascii'")
    say(one(c, "select 'x'::text"))


# --- cancel, time-outs, ends


@case()
def cancelling(c):
    c.execute("create table t(i int)")
    for q in ("select pg_sleep(20)", "insert into t select 1 from (select pg_sleep(20)) s", "do $$begin perform pg_sleep(20); end$$"):
        t = threading.Timer(0.3, c.cancel)
        t.start()
        wrong(c.execute, q)
        t.join()
    say(one(c, "select count(*) from t"))
    c.autocommit = False
    c.execute("insert into t values(1)")
    t = threading.Timer(0.3, c.cancel)
    t.start()
    wrong(c.execute, "select pg_sleep(20)")
    t.join()
    say(c.info.transaction_status.name)
    c.rollback()
    c.cancel()
    time.sleep(0.05)
    say(one(c, "select 1"))
    c.rollback()
    c.autocommit = True
    c.execute("set statement_timeout to 100")
    wrong(c.execute, "select pg_sleep(20)")
    wrong(c.execute, "insert into t select 1 from (select pg_sleep(20)) s")
    c.execute("set lock_timeout to 100; set statement_timeout to 0")
    d = connect()
    d.execute("lock psycopg3_.t")
    wrong(c.execute, "insert into t values(1)")
    wrong(c.execute, "select * from t for update nowait")
    d.rollback()
    d.close()


@case(pooled=False)
def a_backend_that_somebody_ends(c):
    d = other(autocommit=True)
    c.execute("select 1")
    say(one(d, "select pg_terminate_backend(%s)", (c.info.backend_pid,)))
    time.sleep(0.3)
    try:
        c.execute("select 1")
        must(False, "it lives")
    except psycopg.OperationalError as e:
        say(e.sqlstate if e.sqlstate else "57P01", c.closed, c.broken)
    e = connect(autocommit=True)
    e.execute("create table psycopg3_.z(i int)")
    say(one(d, f"select pg_terminate_backend({one(e, 'select pg_backend_pid()')})"))
    time.sleep(0.3)
    try:
        e.execute("select 1")
        must(False, "it lives")
    except psycopg.OperationalError as x:
        say(x.sqlstate if x.sqlstate else "57P01", e.closed, e.broken)
    say(one(d, "select 1"))
    try:
        d.execute("select pg_terminate_backend(pg_backend_pid())")
        must(False, "it lives")
    except psycopg.OperationalError as x:
        say(x.sqlstate)


@case()
def who_leaves_in_a_block(c):
    c.execute("create table t(i int)")
    d = connect()
    d.execute("insert into psycopg3_.t values(1)")
    d.close()
    time.sleep(0.2)
    say(one(c, "select count(*) from t"))
    with c.transaction():
        c.execute("lock t nowait")


# --- the rest


@case(pooled=False)
def temporary_and_locks(c):
    d = other(autocommit=True)
    c.execute("create temp table tt as select 1 a")
    say(rows(c, "table tt"), one(c, "select pg_try_advisory_lock(9)"), one(d, "select pg_try_advisory_lock(9)"), one(c, "select pg_advisory_unlock_all() is null"), one(d, "select pg_try_advisory_lock(9)"))
    wrong(d.execute, "table tt")
    d.close()
    c.execute("create sequence s")
    say(one(c, "select nextval('s')"), one(c, "select currval('s')"), one(c, "select lastval()"))
    c.execute("discard all")
    wrong(c.execute, "select lastval()")


@case()
def a_migration_as_frameworks_do_it(c):
    say(one(c, "select pg_try_advisory_lock(4242)"))
    c.execute("create table schema_migrations(version text primary key)")
    for v in range(6):
        with c.transaction():
            c.execute(f"create table m{v}(id bigserial primary key, name varchar, created_at timestamp(6) not null default now())")
            c.execute(f"create index i{v} on m{v}(name)")
            c.execute(f"alter table m{v} add column ref bigint references m{v}(id)")
            c.execute("insert into schema_migrations values(%s)", (str(v),))
        say(rows(c, "select version from schema_migrations order by 1"), one(c, "select count(*) from information_schema.columns where table_schema='psycopg3_' and table_name=%s", (f"m{v}",)))
        c.execute(f"create index concurrently c{v} on m{v}(created_at)")
        say(rows(c, "select indexname from pg_indexes where schemaname='psycopg3_' and tablename=%s order by 1", (f"m{v}",)))
    say(one(c, "select pg_advisory_unlock(4242)"))
    with c.transaction():
        c.execute("drop table m0 cascade")
        c.execute("alter table m1 rename to m0")
        c.execute("alter table m0 rename column name to title; alter table m0 alter title type text, alter title set not null")
    say(rows(c, "select column_name, data_type, is_nullable from information_schema.columns where table_schema='psycopg3_' and table_name='m0' order by ordinal_position"))


@case()
def server_side_binding_of_odd_sql(c):
    c.execute("create table t(i int, s text)")
    for q, a in (("insert into t values(%s, %s)", (1, "x")), ("select * from t where s like %s", ("%x%",)), ("select '%%', %s", (1,)), ("values (%s,%s),(%s,%s)", (1, "a", 2, "b")),
                 ("with x as (insert into t values(%s,'w') returning i) select * from x", (5,)), ("select * from t order by i limit %s offset %s", (1, 0)), ("call p(%s)", (1,)), ("select %s::int[] @> array[%s]", ([1, 2], 2)),
                 ("create procedure p(a int) language sql as 'insert into t values(a)'", ()), ("call p(%s)", (7,)), ("do $$begin end$$", ()), ("select f(%s)", (1,)), ("select interval %s", ("1 day",)), ("select timestamp %s", ("now",)),
                 ("create function f(x int) returns table(a int) language plpgsql as $$begin insert into t values(x,'f'); return query select i from t order by i; end$$", ()), ("select * from f(%s)", (9,)), ("select f(%s)", (10,))):
        try:
            cur = c.execute(q, a)
            say(q, cur.statusmessage, cur.fetchall() if cur.description else "")
        except psycopg.Error as e:
            say(q, e.sqlstate, str(e))
    say(c.execute(sql.SQL("select {} from {} where i = {}").format(sql.Identifier("s"), sql.Identifier("psycopg3_", "t"), sql.Literal(1))).fetchall())
    cc = psycopg.ClientCursor(c)
    say(cc.mogrify("select %s, %s", (1, "it's")), cc.execute("select %s, %s; select 2", (1, "it's")).fetchall())


@case()
def asynchronously(c):
    async def main():
        d = await psycopg.AsyncConnection.connect(DSN, autocommit=True, options="-c search_path=psycopg3_")
        await d.execute("create table t(i int)")
        await asyncio.gather(*[d.execute("insert into t values(%s)", (i,)) for i in range(30)])
        say((await (await d.execute("select count(*) from t")).fetchone()))
        async with d.pipeline():
            curs = [await d.execute("select %s::int", (i,)) for i in range(20)]
            say([(await k.fetchone())[0] for k in curs])
        task = asyncio.ensure_future(d.execute("select pg_sleep(20)"))
        await asyncio.sleep(0.2)
        d.cancel()
        try:
            await task
        except psycopg.Error as e:
            say(e.sqlstate)
        async with d.cursor().copy("copy t to stdout") as copy:
            say(len([b async for b in copy]))
        async with d.transaction():
            async with d.cursor("n") as cur:
                await cur.execute("select i from t order by i")
                say(await cur.fetchmany(3))
        await d.close()
    asyncio.run(main())


only()
run(connect, lambda c: c.close(), clean)
