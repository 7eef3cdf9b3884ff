// What every mapper is asked alike, in its own transactions and by its own pool.
const { ERRORS, GLOBAL, SETUP, fields, must, say, sleep, test } = require('./cases')

// gate returns a promise and what settles it.
const gate = () => { let open; const opened = new Promise((done) => { open = done }); return { open, opened } }

// open(options, max) returns { rows(sql), tx(fn, level), close() }; fn is given { rows(sql), nested(fn) }.
// Its connections have a search_path of their own.
module.exports = (open, { definitions = true } = {}) => {
  const two = (fn) => async () => {
    const a = await open(GLOBAL, 1)
    const b = await open(GLOBAL, 1)
    try { await fn(a, b) } finally { await a.close(); await b.close() }
  }
  const rows = [[1, 0], [2, 0]].map((r) => `(${r})`)
  const table = async (a, name) => { await a.rows(`create table ${name}(i int primary key, n int)`); await a.rows(`insert into ${name} values ${rows}`) }

  test('transactions that do not fit together', two(async (a, b) => {
    await table(a, 'fits')
    let tries = 0
    const add = () => a.tx(async (t) => {
      const [{ n }] = await t.rows('select n from fits where i=1')
      if (tries++ === 0) await b.rows('update fits set n=n+1 where i=1')
      await t.rows(`update fits set n=${n + 10} where i=1`)
    }, 'repeatableRead')
    await add().then(() => must(false, 'an update was lost'), (e) => say(fields(e)))
    await add()
    say(tries, await a.rows('select n from fits where i=1'))
    const skew = (m, i, between = () => {}) => m.tx(async (t) => { await t.rows('select sum(n) from fits'); await between(); await t.rows(`update fits set n=n+1 where i=${i}`) }, 'serializable')
    await skew(a, 1, () => skew(b, 2)).then(() => must(false, 'the writes are skew'), (e) => say(fields(e)))
    await skew(a, 1)
    say(await b.rows('select * from fits order by i'))
  }))

  test('deadlocks', two(async (a, b) => {
    await table(a, 'dead')
    const [one, other] = [gate(), gate()]
    const first = a.tx(async (t) => { await t.rows("set local deadlock_timeout='20s'"); await t.rows('update dead set n=1 where i=1'); one.open(); await other.opened; await t.rows('update dead set n=1 where i=2') })
    const second = b.tx(async (t) => { await t.rows("set local deadlock_timeout='100ms'"); await t.rows('update dead set n=2 where i=2'); await one.opened; other.open(); await sleep(500); await t.rows('update dead set n=2 where i=1') })
    const ends = await Promise.allSettled([first, second])
    say(ends.map((r) => (r.reason ? /40P01/.test(fields(r.reason)) || fields(r.reason) : 'done')), await b.rows('select n from dead order by i'))
  }))

  test('locks', two(async (a, b) => {
    await table(a, 'locks')
    await a.tx(async (t) => {
      await t.rows('select * from locks where i=1 for update')
      await b.rows('select * from locks where i=1 for update nowait').then(() => must(false, 'no lock'), (e) => say(fields(e)))
      say(await b.rows('select i from locks order by i for update skip locked'))
      await b.rows("set lock_timeout='100ms'")
      await b.rows('update locks set n=5 where i=1').then(() => must(false, 'no lock'), (e) => say(fields(e)))
      await t.rows('select pg_advisory_xact_lock(99)')
      say(await b.rows('select pg_try_advisory_xact_lock(99) as got'))
    })
    say(await b.rows('select pg_try_advisory_xact_lock(99) as got'))
  }))

  test('nested transactions', two(async (a) => {
    await a.rows('create table nest(i int primary key)')
    await a.tx(async (t) => {
      await t.rows('insert into nest values(1)')
      await t.nested(async (u) => { await u.rows('insert into nest values(2)'); throw new Error('mine') }).catch((e) => say(e.message))
      await t.nested(async (u) => { await u.rows('insert into nest values(3)'); await u.nested((v) => v.rows('insert into nest values(1)')).catch((e) => say(fields(e))); say(await u.rows('select i from nest order by i')) })
    })
    await a.tx(async (t) => { await t.rows('insert into nest values(9)'); throw new Error('mine') }).catch((e) => say(e.message))
    await a.tx(async (t) => { await t.rows('selec').catch((e) => say(fields(e))); return t.rows('select 1') }).catch((e) => say(fields(e)))
    say(await a.rows('select i from nest order by i'))
  }))

  test('a pool whose connections read what others wrote', async () => {
    const m = await open(GLOBAL, 8)
    await m.rows('create table many(i int primary key, n int not null default 0)')
    await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      await m.rows(`insert into many values(${i})`)
      must((await m.rows(`select n from many where i=${i}`)).length === 1, `row ${i} is not seen`)
      await m.tx(async (t) => { await t.rows(`update many set n=n+1 where i=${i}`); must((await t.rows(`select n from many where i=${i}`))[0].n === 1, `the update of ${i} is not seen`) })
    }))
    say(await m.rows('select count(*)::int, sum(n)::int from many'))
    await m.close()
  })

  if (definitions) {
    test('definitions that all connections use at once', async () => {
      const m = await open(GLOBAL, 6)
      const everywhere = (sql) => Promise.all(Array.from({ length: 12 }, () => m.rows(sql).then(JSON.stringify, (e) => fields(e)))).then((all) => [...new Set(all)])
      for (let i = 0; i < 6; i++) {
        await m.rows(`create table made${i}(i int)`)
        say(await everywhere(`select * from made${i}`))
        await m.rows(`alter table made${i} add s text default 'x'`)
        await m.rows(`insert into made${i} values(1)`)
        say(await everywhere(`select i, s from made${i}`))
        await m.rows(`create function f${i}() returns int language sql as 'select ${i}'`)
        await m.rows(`create type e${i} as enum('a','b')`)
        say(await everywhere(`select f${i}(), 'b'::e${i} as e`))
        await m.rows(`alter type e${i} add value 'c'`)
        say(await everywhere(`select 'c'::e${i} as e`))
        await m.rows(`create view v${i} as select s, pg_try_advisory_xact_lock(5) as got from made${i}`)
        say((await everywhere(`select s from v${i}`)), await m.rows(`select i from made${i} where i = any(array[1,2])`))
        await m.rows(`alter table made${i} rename to old${i}`)
        say(await everywhere(`select * from made${i}`))
      }
      await m.close()
    })
  }

  test('error fields', two(async (a) => {
    for (const sql of SETUP.split(/;\s*(?=create|insert)/)) await a.rows(sql)
    for (const q of ERRORS) {
      if (/^begin|^rollback/.test(q)) continue
      await a.rows(q).then((r) => say(q, r), (e) => say(q, fields(e)))
      await a.tx((t) => t.rows(q)).then((r) => say(q, r), (e) => say(q, fields(e)))
    }
    say(await a.rows('select 1 as after'))
  }))
}
