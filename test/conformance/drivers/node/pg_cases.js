// node-postgres with its cursors, streams and COPY, area by area as its own suite goes; and knex above it.
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const copy = require('pg-copy-streams')
const { pipeline } = require('stream/promises')
const { Readable, Writable } = require('stream')
const fs = require('fs')
const { CA, ERRORS, GLOBAL, SETUP, WAY, fields, must, run, say, sleep, test, wrong } = require('./cases')

const connect = async (more = {}) => {
  const c = new Client(more)
  c.on('error', () => {})
  await c.connect()
  return c
}
const fresh = async () => {
  const c = await connect()
  await c.query("set client_min_messages to error; drop schema if exists nodepg cascade; create schema nodepg; reset client_min_messages; set search_path to nodepg, public")
  return c
}
const rows = async (c, ...q) => (await c.query(...q)).rows
const other = (more = {}) => connect({ options: GLOBAL + ' -c search_path=nodepg,public', ...more })
const brief = (r) => (Array.isArray(r) ? r.map(brief) : [r.command, r.rowCount, r.oid, r.rows, r.fields.map((f) => [f.name, f.dataTypeID < 16384 ? f.dataTypeID : 'own', f.dataTypeModifier, f.format, f.columnID])])

test('configuration', async () => {
  for (const more of [{ application_name: 'mine' }, { fallback_application_name: 'fall' }, { statement_timeout: 5000 }, { lock_timeout: 4000 }, { idle_in_transaction_session_timeout: 3000 }, { options: '-c search_path=a -c geqo=off' }, { client_encoding: 'LATIN1' }, { keepAlive: true }, { query_timeout: 5000 }, { binary: true }]) {
    const c = await connect(more)
    const got = []
    for (const s of ['application_name', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'search_path', 'client_encoding', 'geqo']) got.push((await rows(c, 'show ' + s))[0])
    say(more, got)
    await c.end()
  }
  await wrong(connect({ options: '-c work_mem=much' }))
  await wrong(connect({ options: '-c nope=1' }))
})

test('TLS and SCRAM', async () => {
  for (const more of [{ ssl: { rejectUnauthorized: false } }, { host: 'localhost', ssl: true }, { ssl: { rejectUnauthorized: false }, enableChannelBinding: true }]) {
    if (WAY === 'direct') { say(1); continue }
    if (more.ssl === true) more.ssl = { ca: fs.readFileSync(CA, 'utf8'), servername: 'localhost' }
    const c = await connect(more)
    say((await rows(c, 'select 1 as one'))[0].one)
    await c.end()
  }
})

test('a wrong password', async () => {
  if (WAY === 'direct') return say('error severity=FATAL code=28P01 message=password authentication failed for user "conduit"')
  await wrong(connect({ password: 'wrong' }))
})

test('quick disconnects', async () => {
  for (let i = 0; i < 10; i++) { const c = await connect(); await c.end() }
  for (let i = 0; i < 5; i++) { const c = new Client(); c.on('error', () => {}); c.connect().catch(() => {}); c.end().catch(() => {}) }
  const c = await connect()
  say((await c.query('select pg_sleep(0.05), 7 as n')).rows[0].n)
  await c.end()
})

test('simple queries', async (c) => {
  for (const q of ['select 1 as a, null as b', 'create table t(i int, s text)', "insert into t values(1,'a'),(2,'b')", 'select * from t', 'update t set i=i+1', "delete from t where s='a'", '', ';', '-- x', 'select', "select 1; select 2 as two; insert into t values(5,'c') returning *", 'begin; select 1; commit',
    'select $1', "do $$begin end$$", 'show work_mem', 'table t', 'explain (costs off) select 1', 'truncate t', 'vacuum t', 'begin', 'savepoint a', 'rollback to a', 'release a', 'commit', 'rollback']) {
    try { say(q, brief(await c.query(q))) } catch (e) { say(q, fields(e)) }
  }
  say((await rows(c, "select '" + 'x'.repeat(500000) + "' as big"))[0].big.length)
  await wrong(c.query('select 1; select 1/0; select 3'))
  const r = await Promise.all([c.query('select 1 as n'), c.query('select $1::int as n', [2]), c.query({ text: 'select 3 as n', name: 'three' })])
  say(r.map((x) => x.rows[0].n))
})

