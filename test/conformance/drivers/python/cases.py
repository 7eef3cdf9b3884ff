"""What the programs of this folder have in common: cases that say what they saw."""
import asyncio
import inspect
import os
import re
import sys
import time
import traceback

WAY = os.environ.get("WAY", "direct")
CA = os.environ.get("CA", "")
POOLED = os.environ.get("POOLING") == "transaction"
DSN = os.environ["DATABASE_URL"]
ALL = []

# Connections that look at what another one wrote ask for it by name: within
# one connection the default promise must be enough.
GLOBAL = {"meridian.consistency": "global"}


class Answer(Exception):
    """An answer that no way may give."""


def case(differs="", pooled=True):
    """A case by the name of its function. pooled says whether it may run where
    server connections are shared between transactions."""
    def add(fn):
        if pooled or not POOLED:
            ALL.append((fn.__name__.replace("_", " "), differs, fn))
        return fn
    return add


def say(*what):
    print(*(show(w) for w in what), flush=True)


def show(v):
    return v if isinstance(v, str) else re.sub(r" at 0x[0-9a-f]+", "", repr(v))


def must(ok, what):
    if not ok:
        print("!!", what)


def begin(name, differs):
    if sys.stderr.isatty() or os.environ.get("TIMES"):
        print(f"{time.monotonic():.1f} {name}", file=sys.stderr)
    print(f"== {name}" + (f" differs: {differs}" if differs else ""))


def unexpected():
    text = traceback.format_exc().strip().split("\n")
    print("!!", " | ".join(line.strip() for line in text[-4:]))


def run(connect, close, clean):
    """Runs the cases one after the other, each with a connection of its own."""
    for name, differs, fn in ALL:
        begin(name, differs)
        conn = None
        try:
            conn = connect()
            clean(conn)
            fn(conn)
        except Exception:
            unexpected()
        finally:
            try:
                close(conn)
            except Exception:
                pass
        sys.stdout.flush()


async def run_async(connect, close, clean, limit=90):
    for name, differs, fn in ALL:
        begin(name, differs)
        conn = None
        try:
            conn = await connect()
            await clean(conn)
            await asyncio.wait_for(fn(conn), limit)
        except Exception:
            unexpected()
        finally:
            try:
                await close(conn)
            except Exception:
                pass
        sys.stdout.flush()


def only():
    """Keeps the cases whose names match the first argument, for who looks into one."""
    if len(sys.argv) > 1:
        ALL[:] = [c for c in ALL if re.search(sys.argv[1], c[0])]


# What every driver runs.
TAGS = ("create table t(i int primary key, s text default 'x')", "insert into t select g from generate_series(1,5) g",
              "update t set s='y' where i<3", "delete from t where i=5", "select * from t", "create index on t(s)", "analyze t",
              "comment on table t is 'x'", "grant select on t to public", "create view v as select * from t", "truncate t",
              "create function f() returns int language sql as 'select 1'", "do $$begin end$$", "create type e as enum('a','b')",
              "lock table t", "explain select 1", "set work_mem='5MB'", "reset work_mem", "show work_mem", "vacuum t",
              "create materialized view m as select 1 a", "refresh materialized view m", "listen x", "notify x", "unlisten x",
              "select 1 as a into z", "create table z2 as select 1 a", "drop table z", "checkpoint", "discard plans", "values(1),(2)",
              "table t", "merge into t using (values(7)) as v(i) on t.i=v.i when not matched then insert values(v.i)",
              "prepare p as select 1", "execute p", "deallocate p", "declare cc cursor with hold for select 1", "fetch cc", "move cc", "close cc")

SETUP = """create table p(id int primary key); create table t(id int primary key, n int not null, u int unique, k int constraint small check(k < 10),
        f int references p, e daterange, v varchar(3), exclude using gist(e with &&)); create domain pos as int constraint above check(value>0);
        insert into t values(1,1,1,1,null,'[2000-01-01,2001-01-01)');
        create function f(int) returns int language plpgsql as $$begin return 1/$1; end$$;
        create function raises() returns void language plpgsql as $$begin raise exception 'own %', 5 using errcode='ABCDE', hint='h', detail='d', schema='s', table='t', column='c', constraint='k', datatype='y'; end$$"""

ERRORS = ("insert into t values(1,1)", "insert into t values(2,null)", "insert into t values(2,2,1)", "insert into t values(2,2,2,50)", "insert into t values(2,2,2,2,99)",
              "insert into t values(2,2,2,2,null,'[2000-05-01,2000-06-01)')", "insert into t values(2,2,2,2,null,null,'toolong')", "select 'x'::int", "select (-1)::pos", "select 1/0",
              "select f(0)", "select raises()", "select * frm t", "select * from nothere", "select nocol from t", "select nofunc(1)", "select 1 + 'a'::text", "create table t(i int)",
              "drop table nothere", "select 'abc", "select $1", "select 99999999999::int", "insert into t(nocol) values(1)", "select * from t where n = any('{1,2'::int[])",
              "alter table t add constraint small check(true)", "delete from p where id=(select id from t limit 5 offset -1)", "set work_mem to 'x'", "set nope.x to 1; show nope.y",
              "select pg_sleep('x')", "copy t from '/nonexistent/file'", "vacuum nothere", "select E'\\xff'", "select chr(0)", "select json '{'", "select '2000-13-01'::date",
              "with recursive r as (select 1 union all select r.x from r) select * from r", "select 1 union select 'a'", "select row(1,2)=row(1)", "create index concurrently on nothere(x)", "begin; bogus; commit", "rollback",
              "declare x cursor for select 1", "savepoint s", "release s", "set transaction isolation level serializable", "fetch nocursor", "execute nostmt", "deallocate nostmt", "lock t", "select set_config('transaction_isolation', 'x', true)")
