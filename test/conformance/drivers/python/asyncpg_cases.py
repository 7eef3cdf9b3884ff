"""asyncpg, area by area as its own suite goes."""
import asyncio
import datetime
import decimal
import io
import ipaddress
import os
import ssl
import uuid

import asyncpg

from cases import CA, DSN, ERRORS, GLOBAL, SETUP, TAGS, WAY, case, must, only, run_async, say

FIELDS = ("severity", "severity_en", "sqlstate", "message", "detail", "hint", "position", "internal_position",
          "internal_query", "context", "schema_name", "table_name", "column_name", "data_type_name",
          "constraint_name", "server_source_function")


async def connect(**more):
    more.setdefault("server_settings", {})
    return await asyncpg.connect(DSN, timeout=20, **more)


async def other(**more):
    return await connect(server_settings=dict(GLOBAL, **more.pop("server_settings", {})), **more)


async def clean(c):
    await c.execute("set client_min_messages to error; drop schema if exists asyncpg_ cascade; create schema asyncpg_;"
                    "reset client_min_messages; set search_path to asyncpg_, public")


async def wrong(awaitable, *also):
    """Says which error it was, by all its fields."""
    try:
        got = await awaitable
    except asyncpg.PostgresError as e:
        say(type(e).__name__, *[f"{f}={getattr(e, f)}" for f in FIELDS if getattr(e, f, None)])
        return e
    except Exception as e:
        say(type(e).__name__, str(e))
        return e
    must(False, f"no error: {got!r}")


# --- connecting


@case()
async def server_settings_at_the_start(c):
    d = await connect(server_settings={"application_name": "asyncpg's", "search_path": "asyncpg_", "timezone": "Asia/Tokyo",
                                       "datestyle": "German", "intervalstyle": "iso_8601", "jit": "off", "work_mem": "8MB",
                                       "extra_float_digits": "1", "bytea_output": "escape", "statement_timeout": "0"})
    for name in ("application_name", "search_path", "timezone", "datestyle", "intervalstyle", "jit", "work_mem", "bytea_output"):
        say(name, await d.fetchval(f"show {name}"))
        say(name, await d.fetchval(f"select current_setting('{name}')"))
    s = d.get_settings()
    say(s.application_name, s.TimeZone, s.DateStyle, s.IntervalStyle, s.client_encoding, s.server_encoding,
        s.integer_datetimes, s.standard_conforming_strings, s.session_authorization, s.is_superuser)
    say(d.get_server_version()[:1], d.get_server_pid() > 0)
    await d.reset()
    say(await d.fetchval("show search_path"), await d.fetchval("show timezone"))
    await d.close()


@case()
async def a_setting_that_is_wrong_at_the_start(c):
    await wrong(connect(server_settings={"work_mem": "much"}))
    await wrong(connect(server_settings={"no_such_setting": "1"}))
    await wrong(connect(server_settings={"client_encoding": "klingon"}))
    await wrong(connect(server_settings={"log_statement_stats": "maybe"}))
    await wrong(connect(server_settings={"shared_buffers": "1GB"}))


@case()
async def connecting_many_at_once(c):
    got = await asyncio.gather(*[connect() for _ in range(12)])
    say(sorted(await asyncio.gather(*[d.fetchval("select $1::int", i) for i, d in enumerate(got)])))
    await asyncio.gather(*[d.close() for d in got])


@case()
async def tls_in_each_mode(c):
    # Directly there is no TLS. By a proxy each of these must be as good.
    modes = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
    for m in modes:
        if WAY == "direct":
            say(m, 1)
            continue
        url = DSN.replace("sslmode=disable", "sslmode=" + m).replace("127.0.0.1", "localhost" if m == "verify-full" else "127.0.0.1")
        if m.startswith("verify"):
            url += "&sslrootcert=" + CA
        d = await asyncpg.connect(url, timeout=20)
        say(m, await d.fetchval("select 1"))
        await d.close()


@case()
async def a_wrong_password(c):
    if WAY == "direct":  # which trusts everybody
        say("InvalidPasswordError 28P01 password authentication failed for user \"conduit\"")
        return
    try:
        await asyncpg.connect(DSN, password="wrong", timeout=20)
    except asyncpg.PostgresError as e:
        say(type(e).__name__, e.sqlstate, e.message)


@case(differs="nor are connections to any other database than `name`: 3D000")
async def a_database_that_is_not_there(c):
    await wrong(asyncpg.connect(DSN, database="nowhere", timeout=20))


@case()
async def read_write_servers_are_what_it_asks_for(c):
    s = c.get_settings()
    say(getattr(s, "in_hot_standby", None), getattr(s, "default_transaction_read_only", None))


# --- executing


@case()
async def scripts_of_several_statements(c):
    say(await c.execute("create table t(i int, s text); insert into t values(1,'a'),(2,'b'); select 1; update t set i=i+1;"))
    say(await c.execute("delete from t where i > 2"), await c.execute("select 1"))
    await wrong(c.execute("insert into t values(9,'x'); select 1/0; insert into t values(10,'y')"))
    say(await c.fetch("select * from t order by 1"))
    say(await c.execute("begin; insert into t values(11,'z'); commit; insert into t values(12,'q')"))
    say(await c.fetchval("select count(*) from t"))
    await wrong(c.execute("begin; insert into t values(21,'z'); commit; insert into t values(1/0,'q')"))
    say(await c.fetchval("select count(*) from t"), c.is_in_transaction())


@case()
async def command_tags(c):
    for q in TAGS:
        try:
            say(q, "->", await c.execute(q))
        except asyncpg.PostgresError as e:
            say(q, "->", e.sqlstate, e.message)


