"""Alembic and SQLAlchemy, by psycopg2 and asyncpg: migrations, metadata that is compared, the ORM and its transactions."""
import asyncio
import datetime
import enum
import os
import tempfile
import threading

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from cases import DSN, GLOBAL, case, must, only, run, say

BASE = DSN.split("?")[0]
PATH = "-csearch_path=alembic_,public"


def engine(**more):
    return sa.create_engine(BASE.replace("postgres:", "postgresql+psycopg2:"), connect_args={"options": PATH, "sslmode": "disable"}, future=True, **more)


def aengine(**more):
    # A session that has committed goes on with whichever connection of the pool is free.
    return create_async_engine(BASE.replace("postgres:", "postgresql+asyncpg:"), connect_args={"server_settings": {"search_path": "alembic_,public", **GLOBAL}, "ssl": False}, **more)


def admin():
    return sa.create_engine(BASE.replace("postgres:", "postgresql+psycopg2:"), connect_args={"options": PATH + " -cmeridian.consistency=global", "sslmode": "disable"}, isolation_level="AUTOCOMMIT", future=True).connect()


def clean(c):
    c.execute(sa.text("set client_min_messages to error"))
    c.execute(sa.text("drop schema if exists alembic_ cascade"))
    c.execute(sa.text("create schema alembic_"))


def wrong(e):
    say(type(e).__name__, getattr(getattr(e, "orig", None), "pgcode", None) or getattr(e.orig, "sqlstate", None), str(e.orig).split("\n")[0])


