// Queues of jobs: pg-boss, which asks, and Graphile Worker, which is notified. And node-pg-migrate and Umzug, which keep
// lists of what was applied.
const PgBoss = require('pg-boss')
const { run: startWorker, runMigrations, runOnce, quickAddJob, makeWorkerUtils, Logger } = require('graphile-worker')
const { Pool, Client } = require('pg')
const { Sequelize, DataTypes } = require('sequelize')
const { Umzug, SequelizeStorage } = require('umzug')
const fs = require('fs')
const os = require('os')
const path = require('path')
const { GLOBAL, fields, must, run, say, test, until, wrong } = require('./cases')

const URL = process.env.DATABASE_URL
const fresh = async () => {
  const c = new Client({ options: GLOBAL })
  await c.connect()
  await c.query('set client_min_messages to error; drop schema if exists boss, graphile_worker, moved, umzug cascade; create schema moved; create schema umzug')
  return c
}
const rows = async (c, q, ...args) => (await c.query({ text: q, values: args, rowMode: 'array' })).rows
const gate = () => { let open; const opened = new Promise((done) => { open = done }); return { open, opened } }

const boss = async () => {
  const b = new PgBoss({ connectionString: URL, schema: 'boss', max: 5 })
  b.on('error', (e) => must(false, fields(e)))
  await b.start()
  return b
}

test('pg-boss: jobs in their states', async (c) => {
  const b = await boss()
  await b.createQueue('q', { name: 'q', retryLimit: 1 })
  const id = await b.send('q', { n: 1 }, { priority: 1 })
  say((await b.getJobById('q', id)).state, await b.getQueueSize('q'))
  await b.insert(Array.from({ length: 50 }, (_, n) => ({ name: 'q', data: { n } })))
  say(await b.getQueueSize('q'))
  const [first] = await b.fetch('q')
  say(first.id === id, first.data, (await b.getJobById('q', id)).state)
  await b.complete('q', id, { all: 'well' })
  const done = await b.getJobById('q', id)
  say(done.state, done.output)
  const some = await b.fetch('q', { batchSize: 10 })
  say(some.length)
  await b.fail('q', some[0].id, { why: 'mine' })
  await b.cancel('q', some[1].id)
  await b.resume('q', some[1].id)
  await b.deleteJob('q', some[2].id)
  say((await b.getJobById('q', some[0].id)).state, (await b.getJobById('q', some[1].id)).state, await b.getJobById('q', some[2].id))
  say(await b.send('q', {}, { singletonKey: 'k', singletonSeconds: 600 }) !== null, await b.send('q', {}, { singletonKey: 'k', singletonSeconds: 600 }))
  say(await rows(c, 'select state::text, count(*)::int from boss.job group by 1 order by 1'))
  await b.purgeQueue('q')
  say(await rows(c, 'select state::text, count(*)::int from boss.job group by 1 order by 1'))
  await b.clearStorage()
  await b.deleteQueue('q')
  await b.stop({ graceful: false })
})

test('pg-boss: workers side by side take each job once', async (c) => {
  const all = [await boss()] // at once they make their schema in a race, directly too
  for (const _ of [2, 3]) all.push(await boss())
  await all[0].createQueue('many')
  const seen = new Map()
  for (const b of all) await b.work('many', { batchSize: 7, pollingIntervalSeconds: 0.5 }, async (jobs) => { for (const j of jobs) seen.set(j.data.n, (seen.get(j.data.n) || 0) + 1) })
  await Promise.all(all.map((b, i) => b.insert(Array.from({ length: 40 }, (_, n) => ({ name: 'many', data: { n: i * 40 + n } })))))
  await until('120 jobs', () => seen.size === 120)
  await until('120 that are completed', async () => (await rows(c, "select count(*)::int from boss.job where name='many' and state='completed'"))[0][0] === 120)
  say(seen.size, [...seen.values()].filter((n) => n !== 1).length)
  await Promise.all(all.map((b) => b.stop({ graceful: false })))
})

