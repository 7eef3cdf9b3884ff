// pg-promise: tasks, nested transactions, its helpers and its formats.
const pgp = require('pg-promise')({ noWarnings: true })
const QueryStream = require('pg-query-stream')
const { GLOBAL, fields, must, run, say, test, until, wrong } = require('./cases')
const mapper = require('./mapper')

const { PreparedStatement, ParameterizedQuery, helpers, as } = pgp
const { TransactionMode, isolationLevel } = pgp.txMode
const SCHEMA = '-c search_path=pgpromise,public'
const open = (more = {}) => pgp({ max: 1, ...more, options: SCHEMA + ' ' + (more.options || ''), connectionString: undefined }, Math.random())
const fresh = async () => {
  const db = open()
  await db.none('set client_min_messages to error; drop schema if exists pgpromise cascade; create schema pgpromise; reset client_min_messages')
  return db
}
const close = (db) => db && db.$pool.end()

test('what a query may bring', async (db) => {
  await db.none('create table t(id serial primary key, name text unique, n int)')
  say(await db.one('insert into t(name) values($1) returning id', ['a']), await db.many('insert into t(name) values($/x/),($/y/) returning *', { x: 'b', y: 'c' }))
  say(await db.oneOrNone('select * from t where id=$1', [99]), await db.manyOrNone('select name from t order by id'), await db.any('select $1::text', ['ä€𝄞']))
  for (const p of [() => db.one('select * from t'), () => db.none('select * from t'), () => db.many('select * from t where false'), () => db.one('select * from t where false')]) {
    await p().then((r) => must(false, r), (e) => say(e.name, e.code, e.received, e.message))
  }
  say(await db.multi('select 1 as a; select 2 as b; select from t where false'), (await db.multiResult('select 1 as a; update t set n = 1')).map((r) => [r.command, r.rowCount, r.rows]))
  say(await db.result('delete from t where id=$1', [1], (r) => r.rowCount), await db.map('select id from t order by id', [], (r) => r.id), await db.each('select id from t order by id', [], (r) => { r.x = 1 }))
  await db.none('create function twice(int) returns int language sql as $$select $1*2$$; create procedure adds(int) language sql as $$insert into t(n) values($1)$$')
  say(await db.func('twice', [21]), await db.proc('adds', [7]), await db.one('select n from t where n=7'))
  say(await db.one(new PreparedStatement({ name: 'p', text: 'select $1::int + 1 as n', values: [1] })), await db.one(new ParameterizedQuery({ text: 'select $1::int as n', values: [3] })))
})

test('helpers, upserts and types', async (db) => {
  await db.none(`create type mood as enum('sad','ok'); create table t(id int primary key, m mood, ms mood[], j jsonb, a int[], at timestamptz, b bytea, r int4range)`)
  const cs = new helpers.ColumnSet(['id', { name: 'm', cast: 'mood' }, { name: 'ms', cast: 'mood[]' }, { name: 'j', mod: ':json' }, 'a', 'at', 'b', { name: 'r', cast: 'int4range' }], { table: 't' })
  const row = (id, m) => ({ id, m, ms: ['sad', 'ok'], j: { id, deep: [1, null, { x: 'y' }] }, a: [1, 2], at: new Date(0), b: Buffer.from([0, 255]), r: '[1,5)' })
  await db.none(helpers.insert([row(1, 'sad'), row(2, 'ok')], cs))
  say(await db.any('select * from t order by id'))
  say(await db.any(helpers.insert([row(2, 'sad'), row(3, 'ok')], cs) + ' on conflict(id) do update set ' + cs.assignColumns({ from: 'excluded', skip: 'id' }) + ' returning id, m, xmax = 0 as new'))
  say(await db.any(helpers.update([{ id: 1, m: 'ok' }, { id: 3, m: 'sad' }], ['?id', { name: 'm', cast: 'mood' }], 't') + ' where v.id = t.id returning t.id, t.m'))
  await db.none("alter type mood add value 'great'")
  say(await db.one("insert into t(id, m) values(9, 'great') returning m"), await db.any("select unnest(enum_range(null::mood)) as m"), await db.any("select id from t where m = any($1::mood[]) order by id", [['great', 'ok']]))
  say(await db.any("select j->'deep' as d, j @> '{\"id\":2}' as two, jsonb_path_query_array(j, '$.deep[*]') as p from t where j is not null order by id"), as.format('$1:name $1:csv $2:json $3:raw $4:value', ['a"b', { x: 1 }, 'raw', 'v']))
  await wrong(db.none("insert into t(id, m) values(10, 'mad')"))
  await wrong(db.none('insert into t(id) values(1)'))
})