test('parameters and types', async (c) => {
  const vals = { int: 5, int8: '9007199254740993', numeric: '1.50', float8: 1.5, bool: true, text: 'ä€𝄞', bytea: Buffer.from([0, 255]), json: { a: [1, null] }, jsonb: { b: 2 }, 'int[]': [1, null, 3], 'text[]': [['a', null], ['b"', 'c,']], date: '2024-02-29', timestamptz: new Date(Date.UTC(2000, 0, 1)), timestamp: '2000-01-01 12:00:00',
    interval: '1 day 02:03:04.5', uuid: '01234567-89ab-cdef-0123-456789abcdef', inet: '10.0.0.1/24', point: '(1,2)', circle: '<(1,2),3>', int4range: '[1,5)', 'time': '12:00:00', 'timestamptz[]': [new Date(0), null], 'json[]': [JSON.stringify({ a: 1 })], name: 'n', money: '$1.50' }
  for (const [t, v] of Object.entries(vals)) {
    for (const binary of ['int', 'int8', 'float8', 'bool', 'text', 'json'].includes(t) ? [false, true] : [false]) {
      try { say(t, binary, (await rows(c, { text: `select $1::${t} as v`, values: [v], binary }))[0].v) } catch (e) { say(t, binary, fields(e)) }
    }
    say(t, (await rows(c, `select $1::${t} as v`, [null]))[0].v)
  }
  say(await rows(c, { text: 'select 1, 2', rowMode: 'array' }))
  await wrong(c.query('select $1::int', ['x']))
  await wrong(c.query('select $1::int', []))
  await wrong(c.query('select $1::int', [1, 2]))
})

test('prepared statements', async (c) => {
  await c.query('create table t(id int, name text); insert into t select g, g::text from generate_series(1,20) g')
  for (let i = 0; i < 3; i++) say(await rows(c, { name: 'by id', text: 'select * from t where id=$1', values: [i] }))
  await wrong(c.query({ name: 'by id', text: 'select 1' }))
  await wrong(c.query({ name: 'bad', text: 'selec' }))
  await wrong(c.query({ name: 'bad', text: 'select nothing from t' }))
  await wrong(c.query({ name: 'zero', text: 'select 1/$1::int', values: [0] }))
  say(await rows(c, { name: 'zero', text: 'select 1/$1::int as n', values: [1] }).catch(fields))
  say(brief(await c.query({ name: 'some', text: 'select id from t order by id', rows: 5 })))
  await c.query('alter table t add z int default 3')
  say(await rows(c, { name: 'by id', text: 'select * from t where id=$1', values: [1] }).catch(fields))
  say(await rows(c, { name: 'new', text: 'select * from t where id=$1', values: [1] }))
  for (let i = 0; i < 50; i++) must((await rows(c, { name: 's' + i, text: `select ${i}+$1::int as n`, values: [1] }))[0].n === i + 1, 'another sum')
  await c.query({ name: 'ins', text: 'insert into t values($1,$2)', values: [100, 'x'] })
  say(await rows(c, { name: 'by id', text: 'select id from t where id=$1', values: [100] }).catch((e) => e.message))
  await c.query('deallocate all')
  await wrong(c.query({ name: 'new', text: 'select * from t where id=$1', values: [1] }))
})