test('pg-boss: schedules, publications and its upkeep', async (c) => {
  const b = await boss()
  await b.createQueue('s')
  await b.schedule('s', '*/5 * * * *', { x: 1 }, { tz: 'UTC' })
  say((await b.getSchedules()).map((s) => [s.name, s.cron, s.data]))
  await b.unschedule('s')
  await b.subscribe('event', 's')
  await b.publish('event', { told: true })
  say((await b.fetch('s')).map((j) => j.data))
  await b.maintain()
  say(await b.isInstalled(), (await b.getQueues()).map((q) => q.name), await rows(c, "select count(*)::int from pg_tables where schemaname='boss'") )
  await b.clearStorage()
  await b.stop({ graceful: false })
})

const quiet = new Logger(() => () => {})
const tasks = (did) => ({ add: async ({ n }, h) => { await h.query('insert into moved.sums values($1)', [n]); did(n) }, fails: async () => { throw new Error('mine') }, nested: async (p, h) => { await h.addJob('add', { n: 1000 }) } })

test('graphile-worker: jobs of which it is notified', async (c) => {
  const pool = new Pool({ max: 6 })
  await runMigrations({ pgPool: pool, logger: quiet })
  await runMigrations({ pgPool: pool, logger: quiet })
  await c.query('create table moved.sums(n int)')
  const all = gate(); let n = 0
  // What it asks by itself comes too late: only notifications are in time.
  const runner = await startWorker({ pgPool: pool, logger: quiet, concurrency: 4, pollInterval: 3600e3, noHandleSignals: true, taskList: tasks(() => { if (++n === 62) all.open() }) })
  for (let i = 0; i < 20; i++) await runner.addJob('add', { n: i })
  const utils = await makeWorkerUtils({ connectionString: URL, logger: quiet })
  await Promise.all(Array.from({ length: 20 }, (_, i) => utils.addJob('add', { n: i }, { queueName: 'one after the other' })))
  await c.query("begin; select graphile_worker.add_job('add', json_build_object('n', g)) from generate_series(1, 21) g; select graphile_worker.add_job('nested'); commit")
  await all.opened
  await runner.stop()
  say(await rows(c, 'select count(*)::int, sum(n)::int from moved.sums'), await rows(c, 'select count(*)::int from graphile_worker.jobs'))
  await utils.release()
  await pool.end()
})

test('graphile-worker: keys, failures and what is run once', async (c) => {
  const pool = new Pool({ max: 4 })
  await runMigrations({ pgPool: pool, logger: quiet })
  await c.query('create table moved.sums(n int)')
  await quickAddJob({ pgPool: pool, logger: quiet }, 'add', { n: 1 }, { jobKey: 'k' })
  await quickAddJob({ pgPool: pool, logger: quiet }, 'add', { n: 2 }, { jobKey: 'k' })
  await quickAddJob({ pgPool: pool, logger: quiet }, 'fails', {}, { maxAttempts: 2 })
  await quickAddJob({ pgPool: pool, logger: quiet }, 'add', { n: 3 }, { runAt: new Date(Date.now() + 3600e3) })
  await runOnce({ pgPool: pool, logger: quiet, noHandleSignals: true, taskList: tasks(() => {}) })
  say(await rows(c, 'select n from moved.sums'), await rows(c, 'select task_identifier, attempts::int, last_error from graphile_worker.jobs order by id'))
  const utils = await makeWorkerUtils({ pgPool: pool, logger: quiet })
  say((await utils.completeJobs((await rows(c, 'select id from graphile_worker.jobs')).map((r) => r[0]))).length)
  await utils.cleanup()
  await utils.release()
  await pool.end()
})

const steps = {
  '1_users.js': 'exports.up = (p) => { p.createTable("users", { id: "id", name: { type: "varchar(40)", notNull: true, unique: true } }); p.sql("insert into users(name) values(\'a\')") }; exports.down = (p) => p.dropTable("users")',
  '2_more.js': 'exports.up = (p) => { p.createType("mood", ["sad", "ok"]); p.addColumns("users", { m: { type: "mood", default: "ok" } }); p.createIndex("users", "m"); p.createFunction("f", [], { returns: "int", language: "sql" }, "select count(*)::int from users") }; exports.down = (p) => { p.dropFunction("f", []); p.dropColumns("users", ["m"]); p.dropType("mood") }',
  '3_beside.js': 'exports.up = (p) => { p.noTransaction(); p.createIndex("users", "name", { method: "hash", concurrently: true, name: "beside" }) }; exports.down = (p) => { p.noTransaction(); p.dropIndex("users", "name", { concurrently: true, name: "beside" }) }',
}
const broken = { '4_broken.js': 'exports.up = (p) => { p.createTable("half", { i: "int" }); p.sql("select 1/0") }; exports.down = false' }