test('tasks and nested transactions', async (db) => {
  await db.none('create table t(i int primary key)')
  say(await db.tx('outer', async (t) => {
    await t.none('insert into t values(1)')
    await t.tx(async (u) => { await u.none('insert into t values(2)'); throw new Error('inner') }).catch((e) => say(e.message))
    await t.tx(async (u) => { await u.none('insert into t values(3)'); return u.tx(async (v) => { await v.none('insert into t values(4)'); say(v.ctx.level, v.ctx.txLevel, v.ctx.inTransaction) }) })
    await t.tx((u) => u.none('insert into t values(1)')).catch((e) => say(e.code))
    return t.map('select i from t order by i', [], (r) => r.i)
  }))
  await wrong(db.tx(async (t) => { await t.none('insert into t values(50)'); await t.none('bogus') }))
  await wrong(db.tx(async (t) => { await t.none('bogus').catch(() => {}); await t.one('select 1 as x') }))
  await db.tx((t) => t.batch([t.none('insert into t values(5)'), t.one('select count(*)::int as n from t'), t.none('insert into t values(6)'), t.one('select count(*)::int as n from t')])).then((r) => say(r))
  await db.tx((t) => t.batch([t.none('insert into t values(7)'), t.none('insert into t values(7)'), t.one('select 1')])).catch((e) => say(e.name, fields(e.first)))
  for (const mode of [new TransactionMode({ tiLevel: isolationLevel.serializable, readOnly: true, deferrable: true }), new TransactionMode({ tiLevel: isolationLevel.repeatableRead }), new TransactionMode({ readOnly: true }), new TransactionMode({ readOnly: false, tiLevel: isolationLevel.readCommitted })]) {
    say(await db.tx({ mode }, async (t) => [await t.one('show transaction_isolation'), await t.one('show transaction_read_only'), await t.one('select count(*) from t')]))
    await db.tx({ mode }, (t) => t.none('delete from t where i = 1')).then(() => say('written'), (e) => say(fields(e)))
  }
  say(await db.task((t) => t.txIf(async (u) => (await u.one('insert into t values(8) returning i')).i)), await db.taskIf((t) => t.one('select max(i) from t')))
  say(await db.task((t) => t.sequence((i) => (i < 5 ? t.one('insert into t values($1) returning i', [20 + i]) : undefined))).then((r) => r.total))
  say(await db.map('select i from t order by i', [], (r) => r.i))
})

test('prepared statements after a definition', async (db) => {
  await db.none('create table t(i int, s text); insert into t values(1, \'x\')')
  const by = (text, ...values) => db.any(new PreparedStatement({ name: text.slice(0, 30), text, values }))
  say(await by('select i from t where i=$1', 1), await by('select s from t'))
  await db.none('alter table t add z int default 5; create index on t(i)')
  say(await by('select i from t where i=$1', 1), await by('select s from t'), await by('select z from t'))
  await db.none('drop table t; create table t(i int, s text); insert into t values(1, \'y\')')
  say(await by('select i from t where i=$1', 1), await by('select s from t'))
  await db.none('drop table t')
  await wrong(by('select s from t'))
  await db.none('create view t as select 1 as i, \'v\'::text as s')
  say(await by('select s from t'))
})

test('streams', async (db) => {
  for (const q of ['select g from generate_series(1,5000) g', 'select 1/(g-3000) from generate_series(1,5000) g']) {
    await db.stream(new QueryStream(q, [], { batchSize: 100 }), (s) => s.resume()).then((r) => say(r.processed), (e) => say(fields(e)))
  }
  say(await db.one('select 1 as after'))
})

test('notifications on a connection of their own', async (db) => {
  const other = open({ options: GLOBAL })
  const c = await db.connect({ direct: true })
  const got = []
  c.client.on('notification', (n) => got.push([n.channel, n.payload]))
  await c.none('listen $1:name', ['My Channel'])
  await other.none('notify $1:name, $2', ['My Channel', "it's"])
  await other.tx(async (t) => { await t.any("select pg_notify('My Channel', 'tx')"); await t.any("select pg_notify('My Channel', 'tx')") })
  await until('both are heard', () => got.length >= 2)
  say(got)
  await c.none('unlisten *')
  c.done()
  await other.$pool.end()
}, { pooled: false })

test('advisory locks between tasks', async (db) => {
  const other = open({ options: GLOBAL })
  await db.task(async (t) => {
    say(await t.one('select pg_try_advisory_lock(4711) as got'), await other.one('select pg_try_advisory_lock(4711) as got'))
    say(await t.one('select pg_advisory_unlock(4711) as was'), await other.one('select pg_try_advisory_lock(4711) as got'), await other.one('select pg_advisory_unlock(4711) as was'))
  })
  await db.tx(async (t) => { await t.one("select pg_advisory_xact_lock(hashtext('a'))"); say(await other.one("select pg_try_advisory_xact_lock(hashtext('a')) as got")) })
  say(await other.one("select pg_try_advisory_xact_lock(hashtext('a')) as got"))
  await other.$pool.end()
}, { pooled: false })

mapper(async (options, max) => {
  const db = open({ options, max })
  const on = (t) => ({ rows: (sql) => t.any(sql), nested: (fn) => t.tx((u) => fn(on(u))) })
  return { ...on(db), tx: (fn, level) => db.tx({ mode: new TransactionMode({ tiLevel: isolationLevel[level] }) }, (t) => fn(on(t))), close: () => close(db) }
})

run(fresh, close)
