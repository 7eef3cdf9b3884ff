// porsager's postgres, area by area as its own suite goes.
const postgres = require('postgres')
const { Readable } = require('stream')
const { pipeline } = require('stream/promises')
const { CA, ERRORS, GLOBAL, SETUP, WAY, fields, must, run, say, sleep, test, wrong } = require('./cases')

const URL = process.env.DATABASE_URL
const open = (more = {}) => postgres(URL, { max: 1, onnotice: () => {}, idle_timeout: 5, ...more, connection: { search_path: 'postgres_,public', ...(more.connection || {}) } })
const other = (more = {}) => open({ ...more, connection: { 'meridian.consistency': 'global', ...(more.connection || {}) } })
const fresh = async () => {
  const sql = open()
  await sql.unsafe('drop schema if exists postgres_ cascade; create schema postgres_')
  return sql
}
const plain = (r) => [r.command, r.count, [...r]]

test('connecting', async () => {
  for (const more of [{ connection: { application_name: 'mine' } }, { connection: { statement_timeout: 5000 } }, { connection: { TimeZone: 'Asia/Tokyo' } }, { ssl: false }, { ssl: 'prefer' }, { target_session_attrs: 'read-write' }, { target_session_attrs: 'primary' }, { fetch_types: false }, { prepare: false }]) {
    if (more.ssl === 'prefer' && WAY === 'direct') { say(more, 'it works'); continue }
    const s = open(more)
    const r = await s`select current_setting('application_name') a, current_setting('statement_timeout') t, current_setting('TimeZone') z`
    say(more, more.ssl === 'prefer' ? 'it works' : r[0])
    await s.end()
  }
  const s = open({ connection: { work_mem: 'much' } })
  await wrong(s`select 1`)
  await s.end()
  if (WAY !== 'direct') {
    const t = open({ ssl: { ca: require('fs').readFileSync(CA, 'utf8'), servername: 'localhost' } })
    must((await t`select 1 as x`)[0].x === 1, 'no TLS')
    await t.end()
  }
})

test('values', async (sql) => {
  say(plain(await sql`select ${1} as i, ${'x'} as s, ${null} as n, ${true} as b, ${new Date(0)} as d, ${Buffer.from([0, 255])} as y, ${sql.json({ a: [1] })} as j, ${sql.array([1, 2])} as a, ${'9007199254740993'}::int8 as l`))
  say(plain(await sql`select ${[1, 2, 3]}::int[] as a, ${['a', null]}::text[] as t, ${1.5}::numeric as n, '[1,5)'::int4range as r, ${[[1, 2], [3, 4]]}::int[][] as m`))
  await sql`create table t(id serial primary key, name text, data jsonb, at timestamptz)`
  say(plain(await sql`insert into t ${sql([{ name: 'a', data: { x: 1 } }, { name: 'b', data: null }], 'name', 'data')} returning id, name, data`))
  say(plain(await sql`select name from t where name in ${sql(['a', 'b'])} order by 1`), plain(await sql`update t set ${sql({ name: 'c' }, 'name')} where id = ${2} returning *`))
  say(plain(await sql`select ${sql('name')} from ${sql('t')} ${sql`where id > ${0}`} order by id`))
  say(await sql`select 1 as a, 2 as b`.values(), await sql`select 'x' as a`.raw(), (await sql`select id, name from t where id = ${1}`.describe()).columns.map((c) => [c.name, c.type]))
})

test('simple and unsafe', async (sql) => {
  say((await sql`select 1 as a; select 2 as b`.simple()).map(plain), (await sql.unsafe("create table t(i int); insert into t values(1); select * from t")).map(plain))
  say(plain(await sql.unsafe('select $1::int as n', [5])), plain(await sql.unsafe('select $1::int as n', [6], { prepare: true })), plain(await sql``.catch((e) => [e.code])))
  await wrong(sql.unsafe('select 1; select 1/0'))
})

test('error fields', async (sql) => {
  await sql.unsafe(SETUP)
  for (const q of ERRORS) {
    if (/^begin|^rollback/.test(q)) continue
    await sql.unsafe(q).then((r) => say(q, r.command), (e) => say(q, fields(e)))
    await sql.unsafe(q, [], { prepare: true }).then((r) => say(q, r.command), (e) => say(q, fields(e)))
  }
})

test('transactions', async (sql) => {
  await sql`create table t(i int)`
  say(await sql.begin(async (tx) => { await tx`insert into t values(1)`; return [...(await tx`table t`)] }))
  await wrong(sql.begin(async (tx) => { await tx`insert into t values(2)`; await tx`select wat` }))
  await wrong(sql.begin(async (tx) => { await tx`insert into t values(3)`; throw new Error('mine') }))
  await sql.begin(async (tx) => {
    await tx`insert into t values(4)`
    await tx.savepoint(async (s) => { await s`insert into t values(5)`; throw new Error('x') }).catch((e) => say(e.message))
    await tx.savepoint('named', async (s) => s`insert into t values(6)`)
  })
  say([...(await sql`table t`)])
  say(await sql.begin('isolation level serializable read only', async (tx) => [...(await tx`select count(*) from t`)]))
  await wrong(sql.begin('read only', (tx) => tx`insert into t values(9)`))
  say((await sql.begin((tx) => [tx`insert into t values(10)`, tx`select count(*) from t`, tx`select 5 as n`])).map(plain))
  await sql.begin(async (tx) => { await tx`insert into t values(11)`; await tx.prepare('postgresjs tx') })
  await sql`commit prepared 'postgresjs tx'`
  say(plain(await sql`select count(*) from t`))
})