test('node-pg-migrate', async (c) => {
  const { runner } = await import('node-pg-migrate')
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'moved-'))
  const write = (files) => { for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text) }
  const go = (direction, count = Infinity) => runner({ databaseUrl: URL, dir, direction, count, migrationsTable: 'moves', schema: 'moved', singleTransaction: false, log: () => {}, verbose: false }).then((r) => r.map((m) => m.name), (e) => fields(e))
  write(steps)
  say(await go('up'))
  say(await rows(c, "select column_name::text, data_type::text, column_default::text from information_schema.columns where table_schema='moved' and table_name='users' order by ordinal_position"), await rows(c, "select indexname::text from pg_indexes where schemaname='moved' order by 1"))
  say(await go('up'))
  const both = await Promise.all([go('down', 2), go('down', 2)])
  say(both.map((r) => Array.isArray(r) ? r : /Another migration/.test(r) ? 'locked' : r).sort())
  say(await go('up'))
  write(broken)
  say(await go('up'), await rows(c, "select to_regclass('moved.half')::text, (select count(*)::int from moved.moves)"))
  fs.rmSync(dir, { recursive: true })
})

test('umzug with sequelize', async (c) => {
  const s = new Sequelize(URL.replace('?sslmode=disable', ''), { logging: false, pool: { max: 3 }, dialectOptions: { options: '-c search_path=umzug' } })
  const T = (tableName) => ({ tableName, schema: 'umzug' })
  const migrations = [
    { name: '1', up: ({ context: q }) => q.createTable(T('users'), { id: { type: DataTypes.INTEGER, autoIncrement: true, primaryKey: true }, name: { type: DataTypes.STRING, unique: true } }), down: ({ context: q }) => q.dropTable(T('users')) },
    { name: '2', up: async ({ context: q }) => { await q.addColumn(T('users'), 'mood', { type: DataTypes.ENUM('sad', 'ok'), defaultValue: 'ok' }); await q.addIndex(T('users'), ['mood']); await q.bulkInsert(T('users'), [{ name: 'a' }, { name: 'b' }]) }, down: async ({ context: q }) => { await q.removeColumn(T('users'), 'mood'); await q.sequelize.query('drop type umzug."enum_users_mood"') } },
    { name: '3', up: ({ context: q }) => q.sequelize.transaction(async (transaction) => { await q.renameColumn(T('users'), 'name', 'called', { transaction }); await q.bulkUpdate(T('users'), { called: 'c' }, { called: 'b' }, { transaction }); await q.changeColumn(T('users'), 'called', { type: DataTypes.STRING(50), allowNull: false }, { transaction }) }), down: ({ context: q }) => q.renameColumn(T('users'), 'called', 'name') },
  ]
  const u = (more = []) => new Umzug({ migrations: [...migrations, ...more], context: s.getQueryInterface(), storage: new SequelizeStorage({ sequelize: s, schema: 'umzug' }), logger: undefined })
  say((await u().up()).map((m) => m.name), (await u().up()).length)
  say(await rows(c, 'select * from umzug.users order by id'), await s.getQueryInterface().describeTable({ tableName: 'users', schema: 'umzug' }))
  await wrong(u([{ name: '4', up: ({ context: q }) => q.sequelize.transaction(async (transaction) => { await q.createTable(T('half'), { i: DataTypes.INTEGER }, { transaction }); await q.sequelize.query('select 1/0', { transaction }) }) }]).up())
  say(await rows(c, "select to_regclass('umzug.half')::text, (select count(*)::int from umzug.\"SequelizeMeta\")"), (await u().pending()).length, (await u().executed()).map((m) => m.name))
  say((await u().down({ to: 0 })).map((m) => m.name), await rows(c, "select tablename::text from pg_tables where schemaname='umzug'"))
  await s.close()
})

run(fresh, (c) => c.end())