test('a read after each write', async (c) => {
  await c.query('create table t(i int primary key, n int)')
  for (let i = 0; i < 60; i++) {
    await c.query('insert into t values($1,0)', [i])
    must((await rows(c, 'select count(*)::int as n from t'))[0].n === i + 1, `the row ${i} is not seen`)
    const [, r] = await Promise.all([c.query('update t set n=n+1 where i=$1', [i]), c.query('select n from t where i=$1', [i])])
    must(r.rows[0].n === 1, `the update of ${i} is not seen`)
  }
})

test('error fields', async (c) => {
  await c.query(SETUP)
  for (const q of ERRORS) {
    await c.query(q).then((r) => say(q, r.command), (e) => say(q, fields(e)))
    await c.query({ text: q, values: [] , name: q.slice(0, 40) }).then((r) => say(q, r.command), (e) => say(q, fields(e)))
    if (/^begin/.test(q)) say(await c.query('select 1').catch((e) => e.code))
  }
})

test('notices', async (c) => {
  c.on('notice', (n) => say('notice', fields(n)))
  await c.query("set client_min_messages to debug1; do $$begin raise notice 'n %', 1 using hint='h', detail='d', errcode='01123'; raise warning 'w'; raise info 'i'; raise log 'l'; end$$")
  await c.query('drop table if exists missing')
  await c.query('rollback')
})

test('notifications', async (c) => {
  const d = await other()
  const got = []
  c.on('notification', (n) => got.push([n.channel, n.payload, n.processId === d.processID, n.processId === c.processID]))
  await c.query('listen pgc; listen "Other"')
  await d.query("notify pgc, 'one'")
  await d.query("select pg_notify('Other', 'two')")
  await c.query("notify pgc, 'own'")
  await d.query("begin; notify pgc, 'tx'; commit")
  for (let i = 0; i < 100 && got.length < 4; i++) await sleep(20)
  await c.query('unlisten *')
  await d.query("notify pgc, 'unheard'")
  say(got, await rows(c, 'select 1'))
  await d.end()
}, { pooled: false })

test('transactions', async (c) => {
  await c.query('create table t(i int)')
  await c.query('begin')
  await c.query('insert into t values(1)')
  await c.query('savepoint a')
  await wrong(c.query('insert into t values($1)', ['x']))
  await wrong(c.query('select 1'))
  await c.query('rollback to a')
  await c.query('insert into t values($1)', [2])
  say((await c.query('commit')).command, await rows(c, 'table t'))
  await c.query('begin isolation level serializable read only deferrable')
  say(await rows(c, 'select * from t'))
  await wrong(c.query('insert into t values(1)'))
  say((await c.query('commit')).command)
  for (const q of ['begin', 'select 1', 'select 1/0', 'rollback']) { await c.query(q).catch(() => sleep(100)); say(q, c.getTransactionStatus ? c.getTransactionStatus() : '') }
})

test('cursors', async (c) => {
  const cur = c.query(new Cursor('select g as n from generate_series(1,$1::int) g', [100]))
  say((await cur.read(3)).map((r) => r.n), (await cur.read(90)).length, (await cur.read(50)).length, (await cur.read(1)).length)
  const early = c.query(new Cursor('select g as n from generate_series(1,100000) g'))
  say((await early.read(2)).map((r) => r.n))
  await early.close()
  say(await rows(c, 'select 1 as after'))
  const bad = c.query(new Cursor('select 1/(g-5) as n from generate_series(1,10) g'))
  say((await bad.read(3)).length)
  await wrong(bad.read(3))
  await wrong(c.query(new Cursor('selec')).read(1))
  await c.query('create table t(i int)')
  const w = c.query(new Cursor('insert into t select generate_series(1,20) returning i'))
  say((await w.read(4)).length, (await w.read(100)).length)
  await w.close()
  say(await rows(c, 'select count(*) from t'))
  await c.query('begin')
  const a = c.query(new Cursor('select i from t order by i'))
  say((await a.read(2)).map((r) => r.i))
  await a.close()
  say((await c.query('commit')).command)
})