@case()
async def many_rows_by_executemany(c):
    await c.execute("create table t(a text, b int primary key)")
    say(await c.executemany("insert into t values($1,$2)", [(str(i), i) for i in range(3000)]))
    say(await c.fetchrow("select count(*), sum(b) from t"))
    await wrong(c.executemany("insert into t values($1,$2)", [("x", 4000), ("y", 4001), ("z", 7), ("w", 4002)]))
    say(await c.fetchval("select count(*) from t"))
    async with c.transaction():
        await c.executemany("insert into t values($1,$2)", [("x", 5000), ("y", 5001)])
    say(await c.fetchval("select count(*) from t"))
    await wrong(c.executemany("insert into t values($1,$2)", [("x", "no number")]))
    await wrong(c.executemany("insert into t values($1,$2)", [("a" * 100000, 6000 + i) for i in range(200)] + [("dup", 1)]))
    say(await c.fetchval("select count(*) from t"))
    await c.executemany("select $1::int", [(i,) for i in range(500)])


@case()
async def a_read_after_each_write(c):
    await c.execute("create table t(i int primary key, n int)")
    for i in range(60):
        await c.execute("insert into t values($1,0)", i)
        must(await c.fetchval("select count(*) from t") == i + 1, f"the row {i} is not seen")
        await c.execute("update t set n=n+1 where i=$1", i)
        must(await c.fetchval("select n from t where i=$1", i) == 1, f"the update of {i} is not seen")
    await c.execute("delete from t")
    must(await c.fetchval("select count(*) from t") == 0, "rows after the deletion")
    for i in range(10):
        async with c.transaction():
            await c.execute("insert into t values($1,$1)", i)
        must(await c.fetchval("select max(i) from t") == i, "a block is not seen")
        async with c.transaction(readonly=True):
            must(await c.fetchval("select max(i) from t") == i, "a block is not seen in a READ ONLY one")


@case()
async def definitions_are_seen_at_once(c):
    for i in range(10):
        await c.execute(f"create table t{i}(a int)")
        say(await c.fetch(f"select * from t{i}"))
        await c.execute(f"alter table t{i} add b text default 'new'")
        await c.execute(f"insert into t{i} values(1)")
        say(await c.fetch(f"select * from t{i}"))
        await c.execute(f"create view v{i} as select a+1 as c from t{i}")
        say(await c.fetch(f"select * from v{i}"))
        await c.execute(f"drop table t{i} cascade")
        await wrong(c.fetch(f"select * from t{i}"))


# --- prepared statements


@case()
async def prepared_statements(c):
    st = await c.prepare("select $1::int + $2::int as sum, $3::text as s")
    say(st.get_query(), st.get_parameters(), st.get_attributes())
    say(await st.fetchrow(1, 2, "x"), st.get_statusmsg())
    say(await st.fetch(3, 4, None), await st.fetchval(5, 6, "z", column=1))
    named = await c.prepare("select 1 as one", name="mine")
    say(named.get_name(), await named.fetchval())
    await wrong(c.prepare("select 2", name="mine"))
    empty = await c.prepare("")
    say(empty.get_attributes(), await empty.fetch())
    ins = await c.prepare("create table t(i int)")
    say(ins.get_attributes(), await ins.fetch(), ins.get_statusmsg())
    ins = await c.prepare("insert into t values($1) returning i, i*2 as d")
    say(ins.get_attributes(), await ins.fetch(3), ins.get_statusmsg(), await c.fetch("table t"))
    await wrong(c.prepare("select nothing from t"))
    await wrong(c.prepare("selec 1"))
    await wrong(st.fetch(1))
    await wrong(c.fetch("select $1::int", "text"))
    await wrong(c.fetch("select 10/$1::int", 0))
    say(await c.fetchval("select 1"))


@case()
async def explain_of_a_prepared_statement(c):
    await c.execute("create table t(i int)")
    st = await c.prepare("select * from t where i=$1")
    say(len(await st.explain(1)), "Plan" in (await st.explain(1))[0])
    st = await c.prepare("insert into t values($1)")
    say("Actual Rows" in (await st.explain(1, analyze=True))[0]["Plan"], await c.fetch("table t"))


@case()
async def statements_by_the_hundred(c):
    d = await connect(statement_cache_size=5)
    for i in range(60):
        must(await d.fetchval(f"select {i} + $1::int", 1) == i + 1, "another sum")
    kept = [await d.prepare(f"select {i} * $1::int") for i in range(40)]
    say([await k.fetchval(2) for k in kept])
    del kept
    say(await d.fetchval("select 1"))
    await d.close()
    d = await connect(statement_cache_size=0)
    for i in range(10):
        say(await d.fetchval("select $1::text", str(i)))
    await d.close()


@case(differs="a prepared statement whose table has changed may work where PostgreSQL says *cached plan must not change result type*")
async def a_cached_plan_that_another_changed(c):
    d = await other()
    await d.execute("set search_path to asyncpg_")
    await c.execute("create table t(a int, b text)")
    await c.execute("insert into t values(1,'x')")
    say(await d.fetch("select * from t"))
    await c.execute("alter table t add c int default 5")
    say(await d.fetch("select * from t"))
    await d.close()


@case()
async def a_cached_plan_after_its_own_definitions(c):
    await c.execute("create table t(a int, b text); insert into t values(1,'x')")
    say(await c.fetch("select * from t"), await c.fetch("select * from t"))
    await c.execute("alter table t add c int default 5")
    say(await c.fetch("select * from t"))
    await c.execute("alter table t drop b")
    say(await c.fetch("select * from t"))
    await c.execute("alter table t alter a type bigint")
    say(await c.fetch("select * from t"), await c.fetch("select a from t where a=$1", 1))
    await c.execute("drop table t; create table t(z text); insert into t values('zz')")
    say(await c.fetch("select * from t"))


@case()
async def a_cached_plan_in_a_block(c):
    await c.execute("create table t(a int, b text); insert into t values(1,'x')")
    say(await c.fetch("select * from t"))
    await c.execute("alter table t add c int default 5")

    async def within():
        async with c.transaction():
            await c.fetch("select * from t")
    await wrong(within())
    say(await c.fetch("select * from t"))