test('pipelined queries', async (sql) => {
  await sql`create table t(i int primary key)`
  const got = await Promise.allSettled(Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? sql`insert into t values(${i})` : i % 3 === 1 ? sql`select count(*)::int as n from t` : sql`select ${i}/(${i}::int-5) as n`)))
  say(got.map((r) => (r.value ? (r.value[0] ? r.value[0].n : r.value.count) : r.reason.code)))
})

test('a read after each write', async (sql) => {
  await sql`create table t(i int primary key, n int)`
  for (let i = 0; i < 60; i++) {
    await sql`insert into t values(${i}, 0)`
    must((await sql`select count(*)::int as n from t`)[0].n === i + 1, `the row ${i} is not seen`)
    const [, r] = await Promise.all([sql`update t set n=n+1 where i=${i}`, sql`select n from t where i=${i}`])
    must(r[0].n === 1, `the update of ${i} is not seen`)
  }
})

test('cursors and forEach', async (sql) => {
  let n = 0
  await sql`select g from generate_series(1,500) g`.cursor(17, (rows) => { n += rows.length })
  for await (const rows of sql`select g from generate_series(1,500) g`.cursor(33)) { n += rows.length; if (n > 700) break }
  await sql`select g from generate_series(1,500) g`.cursor(10, () => sql.CLOSE)
  await sql`select g from generate_series(1,500) g`.forEach((r) => { n += r.g })
  say(n, plain(await sql`select 1 as after`))
  await wrong(sql`select 1/(g-50) from generate_series(1,500) g`.cursor(10, () => {}))
  await sql`create table t(i int)`
  for await (const rows of sql`insert into t select generate_series(1,20) returning i`.cursor(3)) say(rows.map((r) => r.i))
  say(plain(await sql`select count(*) from t`))
})

test('COPY', async (sql) => {
  await sql`create table t(i int, s text)`
  await pipeline(Readable.from(['1\ta\n', '2\tb\n', ...Array.from({ length: 2000 }, (_, i) => `${i}\tx\n`)]), await sql`copy t from stdin`.writable())
  let out = ''
  for await (const b of await sql`copy (select * from t order by s, i limit 3) to stdout`.readable()) out += b
  say(out, plain(await sql`select count(*) from t`))
  say(plain(await sql`select 1 as after`))
})

test('prepared statements and definitions', async (sql) => {
  await sql`create table t(a int)`
  await sql`insert into t values(1)`
  const read = () => sql`select * from t`
  say([...(await read())], [...(await read())])
  await sql`alter table t add b int default 5`
  say([...(await read().catch((e) => [e.message]))], [...(await read().catch((e) => [e.message]))])
  await sql`deallocate all`
  say([...(await read().catch((e) => [e.message]))], [...(await read().catch((e) => [e.message]))])
  await sql`create type mood as enum('a','b')`
  await sql`create table m(m mood, ms mood[])`
  say(plain(await sql`insert into m values(${'a'}, ${'{a,b}'}) returning *`))
})

test('listening', async (sql) => {
  const d = other()
  const got = []
  const a = await d.listen('porsager', (x) => got.push(x), () => got.push('listens'))
  await sql.notify('porsager', 'one')
  await sql`select pg_notify('porsager', 'two')`
  for (let i = 0; i < 100 && got.length < 3; i++) await sleep(20)
  await a.unlisten()
  await sql.notify('porsager', 'unheard')
  await sleep(50)
  say(got)
  await d.end()
}, { pooled: false })

test('cancelling and time-outs', async (sql) => {
  const q = sql`select pg_sleep(20)`
  setTimeout(() => q.cancel(), 300)
  await wrong(q)
  say(plain(await sql`select 1 as after`))
  const s = open({ connection: { statement_timeout: 150 } })
  await wrong(s`select pg_sleep(20)`)
  await s.end()
})

test('a backend that somebody ends', async (sql) => {
  const d = other()
  const [{ pid }] = await sql`select pg_backend_pid() as pid`
  await sql`create table z(i int)`
  const [{ pid: now }] = await sql`select pg_backend_pid() as pid`
  say(plain(await d`select pg_terminate_backend(${now}::int) as done`))
  await sleep(300)
  say(plain(await sql`select 1 as again`.catch(() => sql`select 1 as again`)))
  await d.end()
}, { pooled: false })

test('reserved connections', async (sql) => {
  const pool = open({ max: 3 })
  const r = await pool.reserve()
  await r`set work_mem to '7MB'`
  say(plain(await r`show work_mem`), plain(await r`select set_config('work_mem', '8MB', false) as s`), plain(await r`show work_mem`))
  r.release()
  await Promise.all(Array.from({ length: 30 }, (_, i) => pool`select ${i}::int`))
  await pool.end()
})

run(fresh, (sql) => sql && sql.end({ timeout: 2 }))