test('query streams', async (c) => {
  let n = 0
  for await (const r of c.query(new QueryStream('select g from generate_series(1,$1::int) g', [5000], { batchSize: 77 }))) n += r.g
  say(n)
  for await (const r of c.query(new QueryStream('select g from generate_series(1,5000) g', [], { highWaterMark: 10 }))) if (r.g > 25) break
  say(await rows(c, 'select 1 as after'))
  await wrong((async () => { for await (const r of c.query(new QueryStream('select 1/(g-300) from generate_series(1,500) g'))) n++ })())
  say(await rows(c, 'select 2 as after'))
})

test('COPY', async (c) => {
  await c.query('create table t(i int primary key, s text)')
  const into = async (q, parts) => { const s = c.query(copy.from(q)); await pipeline(Readable.from(parts), s); return s.rowCount }
  const out = async (q) => { const got = []; const s = c.query(copy.to(q)); await pipeline(s, new Writable({ write(b, _, d) { got.push(b); d() } })); return Buffer.concat(got) }
  say(await into('copy t from stdin', ['1\ta\n', '2\t', 'b\n']))
  say(await into('copy t from stdin csv', Array.from({ length: 3000 }, (_, i) => `${i + 10},"row ${i}"\n`)))
  say((await out('copy (select * from t order by i limit 3) to stdout')).toString())
  say((await out('copy t to stdout (format binary)')).length)
  await wrong(into('copy t from stdin', ['1\tdup\n']))
  await wrong(into('copy t from stdin', ['x\ty\n']))
  await wrong(out('copy nowhere to stdout'))
  await wrong(out('copy (select 1/(g-50) from generate_series(1,100) g) to stdout'))
  say(await rows(c, 'select count(*) from t'))
  const bin = await out('copy t to stdout (format binary)')
  await c.query('truncate t')
  say(await into('copy t from stdin (format binary)', [bin]), await rows(c, 'select count(*), sum(i) from t'))
})

test('time-outs and cancelling', async (c) => {
  await c.query('set statement_timeout to 100')
  await wrong(c.query('select pg_sleep(10)'))
  await wrong(c.query('select pg_sleep($1)', [10]))
  await c.query('set statement_timeout to 0')
  const pid = c.processID
  const d = await other()
  const q = wrong(c.query('select pg_sleep(20)'))
  await sleep(200)
  must((await rows(d, 'select pg_cancel_backend($1) as done', [pid]))[0].done, 'nothing was canceled')
  await q
  const q2 = wrong(c.query("do $$begin perform pg_sleep(20); end$$"))
  await sleep(200)
  new Client().cancel(c, c._getActiveQuery ? c._getActiveQuery() : c.activeQuery)
  await q2
  const e = await connect({ query_timeout: 200 })
  await wrong(e.query('select pg_sleep(2)'))
  await e.end()
  const f = await connect({ statement_timeout: 200 })
  await wrong(f.query('select pg_sleep(20)'))
  await f.end()
  await d.end()
}, { pooled: false })

test('a backend that somebody ends', async (c) => {
  const d = await other()
  const ended = new Promise((done) => c.on('end', done))
  say(await rows(d, 'select pg_terminate_backend($1) as done', [c.processID]))
  await Promise.race([ended, sleep(2000)])
  await c.query('select 1').then(() => must(false, 'it lives'), () => say('the connection ended'))
  const e = await connect()
  await e.query('create table nodepg.z(i int)')
  const q = e.query('insert into nodepg.z select 1 from (select pg_sleep(20)) s').then(() => must(false, 'it lives'), () => say('the connection ended'))
  await sleep(200)
  must((await rows(d, 'select pg_terminate_backend($1::int) as done', [e.processID]))[0].done, 'nothing was ended')
  await q
  const g = await connect({ idle_in_transaction_session_timeout: 100 })
  await g.query('begin')
  await g.query('select 1')
  await sleep(500)
  await g.query('select 1').then(() => must(false, 'it lives'), () => say('the connection ended'))
  await d.end()
}, { pooled: false })