@case()
async def a_type_that_was_made_anew(c):
    await c.execute("create type pair as (a int, b text); create table t(p pair); insert into t values((1,'x'))")
    say(await c.fetch("select * from t"))
    await c.execute("drop table t; drop type pair; create type pair as (a int, b text, c float8); create table t(p pair); insert into t values((1,'x',2.5))")
    say(await c.fetch("select * from t"))
    await c.execute("alter type pair add attribute d bool")
    for _ in range(2):
        try:
            say(await c.fetch("select * from t"))
        except asyncpg.OutdatedSchemaCacheError as e:
            say("outdated", type(e).__name__)
    await c.reload_schema_state()
    say(await c.fetch("select * from t"))


@case()
async def deallocate_and_discard(c):
    st = await c.prepare("select 1", name="gone")
    await c.execute("deallocate gone")
    await wrong(st.fetch())
    st = await c.prepare("select 2", name="gone2")
    await c.execute("discard all")
    await wrong(st.fetch())
    await c.execute("deallocate all")
    say(await c.fetchval("select 3"))


@case()
async def reset_of_a_session(c):
    await c.execute("set timezone to 'Asia/Tokyo'; set work_mem to '9MB'; listen x; create temp table tt(i int)")
    await c.execute("select pg_advisory_lock(77)")
    await c.execute("declare cc cursor with hold for select 1")
    await c.reset()
    d = await other()
    say(await d.fetchval("select pg_try_advisory_lock(77)"))
    await d.close()
    say(await c.fetchval("show work_mem"), await c.fetchval("show search_path"))
    await wrong(c.execute("fetch cc"))
    say(await c.fetchval("select count(*) from tt"))
    say(await c.fetchval("select count(*) from pg_listening_channels()"))


# --- codecs