ENV = """
from alembic import context
c = context.config.attributes["connection"]
context.configure(connection=c, target_metadata=None, version_table_schema="alembic_", transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""
STEPS = {
    "1": 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40), nullable=False, unique=True)); op.bulk_insert(sa.table("users", sa.column("name")), [{"name": f"u{i}"} for i in range(20)])',
    "2": 'op.add_column("users", sa.Column("mood", sa.Enum("sad", "ok", name="mood", create_type=False), server_default="ok")) if op.execute("create type mood as enum(\'sad\', \'ok\')") is None else 0; op.execute("update users set mood = \'sad\' where id % 2 = 0")',
    "3": 'context = op.get_context()\n    with context.autocommit_block():\n        op.create_index("users_mood", "users", ["mood"], postgresql_concurrently=True)\n        op.execute("alter type mood add value \'great\'")',
    "4": 'n = op.get_bind().execute(sa.text("select count(*) from users where mood = \'sad\'")).scalar()\n    op.execute(f"insert into users(name, mood) values(\'told {n}\', \'great\')"); op.alter_column("users", "name", type_=sa.String(80), existing_type=sa.String(40)); op.create_check_constraint("long", "users", "length(name) > 1")',
}
DOWN = {"1": 'op.drop_table("users")', "2": 'op.drop_column("users", "mood"); op.execute("drop type mood")',
        "3": 'context = op.get_context()\n    with context.autocommit_block():\n        op.drop_index("users_mood", "users", postgresql_concurrently=True)', "4": 'op.drop_constraint("long", "users"); op.execute("delete from users where mood = \'great\'")'}
BROKEN = {"5": 'op.create_table("half", sa.Column("i", sa.Integer)); op.execute("select 1/0")'}


def project(folder, steps):
    os.makedirs(os.path.join(folder, "versions"), exist_ok=True)
    with open(os.path.join(folder, "env.py"), "w") as f:
        f.write(ENV)
    before = None
    for v, up in steps.items():
        with open(os.path.join(folder, "versions", f"{v}.py"), "w") as f:
            f.write(f'from alembic import op\nimport sqlalchemy as sa\nrevision = "v{v}"\ndown_revision = {before!r}\n\ndef upgrade():\n    {up}\n\ndef downgrade():\n    {DOWN.get(v, "pass")}\n')
        before = f"v{v}"


def config(folder, connection):
    cfg = Config()
    cfg.set_main_option("script_location", folder)
    cfg.attributes["connection"] = connection
    return cfg


def structure(c):
    i = sa.inspect(c)
    for t in sorted(i.get_table_names("alembic_")):
        say(t, [(x["name"], str(x["type"]), x["nullable"], x["default"]) for x in i.get_columns(t, "alembic_")], i.get_pk_constraint(t, "alembic_"),
            sorted(i.get_indexes(t, "alembic_"), key=lambda x: x["name"]), i.get_unique_constraints(t, "alembic_"), i.get_check_constraints(t, "alembic_"), i.get_foreign_keys(t, "alembic_"))
    say(sorted(i.get_enums("alembic_"), key=lambda e: e["name"]))


def migrate(c, how):
    with tempfile.TemporaryDirectory() as folder:
        project(folder, STEPS)
        how(folder, lambda cfg: command.upgrade(cfg, "head"))
        structure(c)
        say(c.execute(sa.text("select id, name, mood::text from users order by id")).all(), c.execute(sa.text("select * from alembic_version")).all())
        how(folder, lambda cfg: command.upgrade(cfg, "head"))
        how(folder, lambda cfg: command.downgrade(cfg, "v1"))
        how(folder, lambda cfg: command.upgrade(cfg, "+2"))
        structure(c)
        project(folder, {**STEPS, **BROKEN})
        try:
            how(folder, lambda cfg: command.upgrade(cfg, "head"))
            must(False, "no error")
        except sa.exc.DBAPIError as e:
            wrong(e)
        say(c.execute(sa.text("select to_regclass('half'), (select version_num from alembic_version)")).all())
        how(folder, lambda cfg: command.downgrade(cfg, "base"))
        structure(c)


@case()
def alembic_on_psycopg2(c):
    e = engine()

    def how(folder, do):
        with e.connect() as conn:
            do(config(folder, conn))
    migrate(c, how)
    e.dispose()


@case()
def alembic_on_asyncpg(c):
    def how(folder, do):
        async def go():
            e = aengine()
            async with e.connect() as conn:
                await conn.run_sync(lambda s: do(config(folder, s)))
            await e.dispose()
        asyncio.run(go())
    migrate(c, how)


Base = orm.declarative_base()


class Mood(enum.Enum):
    sad = 1
    ok = 2


class User(Base):
    __tablename__ = "users"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(40), nullable=False, unique=True)
    mood = sa.Column(sa.Enum(Mood), default=Mood.ok, server_default="ok")
    data = sa.Column(pg.JSONB)
    tags = sa.Column(pg.ARRAY(sa.Text))
    n = sa.Column(sa.Integer, default=0)
    at = sa.Column(sa.DateTime(timezone=True), default=lambda: datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc))
    version = sa.Column(sa.Integer, nullable=False)
    posts = orm.relationship("Post", back_populates="user", cascade="all, delete-orphan", order_by="Post.id")
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}


class Post(Base):
    __tablename__ = "posts"
    id = sa.Column(sa.Integer, sa.Identity(), primary_key=True)
    user_id = sa.Column(sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title = sa.Column(sa.Text, server_default=sa.func.upper("untitled"))
    user = orm.relationship("User", back_populates="posts")


def show(u):
    return (u.id, u.name, u.mood.name, u.data, u.tags, u.n, u.at.isoformat(), u.version, [p.title for p in u.posts])


@case()
def metadata_that_is_compared(c):
    e = engine()
    Base.metadata.create_all(e)
    structure(c)
    more = sa.MetaData()
    for t in Base.metadata.tables.values():
        t.to_metadata(more)
    more.tables["users"].append_column(sa.Column("extra", sa.BigInteger))
    sa.Table("new", more, sa.Column("id", sa.Integer, primary_key=True))
    with e.connect() as conn:
        say([d[0] for d in compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), Base.metadata)])
        say(sorted(str(d[0]) for d in compare_metadata(MigrationContext.configure(conn), more)))
    reflected = sa.MetaData()
    reflected.reflect(e)
    say({k: sorted(t.columns.keys()) for k, t in sorted(reflected.tables.items())})
    Base.metadata.drop_all(e)
    structure(c)
    e.dispose()


@case()
def the_orm_on_psycopg2(c):
    e = engine(pool_size=4)
    Base.metadata.create_all(e)
    with orm.Session(e) as s:
        s.add_all([User(name=f"u{i}", n=i, data={"i": i}, tags=["a", None], posts=[Post(title=f"p{i}"), Post()]) for i in range(12)])
        s.commit()
        for u in s.execute(sa.select(User).options(orm.selectinload(User.posts)).order_by(User.id).limit(3)).scalars():
            say(show(u))
        u = s.get(User, 2)
        u.n, u.posts = 50, u.posts[:1]
        with e.begin() as other:
            other.execute(sa.update(User).where(User.id == 3).values(version=9))
        s.commit()
        say(show(u))
        try:
            with s.begin_nested():
                s.add(User(name="u1"))
        except sa.exc.IntegrityError as x:
            wrong(x)
        s.add(User(name="after"))
        s.commit()
        say(s.scalar(sa.select(sa.func.count()).select_from(User)), s.execute(sa.select(User.name).where(User.data["i"].astext == "4")).all())
        stale = s.get(User, 5)
        say(stale.n)
        with e.begin() as other:
            other.execute(sa.update(User).where(User.id == 5).values(version=7))
        stale.n = 6
        try:
            s.commit()
            must(False, "a stale row is written")
        except orm.exc.StaleDataError as x:
            say(type(x).__name__)
            s.rollback()
        say(s.execute(pg.insert(User).values(name="u3", n=77, version=1).on_conflict_do_update(index_elements=["name"], set_={"n": 77}).returning(User.id, User.n)).all())
        s.commit()
        rows = s.execute(sa.select(User).order_by(User.id).execution_options(yield_per=3)).scalars()
        say([x.name for x in rows])
        s.delete(s.get(User, 1))
        s.commit()
        say(s.scalar(sa.select(sa.func.count()).select_from(Post)))
    e.dispose()


@case()
def the_orm_on_asyncpg(c):
    async def go():
        e = aengine(pool_size=4)
        async with e.begin() as conn:
            await conn.run_sync(Base.metadata.create_all)

        async def add(i):
            async with AsyncSession(e, expire_on_commit=False) as s:
                u = User(name=f"u{i}", n=i, data={"i": i}, posts=[Post(title=f"p{i}")])
                s.add(u)
                await s.commit()
                u.n += 1
                await s.commit()
                must(await s.scalar(sa.select(User.n).where(User.name == f"u{i}")) == i + 1, "an update is not seen")
        await asyncio.gather(*[add(i) for i in range(24)])
        async with AsyncSession(e) as s:
            say(sorted((await s.execute(sa.select(User.name, User.n))).all()))
            got = (await s.execute(sa.select(User).options(orm.selectinload(User.posts)).order_by(User.name).limit(2))).scalars().all()
            say([(u.name, [p.title for p in u.posts]) for u in got])
            try:
                async with s.begin_nested():
                    s.add(User(name="u1"))
            except sa.exc.IntegrityError as x:
                wrong(x)
            say(await s.scalar(sa.select(sa.func.count()).select_from(User)))
            await s.rollback()
            stream = await s.stream_scalars(sa.select(User.name).order_by(User.name).execution_options(yield_per=5))
            say([n async for n in stream])
        async with e.connect() as conn:
            before = (await conn.execute(sa.text("select * from posts order by user_id limit 1"))).keys()
            await conn.rollback()
            async with e.begin() as other:
                await other.execute(sa.text("alter table posts add column more int default 5"))
            for _ in range(2):
                try:
                    say(list(before), list((await conn.execute(sa.text("select * from posts order by user_id limit 1"))).keys()))
                except sa.exc.DBAPIError as x:
                    wrong(x)
                await conn.rollback()
        async with e.execution_options(isolation_level="SERIALIZABLE").begin() as conn:
            say(await conn.scalar(sa.text("show transaction_isolation")))
        async with e.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            await conn.execute(sa.text("create index concurrently on users(n)"))
            say(await conn.scalar(sa.text("select count(*) from pg_indexes where schemaname = 'alembic_' and tablename = 'users'")))
        await e.dispose()
    asyncio.run(go())


@case()
def two_upgrades_at_once(c):
    c.execute(sa.text("create table users(id serial primary key, name text)"))
    e = engine(pool_size=4)

    def one():
        with e.begin() as conn:
            conn.execute(sa.text("select pg_advisory_xact_lock(4711)"))
            if conn.scalar(sa.text("select count(*) from information_schema.columns where table_schema = 'alembic_' and table_name = 'users' and column_name = 'n'")) == 0:
                conn.execute(sa.text("alter table users add column n int default 3"))
                conn.execute(sa.text("insert into users(name) values('moved')"))
    all_ = [threading.Thread(target=one) for _ in range(5)]
    for t in all_:
        t.start()
    for t in all_:
        t.join()
    say(c.execute(sa.text("select name, n from users")).all())
    e.dispose()


only()
run(admin, lambda c: (c.close(), c.engine.dispose()), clean)