test('pools', async (c) => {
  await c.query('create table t(i int)')
  const pool = new Pool({ max: 6, options: '-c search_path=nodepg' })
  await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const d = await pool.connect()
    await d.query('insert into t values($1)', [i])
    must((await d.query('select count(*)::int as n from t where i=$1', [i])).rows[0].n === 1, 'its own row is not seen')
    d.release()
  }))
  await wrong(pool.query('bogus'))
  await c.query('set meridian.consistency to global') // others wrote
  say(await rows(c, 'select count(*) from t'))
  await pool.end()
})

test('pipeline mode', async () => {
  const c = await connect({ pipelineMode: true, options: '-c search_path=nodepg' }).catch(() => connect({ options: '-c search_path=nodepg' }))
  await c.query('create table t(i int)')
  const got = await Promise.allSettled([c.query('insert into t values(1)'), c.query('select count(*)::int as n from t'), c.query('select 1/0'), c.query('insert into t values($1)', [2]), c.query('select count(*)::int as n from t'), c.query({ name: 'p', text: 'select $1::int as n', values: [7] }), c.query({ name: 'p', text: 'select $1::int as n', values: [8] }), c.query('begin'), c.query('insert into t values(3)'), c.query('rollback'), c.query('select count(*)::int as n from t')])
  say(got.map((r) => (r.value ? [r.value.command, r.value.rows] : r.reason.code)))
  await c.end()
})

test('knex', async (c) => {
  const knex = require('knex')({ client: 'pg', connection: { options: '-c search_path=nodepg' }, pool: { min: 1, max: 1 }, searchPath: ['nodepg'] })
  await knex.schema.createTable('users', (t) => { t.increments('id'); t.string('name').notNullable().unique(); t.jsonb('data'); t.timestamps(true, true) })
  say(await knex('users').insert([{ name: 'a', data: { x: 1 } }, { name: 'b' }]).returning(['id', 'name']))
  say(await knex('users').where('name', 'a').select('id', 'name', 'data'))
  say(await knex('users').insert({ name: 'a' }).onConflict('name').merge({ data: { y: 2 } }).returning('data'))
  await knex.transaction(async (tx) => { await tx('users').where({ name: 'b' }).update({ name: 'c' }); say(await tx('users').select('name').orderBy('name')) })
  await wrong(knex.transaction(async (tx) => { await tx('users').insert({ name: 'd' }); await tx('users').insert({ name: 'a' }) }))
  say(await knex('users').count('*'), await knex.schema.hasTable('users'), await knex.schema.hasColumn('users', 'data'), Object.keys(await knex('users').columnInfo()))
  await knex.schema.alterTable('users', (t) => { t.integer('age').defaultTo(5); t.index(['name']) })
  say(await knex('users').select('name', 'age').orderBy('id'))
  say(await knex('users').where('name', 'a').del(), await knex.raw('select ?::int as n', [5]).then((r) => r.rows))
  const dir = fs.mkdtempSync(require('os').tmpdir() + '/knex-')
  fs.writeFileSync(dir + '/1.js', "exports.up = (k) => k.schema.createTable('m1', (t) => t.increments()); exports.down = (k) => k.schema.dropTable('m1')")
  fs.writeFileSync(dir + '/2.js', "exports.up = (k) => k.raw('create index concurrently m1i on m1(id)'); exports.down = (k) => k.raw('drop index m1i'); exports.config = { transaction: false }")
  const m = { directory: dir, schemaName: 'nodepg' }
  say((await knex.migrate.latest(m))[1].length, await knex('m1').select(), (await knex.migrate.rollback(m, true))[1].length)
  fs.rmSync(dir, { recursive: true })
  await knex.destroy()
})

run(fresh, (c) => c && c.end())