D = datetime
VALUES = [
    ("bool", [True, False]), ("int2", [-32768, 0, 32767]), ("int4", [-2147483648, 2147483647]), ("int8", [-2**63, 2**63 - 1]),
    ("float4", [1.5, -0.0, float("inf")]), ("float8", [1e300, 0.1, float("-inf")]), ("oid", [0, 4294967295]),
    ("numeric", [decimal.Decimal(x) for x in ("0", "-1", "1.10", "1234567890.0987654321", "1e30", "-1e-30", "NaN", "99999999999999999999999")]),
    ("text", ["", "abc", "ä€𝄞", "a" * 70000]), ("varchar", ["x"]), ("bpchar", ["x"]), ("name", ["n"]), ('"char"', [b"a"]),
    ("bytea", [b"", b"\x00\xff\x01", bytes(range(256)) * 300]), ("uuid", [uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")]),
    ("json", ['{"a": [1, null]}', "null"]), ("jsonb", ['{"a": [1, null]}']), ("xml", ["<a>b</a>"]), ("jsonpath", ['$."a"[*]']),
    ("date", [D.date(1, 1, 1), D.date(2024, 2, 29), D.date(9999, 12, 31)]),
    ("timestamp", [D.datetime(2000, 1, 1), D.datetime(1970, 1, 1, 20, 31, 23, 648), D.datetime.max]),
    ("timestamptz", [D.datetime(1990, 5, 12, 10, 10, tzinfo=D.timezone(D.timedelta(hours=4)))]),
    ("time", [D.time(12, 15, 20, 1)]), ("timetz", [D.time(12, 15, 20, 1, tzinfo=D.timezone(D.timedelta(hours=-3, minutes=-30)))]),
    ("interval", [D.timedelta(40, 10, 1234), D.timedelta(-5, 3)]),
    ("inet", [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_interface("2001:db8::1/64")]), ("cidr", [ipaddress.ip_network("192.168.0.0/24")]),
    ("macaddr", ["08:00:2b:01:02:03"]), ("bit", [asyncpg.BitString("1")]), ("varbit", [asyncpg.BitString("10110"), asyncpg.BitString("")]),
    ("point", [asyncpg.Point(1.5, -2)]), ("box", [asyncpg.Box((3, 4), (1, 2))]), ("lseg", [asyncpg.LineSegment((1, 2), (3, 4))]),
    ("line", [asyncpg.Line(1, 2, 3)]), ("path", [asyncpg.Path((1, 2), (3, 4), is_closed=True), asyncpg.Path((1, 2), (3, 4))]),
    ("polygon", [asyncpg.Polygon((1, 2), (3, 4), (5, 6))]), ("circle", [asyncpg.Circle((1, 2), 3)]),
    ("tid", [(3, 4)]), ("xid", [7]), ("cid", [8]), ("txid_snapshot", [(100, 1000, (123, 456))]), ("pg_lsn", []), ("money", ["$1.50"]),
    ("tsvector", ["'a' 'b':1A"]), ("tsquery", ["'a' & 'b'"]),
    ("int4[]", [[], [1, None, 3], [[1, 2], [3, 4]]]), ("text[]", [["a", None, "ä"], []]), ("bytea[]", [[b"\x00", None]]), ("bool[]", [[True, None]]),
    ("timestamp[]", [[D.datetime(2000, 1, 1), None]]), ("numeric[]", [[decimal.Decimal("1.5"), None]]), ("uuid[]", [[uuid.UUID(int=5)]]), ("jsonb[]", [['{"a": 1}']]),
    ("inet[]", [[ipaddress.ip_address("::1")]]), ("interval[]", [[D.timedelta(1)]]),
    ("int4range", [asyncpg.Range(1, 5), asyncpg.Range(empty=True), asyncpg.Range(None, 7, lower_inc=False)]), ("numrange", [asyncpg.Range(decimal.Decimal("1.5"), None)]),
    ("tstzrange", [asyncpg.Range(D.datetime(2000, 1, 1, tzinfo=D.timezone.utc), None)]), ("daterange", [asyncpg.Range(D.date(2000, 1, 1), D.date(2001, 1, 1))]),
    ("int4multirange", [[asyncpg.Range(1, 5), asyncpg.Range(7, 9)]]), ("int8range[]", [[asyncpg.Range(1, 5), None]]),
    ("regclass", []), ("void", []),
]


@case()
async def values_of_all_types(c):
    for name, values in VALUES:
        st = await c.prepare(f"select $1::{name}")
        for v in values:
            try:
                got = await st.fetchval(v)
                say(name, got if len(repr(got)) < 200 else len(repr(got)), got == v)
            except Exception as e:
                say(name, type(e).__name__, str(e)[:200])
        say(name, "null", await st.fetchval(None))


@case()
async def values_by_way_of_a_table(c):
    kinds = [(n, v) for n, v in VALUES if v and n not in ("void",)]
    await c.execute("create table t(k int, " + ", ".join(f"c{i} {n}" for i, (n, _) in enumerate(kinds)) + ")")
    row = [v[0] for _, v in kinds]
    try:
        await c.execute(f"insert into t values(1, {', '.join(f'${i+1}' for i in range(len(row)))})", *row)
        got = await c.fetchrow("select * from t where k=1")
        for i, (n, _) in enumerate(kinds):
            say(n, got[f"c{i}"] if len(repr(got[f"c{i}"])) < 200 else "long")
    except asyncpg.PostgresError as e:
        must(False, str(e))


@case()
async def types_of_its_own(c):
    await c.execute("""create type mood as enum('sad', 'ok', 'happy'); create type pair as (a int, b mood[]); create type deep as (p pair, q pair[], m text);
        create domain positive as int check(value > 0); create domain moods as mood[]; create type fr as range(subtype=float8, subtype_diff=float8mi);
        create type dp as (x positive, m moods); create table t(id serial primary key, m mood, ms mood[], p pair, d deep, pos positive, f fr, dps dp[])""")
    say(await c.fetchrow("""insert into t(m, ms, p, d, pos, f, dps) values('ok', '{sad,happy}', (1,'{ok}'), ((1,'{ok}'),array[(2,'{sad,ok}')::pair],'x'), 4,
        '[1.5,2.5)', array[(7,'{sad}')::dp]) returning *"""))
    say(await c.fetchrow("select * from t"))
    say(await c.fetchrow("select $1::mood, $2::mood[], $3::pair, $4::positive", "sad", ["ok", None], (5, ["happy"]), 9))
    say(await c.fetch("select * from t where m=$1 and p=$2::pair", "ok", (1, ["ok"])))
    await wrong(c.fetchval("select $1::positive", -4))
    await wrong(c.fetchval("select $1::mood", "angry"))
    await c.execute("alter type mood add value 'angry' after 'sad'")
    say(await c.fetchval("select $1::mood", "angry"), await c.fetchval("select enum_range(null::mood)"))
    st = await c.prepare("select * from t where m = any($1) and pos = $2")
    say([(a.name, a.type.name, a.type.kind) for a in st.get_attributes()], [(p.name, p.kind) for p in st.get_parameters()])
    await c.execute("create table inherits_t() inherits(t)")
    say(await c.fetch("select t from t"))


@case()
async def codecs_of_its_own(c):
    import json
    await c.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    say(await c.fetchval("select $1::json", {"a": [1, None]}))
    await c.execute("create extension if not exists hstore schema public; create domain txt as text")
    await c.set_builtin_type_codec("hstore", codec_name="pg_contrib.hstore")
    say(await c.fetchval("select $1::hstore", {"a": "1", "b": None}))
    await c.set_type_codec("numeric", encoder=str, decoder=float, schema="pg_catalog", format="text")
    say(await c.fetchval("select 1.5::numeric"))
    await c.set_type_codec("interval", encoder=lambda d: (d[0], d[1], d[2]), decoder=tuple, schema="pg_catalog", format="tuple")
    say(await c.fetchval("select '1 mon 2 days 3 sec'::interval"))
    await c.reset_type_codec("json", schema="pg_catalog")
    say(await c.fetchval("select '{}'::json"))
    await wrong(c.set_type_codec("txtx", encoder=str, decoder=str))


@case()
async def introspection_of_many_types(c):
    for i in range(15):
        await c.execute(f"create type k{i} as (a int, b text)")
        await c.execute(f"create type n{i} as (k k{i}, ks k{i}[])")
        say(await c.fetchval(f"select row(row({i},'x')::k{i}, array[row(1,'y')::k{i}])::n{i}"))
    await c.execute("create table big(" + ",".join(f"c{i} n{i}" for i in range(15)) + ")")
    say(await c.fetch("select * from big"))
    # Without the just-in-time compiler, as asyncpg sets it around its look.
    say(await c.fetchval("show jit") in ("on", "off"))


# --- cursors


@case()
async def cursors(c):
    async with c.transaction():
        say([r[0] async for r in c.cursor("select generate_series(0,20)")] == list(range(21)))
        say([r[0] async for r in c.cursor("select generate_series(0,20)", prefetch=3)] == list(range(21)))
        cur = await c.cursor("select generate_series(0,100)")
        say(await cur.forward(42), await cur.fetchrow(), await cur.fetch(3), len(await cur.fetch(1000)), await cur.fetchrow(), await cur.forward(1))
        st = await c.prepare("select $1::int + g from generate_series(1,10) g")
        a, b = await st.cursor(100), await st.cursor(200)
        say(await a.fetch(2), await b.fetch(3), await a.fetch(2), await b.forward(2), await b.fetch(9))
    await wrong(c.cursor("select 1").__aiter__().__anext__())
    async with c.transaction(readonly=True):
        say(len([r async for r in c.cursor("select generate_series(0,500)", prefetch=50)]))


@case()
async def a_cursor_of_a_write(c):
    await c.execute("create table t(i int)")
    async with c.transaction():
        cur = await c.cursor("insert into t select generate_series(1,30) returning i")
        say(await cur.fetch(3), await cur.fetch(4))
    say(await c.fetchval("select count(*) from t"))


@case()
async def cursors_by_sql(c):
    await c.execute("create table t as select g i from generate_series(1,50) g")
    async with c.transaction():
        await c.execute("declare a scroll cursor for select i from t order by i; declare b no scroll cursor for select i from t order by i")
        for q in ("fetch 2 from a", "fetch last from a", "fetch prior from a", "fetch absolute 10 from a", "fetch relative -3 from a",
                  "fetch backward 2 from a", "move 5 from a", "fetch forward 0 from a", "fetch all from a", "fetch first from b"):
            say(q, await c.fetch(q))
        await c.execute("declare w cursor for select i from t where i=7 for update; fetch w")
        say(await c.execute("update t set i=700 where current of w"))
    await c.execute("declare h cursor with hold for select i from t order by i")
    say(await c.fetch("fetch 3 from h"), await c.fetch("select max(i) from t"), await c.fetch("fetch 2 from h"))
    await c.execute("close h")
    await wrong(c.fetch("fetch h"))


# --- COPY


@case()
async def copy_out(c):
    await c.execute("create table t(a text, \"b~\" text, i int); insert into t values('a1','b1',1),('*a2','b''2',2),(null,'',3),('tab\there','new\nline',4)")
    for more in ({}, {"format": "csv", "header": True}, {"format": "csv", "delimiter": "|", "null": "-", "force_quote": True},
                 {"format": "binary"}, {"columns": ["i", "b~"], "delimiter": "|"}):
        f = io.BytesIO()
        say(await c.copy_from_table("t", output=f, **more), f.getvalue())
    f = io.BytesIO()
    say(await c.copy_from_query("select a, i*$1::int from t where i > $2 order by i", 10, 1, output=f, format="csv"), f.getvalue())
    got = bytearray()

    async def take(b):
        got.extend(b)
    say(await c.copy_from_query("select g, repeat('x', 100) from generate_series(1,20000) g", output=take), len(got))
    await wrong(c.copy_from_query("select 1/(g-500) from generate_series(1,1000) g", output=io.BytesIO()))
    await wrong(c.copy_from_table("missing", output=io.BytesIO()))
    say(await c.fetchval("select 1"))

    async def breaks(b):
        raise ZeroDivisionError
    await wrong(c.copy_from_query("select repeat('x', 10000) from generate_series(1,300)", output=breaks))
    say(await c.fetchval("select 2"))


@case()
async def copy_in(c):
    await c.execute("create table t(a text, b int)")
    say(await c.copy_to_table("t", source=io.BytesIO(b"a\t1\n\\N\t2\n")))
    say(await c.copy_to_table("t", source=io.BytesIO(b"b,a\n7,x\n"), format="csv", header=True, columns=["b", "a"]))

    async def source():
        for i in range(2000):
            yield b"x%d\t%d\n" % (i, i)
    say(await c.copy_to_table("t", source=source()), await c.fetchval("select count(*) from t"))
    say(await c.copy_records_to_table("t", records=[("r%d" % i, i) for i in range(5000)]), await c.fetchrow("select count(*), sum(b) from t"))
    await wrong(c.copy_to_table("t", source=io.BytesIO(b"a\tnot\n")))
    await wrong(c.copy_to_table("t", source=io.BytesIO(b"a\n")))
    await wrong(c.copy_to_table("missing", source=io.BytesIO(b"a\n")))

    async def breaks():
        yield b"a\t1\n"
        raise ZeroDivisionError
    await wrong(c.copy_to_table("t", source=breaks()))
    say(await c.fetchval("select count(*) from t"))
    await wrong(c.copy_records_to_table("t", records=[("a", 1), ("b", "no")]))
    say(await c.fetchval("select count(*) from t"))
    async with c.transaction():
        await c.copy_records_to_table("t", records=[("in", 1)])
        say(await c.fetchval("select count(*) from t"))
    await c.execute("create table k(a int[], b timestamptz, c numeric, d jsonb)")
    say(await c.copy_records_to_table("k", records=[([1, None], D.datetime(2000, 1, 1, tzinfo=D.timezone.utc), decimal.Decimal("1.5"), '{"a":1}')]), await c.fetch("table k"))


@case()
async def copy_in_a_long_wait(c):
    await c.execute("create table t(a text)")

    async def slow():
        for i in range(4):
            await asyncio.sleep(0.05)
            yield b"x\n"
    say(await c.copy_to_table("t", source=slow()))

    async def never():
        yield b"x\n"
        await asyncio.sleep(60)
    await wrong(c.copy_to_table("t", source=never(), timeout=0.3))
    say(await c.fetchval("select count(*) from t"))


# --- transactions


@case()
async def transactions(c):
    await c.execute("create table t(i int)")
    async with c.transaction():
        await c.execute("insert into t values(1)")
        try:
            async with c.transaction():
                await c.execute("insert into t values(2)")
                await c.execute("select 1/0")
        except asyncpg.DivisionByZeroError as e:
            say(e.sqlstate)
        async with c.transaction():
            await c.execute("insert into t values(3)")
    say(await c.fetch("table t"))

    async def fails():
        async with c.transaction():
            await c.execute("insert into t values(4)")
            await c.fetchval("select nothing")
    await wrong(fails())
    say(await c.fetch("table t"), c.is_in_transaction())
    tr = c.transaction()
    await tr.start()
    await wrong(c.execute("bogus"))
    await wrong(c.execute("select 1"))
    await wrong(c.fetch("select 1"))
    await tr.rollback()
    say(await c.fetchval("select 1"))
    tr = c.transaction()
    await tr.start()
    await wrong(c.execute("bogus"))
    say(await c.execute("commit"), c.is_in_transaction())


@case()
async def isolation(c):
    await c.execute("create table t(i int)")
    for level in ("read_committed", "repeatable_read", "serializable"):
        for ro in (False, True):
            for deferrable in (False, True):
                try:
                    async with c.transaction(isolation=level, readonly=ro, deferrable=deferrable):
                        say(level, ro, deferrable, await c.fetchval("show transaction_isolation"), await c.fetchval("show transaction_read_only"),
                            await c.fetchval("show transaction_deferrable"), await c.fetchval("select count(*) from t"))
                        if ro:
                            await wrong(c.execute("insert into t values(1)"))
                except Exception as e:
                    say(type(e).__name__, str(e))
    await c.execute("set default_transaction_isolation to 'repeatable read'")
    say(await c.fetchval("show transaction_isolation"))
    async with c.transaction():
        say(await c.fetchval("show transaction_isolation"))
    await c.execute("set session characteristics as transaction read only")
    await wrong(c.execute("insert into t values(1)"))
    say(await c.fetchval("show transaction_read_only"))
    await c.execute("set session characteristics as transaction read write, isolation level read committed")
    say(await c.execute("insert into t values(1)"))


@case()
async def serialization_failures(c):
    d = await connect()
    await d.execute("set search_path to asyncpg_")
    await c.execute("create table t(k int primary key, v int); insert into t values(1,10),(2,20)")
    a, b = c.transaction(isolation="serializable"), d.transaction(isolation="serializable")
    await a.start()
    await b.start()
    say(await c.fetchval("select sum(v) from t"), await d.fetchval("select sum(v) from t"))
    await c.execute("update t set v=0 where k=1")
    await d.execute("update t set v=0 where k=2")
    await a.commit()
    e = await wrong(b.commit())
    await d.close()
    d = await connect()
    await d.execute("set search_path to asyncpg_")
    a, b = c.transaction(isolation="repeatable_read"), d.transaction(isolation="repeatable_read")
    await a.start()
    await b.start()
    await d.fetch("table t")
    await c.execute("update t set v=v+1 where k=1")
    await a.commit()
    await wrong(d.execute("update t set v=v+1 where k=1"))
    await b.rollback()
    await d.close()


@case()
async def deadlocks(c):
    d = await connect(server_settings={"deadlock_timeout": "100ms"})
    await d.execute("set search_path to asyncpg_")
    await c.execute("set deadlock_timeout to '10s'; create table t(k int primary key); insert into t values(1),(2)")
    a, b = c.transaction(), d.transaction()
    await a.start()
    await b.start()
    await c.execute("select * from t where k=1 for update")
    await d.execute("select * from t where k=2 for update")
    waits = asyncio.ensure_future(c.execute("select * from t where k=2 for update"))
    await asyncio.sleep(0.1)
    try:
        await d.execute("select * from t where k=1 for update")
        must(False, "no deadlock")
    except asyncpg.DeadlockDetectedError as e:
        say(e.sqlstate, e.message)
    await b.rollback()
    say(await waits)
    await a.rollback()
    await d.close()


# --- listeners, notices


@case(pooled=False)
async def listening(c):
    d = await connect()
    got = asyncio.Queue()

    def heard(conn, pid, channel, payload):
        got.put_nowait((conn is c, pid == d.get_server_pid(), pid == c.get_server_pid(), channel, payload))
    await c.add_listener("ipc", heard)
    await d.execute("notify ipc, 'hello'")
    say(await asyncio.wait_for(got.get(), 5))
    await c.execute("notify ipc, 'myself'")
    say(await asyncio.wait_for(got.get(), 5))
    await d.execute("select pg_notify($1, $2)", "ipc", "by a function")
    say(await asyncio.wait_for(got.get(), 5))
    async with d.transaction():
        await d.execute("notify ipc, 'a'; notify ipc, 'a'; notify ipc, 'b'")
    say(await asyncio.wait_for(got.get(), 5), await asyncio.wait_for(got.get(), 5))
    await c.remove_listener("ipc", heard)
    await d.execute("notify ipc, 'nobody'")
    say(await c.fetchval("select 1"), got.empty())
    await wrong(d.execute("select pg_notify('', 'x')"))
    await wrong(d.execute("select pg_notify('x', repeat('y', 9000))"))
    await d.close()


@case()
async def notices(c):
    logs = []
    c.add_log_listener(lambda conn, m: logs.append((type(m).__name__, [f"{f}={getattr(m, f)}" for f in FIELDS if getattr(m, f, None)])))
    await c.execute("set client_min_messages to debug1")
    await c.execute("do $$begin raise debug 'd1'; raise log 'l'; raise info 'i'; raise notice 'n %', 1 using hint='h', detail='d', errcode='01123'; raise warning 'w'; end$$")
    await c.execute("drop table if exists missing")
    await c.execute("commit")
    await c.execute("rollback")
    async with c.transaction():
        await c.execute("begin")
    await c.execute("set client_min_messages to error; do $$begin raise warning 'unseen'; end$$")
    await asyncio.sleep(0.05)
    for line in logs:
        say(*line)


@case()
async def parameters_that_change(c):
    s = c.get_settings()
    for name, value in (("timezone", "America/New_York"), ("datestyle", "SQL, DMY"), ("intervalstyle", "postgres_verbose"), ("application_name", "changed"),
                        ("client_encoding", "LATIN1"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "off"), ("standard_conforming_strings", "on"), ("default_transaction_read_only", "on"), ("default_transaction_read_only", "off")):
        await c.execute(f"set {name} to '{value}'")
        say(name, s.TimeZone, s.DateStyle, s.IntervalStyle, s.application_name, s.client_encoding, s.standard_conforming_strings, s.default_transaction_read_only)
    await c.execute("begin; set local timezone to 'Asia/Tokyo'")
    say(s.TimeZone)
    await c.execute("rollback")
    say(s.TimeZone)
    await c.execute("reset all")
    say(s.TimeZone, s.DateStyle, s.application_name)
    await c.execute("set timezone to 'Asia/Tokyo'")
    say(await c.fetchval("select '2000-01-01 12:00+00'::timestamptz::text"), await c.fetchval("select set_config('timezone', 'Europe/Paris', false)"))
    say(await c.fetchval("select '2000-01-01 12:00+00'::timestamptz::text"), s.TimeZone)
    await c.execute("set role pg_monitor")
    say(s.session_authorization, s.is_superuser, await c.fetchval("select current_user"))
    await c.execute("reset role")
    say(s.is_superuser, await c.fetchval("select current_user"))


# --- errors


@case()
async def error_fields(c):
    await c.execute(SETUP)
    for q in ERRORS:
        say(q)
        try:
            say(await c.execute(q))
        except asyncpg.PostgresError as e:
            say(type(e).__name__, *[f"{f}={getattr(e, f)}" for f in FIELDS if getattr(e, f, None)])
        try:
            say(await c.fetch(q))
        except asyncpg.PostgresError as e:
            say("extended", type(e).__name__, *[f"{f}={getattr(e, f)}" for f in FIELDS if getattr(e, f, None)])
        except Exception as e:
            say("extended", type(e).__name__, e)
        if c.is_in_transaction():
            await c.execute("rollback")


# --- time-outs, cancelling, ends


@case()
async def time_outs(c):
    for q in ("select pg_sleep(10)", "do $$begin perform pg_sleep(10); end$$"):
        await wrong(c.execute(q, timeout=0.2))
        say(await c.fetchval("select 1"))
        await wrong(c.fetch("select pg_sleep(10)", timeout=0.2))
        say(await c.fetchval("select 2"))
    await c.execute("create table t(i int)")
    await wrong(c.execute("insert into t select 1 from (select pg_sleep(10)) s", timeout=0.2))
    say(await c.fetchval("select count(*) from t"))
    await wrong(c.executemany("insert into t select $1::int from (select pg_sleep(0.1)) s", [(i,) for i in range(100)], timeout=0.3))
    await asyncio.sleep(0.5)
    say(await c.fetchval("select count(*) from t") < 90)
    async with c.transaction():
        await c.execute("insert into t values(1)")
        try:
            async with c.transaction():
                await c.execute("select pg_sleep(10)", timeout=0.2)
        except asyncio.TimeoutError:
            say("timed out")
        say(await c.fetchval("select count(*) from t"))
    say(await c.fetchval("select count(*) from t"))
    await c.execute("set statement_timeout to 100")
    await wrong(c.execute("select pg_sleep(10)"))
    await wrong(c.fetch("select pg_sleep(10)"))
    await c.execute("set statement_timeout to 0")
    say(await c.fetch("select pg_sleep(0.15)"))
    d = await connect(server_settings={"statement_timeout": "150"})
    await wrong(d.fetch("select pg_sleep(10)"))
    await wrong(d.execute("create table asyncpg_.z as select 1 as a from pg_sleep(10)"))
    await d.close()
    d = await connect(command_timeout=0.2)
    await wrong(d.fetch("select pg_sleep(10)"))
    say(await d.fetchval("select 1"))
    await d.close()


@case()
async def cancelled_tasks(c):
    for q in ("select pg_sleep(10)", "insert into t select 5 from (select pg_sleep(10)) s"):
        await c.execute("create table if not exists t(i int)")
        for call in (c.execute, c.fetch, c.fetchrow, c.fetchval):
            task = asyncio.ensure_future(call(q))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
            say(task.cancelled(), await c.fetchval("select count(*) from t"))
    st = await c.prepare("select pg_sleep($1)")
    for _ in range(5):
        task = asyncio.ensure_future(st.fetch(10.0))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        say(task.cancelled(), await c.fetchval("select 42"))


@case()
async def cancelled_at_once_many_times(c):
    for i in range(30):
        task = asyncio.ensure_future(c.fetchval("select pg_sleep(0.01)"))
        await asyncio.sleep(0.0005 * i)
        task.cancel()
        await asyncio.wait([task])
        must(await c.fetchval("select $1::int", i) == i, "another answer")
    say("done")


@case(pooled=False)
async def a_backend_that_somebody_ends(c):
    d = await other()
    pid = c.get_server_pid()
    say(await d.fetchval("select pg_terminate_backend($1)", pid))
    await asyncio.sleep(0.2)
    e = await wrong_class(c.fetchval("select 1"))
    say(c.is_closed())
    c2 = await connect()
    pid = await c2.fetchval("select pg_backend_pid()")
    say(await d.fetchval("select pg_terminate_backend($1)", pid))
    await asyncio.sleep(0.2)
    await wrong_class(c2.execute("create table asyncpg_.never(i int)"))
    c3 = await connect()
    task = asyncio.ensure_future(c3.fetchval("select pg_sleep(20)"))
    await asyncio.sleep(0.2)
    say(await d.fetchval("select pg_cancel_backend($1)", c3.get_server_pid()))
    try:
        await task
    except asyncpg.QueryCanceledError as e:
        say(e.message)
    task = asyncio.ensure_future(c3.execute("do $$begin perform pg_sleep(20); end$$"))
    await asyncio.sleep(0.2)
    say(await d.fetchval("select pg_terminate_backend($1)", c3.get_server_pid()))
    await wrong_class(task)
    await d.close()


async def wrong_class(awaitable):
    """Whether it is the server's last words or the end of the connection that a driver sees first is chance."""
    try:
        must(False, repr(await awaitable))
    except (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError, ConnectionError) as e:
        say("the connection ended")


@case(pooled=False)
async def idle_in_transaction(c):
    d = await connect(server_settings={"idle_in_transaction_session_timeout": "150"})
    await d.execute("begin")
    await d.execute("select 1")
    await asyncio.sleep(0.6)
    await wrong_class(d.execute("select 1"))
    say(d.is_closed())
    await d.close()


@case()
async def an_abandoned_connection_rolls_back(c):
    await c.execute("create table t(i int)")
    d = await connect()
    await d.execute("begin; insert into asyncpg_.t values(1)")
    d.terminate()
    await asyncio.sleep(0.2)
    say(await c.fetchval("select count(*) from t"))
    async with c.transaction():
        say(await c.execute("lock t in access exclusive mode nowait"))


# --- pools


@case()
async def pools(c):
    await c.execute("create table t(i int)")
    async with asyncpg.create_pool(DSN, min_size=2, max_size=5) as pool:
        async def work(i):
            async with pool.acquire() as d:
                await d.execute("insert into asyncpg_.t values($1)", i)
                must(await d.fetchval("select count(*) from asyncpg_.t where i=$1", i) == 1, "its own row is not seen")
                await d.execute("set search_path to nowhere")
        await asyncio.gather(*[work(i) for i in range(60)])
        async with pool.acquire() as d:
            say(await d.fetchval("show search_path"))
        say(await pool.fetchval("select 1"), await pool.execute("insert into asyncpg_.t values(1000)"))
        await pool.executemany("insert into asyncpg_.t values($1)", [(2000 + i,) for i in range(5)])
        await pool.expire_connections()
        say(await pool.fetchval("select 2"))

        async def canceled():
            async with pool.acquire() as d:
                await d.execute("select pg_sleep(10)")
        for _ in range(5):
            task = asyncio.ensure_future(canceled())
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
        say(await pool.fetchval("select 3"))
    await c.execute("set meridian.consistency to global")  # others wrote
    say(await c.fetchval("select count(*) from t"))


# --- the rest


@case(pooled=False)
async def locks(c):
    d = await connect()
    say(await c.fetchval("select pg_try_advisory_lock(5)"), await d.fetchval("select pg_try_advisory_lock(5)"))
    say(await c.fetchval("select pg_advisory_unlock(5)"), await d.fetchval("select pg_try_advisory_lock(5)"))
    await d.close()
    await asyncio.sleep(0.1)
    say(await c.fetchval("select pg_try_advisory_lock(5)"))
    async with c.transaction():
        say(await c.fetchval("select pg_try_advisory_xact_lock(1,2)"), await c.fetchval("select count(*) from pg_locks where locktype='advisory'"))
    say(await c.fetchval("select count(*) from pg_locks where locktype='advisory'"))


@case()
async def two_phases(c):
    await c.execute("create table t(i int)")
    await c.execute("begin; insert into t values(1); prepare transaction 'asyncpg one'")
    say(await c.fetchval("select count(*) from t"), await c.fetch("select gid from pg_prepared_xacts where gid like 'asyncpg%'"))
    say(await c.execute("commit prepared 'asyncpg one'"), await c.fetchval("select count(*) from t"))
    await c.execute("begin; insert into t values(2)")
    say(await c.execute("prepare transaction 'asyncpg two'"), await c.execute("rollback prepared 'asyncpg two'"), await c.fetchval("select count(*) from t"))
    await wrong(c.execute("commit prepared 'asyncpg three'"))
    say(await c.execute("prepare transaction 'asyncpg four'"))  # outside a block: a warning


@case()
async def large_objects(c):
    async with c.transaction():
        oid = await c.fetchval("select lo_create(0)")
        fd = await c.fetchval("select lo_open($1, $2)", oid, 0x60000)
        say(await c.fetchval("select lowrite($1, $2)", fd, b"hello" * 1000), await c.fetchval("select lo_lseek($1, 5, 0)", fd), await c.fetchval("select loread($1, 5)", fd))
        say(await c.fetchval("select lo_tell($1)", fd), await c.fetchval("select lo_truncate($1, 7)", fd), await c.fetchval("select lo_close($1)", fd))
    say(await c.fetchval("select lo_get($1)", oid))
    say(await c.fetchval("select lo_put($1, 2, 'XX')", oid), await c.fetchval("select lo_get($1, 0, 4)", oid), await c.fetchval("select lo_unlink($1)", oid))
    await wrong(c.fetchval("select lo_get(1)"))


@case(pooled=False)
async def sequences(c):
    await c.execute("create sequence s; create table t(id int generated always as identity, b bigserial)")
    await wrong(c.fetchval("select currval('s')"))
    say(await c.fetchval("select nextval('s')"), await c.fetchval("select currval('s')"), await c.fetchval("select lastval()"), await c.fetchval("select setval('s', 40)"), await c.fetchval("select nextval($1)", "s"))
    say(await c.fetchval("select last_value from s"), await c.fetchrow("insert into t default values returning *"), await c.fetchval("select lastval()"), await c.fetchval("select pg_get_serial_sequence('t','b')"))


@case(pooled=False)
async def temporary_tables(c):
    await c.execute("create temp table tt(i int) on commit preserve rows")
    await c.copy_records_to_table("tt", records=[(i,) for i in range(100)])
    say(await c.fetchval("select count(*) from tt"), await c.fetchval("select count(*) from pg_temp.tt"))
    async with c.transaction():
        await c.execute("create temp table td(i int) on commit drop; insert into td values(1)")
        say(await c.fetchval("select count(*) from td"))
    await wrong(c.fetchval("select count(*) from td"))
    await c.execute("create temp view tv as select count(*) n from tt")
    say(await c.fetch("table tv"))
    await c.execute("discard temp")
    await wrong(c.fetch("table tt"))


@case()
async def wide_and_long_results(c):
    say(len(await c.fetch("select g, repeat('x', 1000) from generate_series(1, 5000) g")))
    say(len(await c.fetchrow("select " + ",".join(f"{i} as c{i}" for i in range(1600)))))
    say(len(await c.fetchval("select repeat('y', 20000000)")))
    say(await c.fetchval("select length($1::text)", "z" * 5000000), await c.fetchval("select cardinality($1::int[])", list(range(200000))))
    say(await c.fetch(f"select {' + '.join(['1'] * 3000)} as n"))
    await wrong(c.fetch("select " + ",".join(["1"] * 1700)))


@case()
async def records(c):
    r = await c.fetchrow("select 1 as a, 2 as a, 'x' as \"B c\", null as n")
    say(r, list(r.keys()), list(r.values()), r["B c"], r[1])
    say(await c.fetchrow("select where false"), await c.fetch("select"), await c.fetchrow("select"))


only()
asyncio.run(run_async(connect, lambda c: c.close(timeout=10), clean))
