// Kysely, which builds queries, and Objection, whose models stand on knex.
const { Kysely, PostgresDialect, Migrator, sql, DeduplicateJoinsPlugin } = require('kysely')
const { jsonArrayFrom } = require('kysely/helpers/postgres')
const { Pool } = require('pg')
const Cursor = require('pg-cursor')
const { Model, transaction, raw } = require('objection')
const { GLOBAL, fields, must, run, say, test, wrong } = require('./cases')
const mapper = require('./mapper')

const OPTIONS = '-c search_path=builders,public '
const open = (options = GLOBAL, max = 4) => new Kysely({ dialect: new PostgresDialect({ pool: new Pool({ max, options: OPTIONS + options }), cursor: Cursor }) })
const knexed = () => require('knex')({ client: 'pg', connection: { options: OPTIONS + GLOBAL }, pool: { min: 1, max: 4 } })
const fresh = async () => { const db = open(); await sql`set client_min_messages to error`.execute(db); await sql`drop schema if exists builders cascade`.execute(db); await sql`create schema builders`.execute(db); return db }
const users = async (db) => {
  await db.schema.createType('mood').asEnum(['sad', 'ok']).execute()
  await db.schema.createTable('users').addColumn('id', 'serial', (c) => c.primaryKey()).addColumn('name', 'text', (c) => c.notNull().unique()).addColumn('mood', sql`mood`, (c) => c.defaultTo('ok')).addColumn('data', 'jsonb').addColumn('tags', sql`text[]`).addColumn('n', 'integer', (c) => c.defaultTo(0).check(sql`n >= 0`)).execute()
  await db.schema.createTable('posts').addColumn('id', 'integer', (c) => c.primaryKey().generatedAlwaysAsIdentity()).addColumn('title', 'text').addColumn('user_id', 'integer', (c) => c.notNull().references('users.id').onDelete('cascade')).execute()
}

test('kysely: rows', async (db) => {
  await users(db)
  say(await db.insertInto('users').values([{ name: 'a', mood: 'sad', data: JSON.stringify({ x: 1 }), tags: ['t', null] }, { name: 'b', n: 5 }]).returningAll().execute())
  say(await db.insertInto('users').values([{ name: 'a', n: 9 }, { name: 'c' }]).onConflict((c) => c.column('name').doUpdateSet((e) => ({ n: e.ref('excluded.n') }))).returning(['name', 'n', sql`xmax = 0`.as('fresh')]).execute(), await db.insertInto('users').values({ name: 'a' }).onConflict((c) => c.doNothing()).executeTakeFirst())
  await db.insertInto('posts').values([{ title: 'one', user_id: 1 }, { title: 'two', user_id: 1 }]).execute()
  say(await db.selectFrom('users').select((e) => ['name', jsonArrayFrom(e.selectFrom('posts').select('title').whereRef('posts.user_id', '=', 'users.id').orderBy('id')).as('posts')]).orderBy('id').execute())
  say(await db.with('gone', (q) => q.deleteFrom('posts').where('title', '=', 'two').returning('title')).selectFrom('gone').selectAll().execute(), await db.selectFrom('posts').select(db.fn.countAll().as('n')).executeTakeFirstOrThrow())
  say(await db.updateTable('users').from('posts').whereRef('posts.user_id', '=', 'users.id').set({ n: sql`n + 10` }).returning(['users.name', 'n']).execute(), await db.mergeInto('users').using('posts', 'posts.user_id', 'users.id').whenMatched().thenUpdateSet({ n: 1 }).executeTakeFirst())
  say(await db.selectFrom('users').innerJoin('posts', 'posts.user_id', 'users.id').select(['name', 'title']).forUpdate().skipLocked().execute(), (await db.introspection.getTables()).filter((t) => t.schema === 'builders').map((t) => [t.name, t.columns.map((c) => [c.name, c.dataType])]))
  await wrong(db.insertInto('users').values({ name: 'a' }).execute())
  await wrong(db.insertInto('users').values({ name: 'z', n: -1 }).execute())
  await wrong(db.selectFrom('nowhere').selectAll().execute())
  await wrong(db.selectFrom('users').selectAll().where('id', '=', 99).executeTakeFirstOrThrow())
})

test('kysely: streams', async (db) => {
  await users(db)
  await db.insertInto('users').values(Array.from({ length: 700 }, (_, i) => ({ name: 's' + i, n: i }))).execute()
  let n = 0
  for await (const r of db.selectFrom('users').select(['n']).orderBy('id').stream(50)) n += r.n
  for await (const r of db.selectFrom('users').select(['n']).orderBy('id').stream(50)) if (r.n > 60) break
  say(n, await sql`select count(*)::int as n from users`.execute(db).then((r) => r.rows))
  await wrong((async () => { for await (const r of db.selectFrom('users').select(sql`1/(n-300)`.as('x')).stream(50)) n++ })())
})

test('kysely: transactions', async (db) => {
  await users(db)
  await db.transaction().execute(async (t) => { await t.insertInto('users').values({ name: 'a' }).execute(); say(await t.selectFrom('users').select('name').execute()) })
  await db.transaction().execute(async (t) => { await t.insertInto('users').values({ name: 'b' }).execute(); await t.insertInto('users').values({ name: 'a' }).execute() }).catch((e) => say(fields(e)))
  for (const level of ['read uncommitted', 'read committed', 'repeatable read', 'serializable', 'snapshot']) await db.transaction().setIsolationLevel(level).execute(async (t) => say((await sql`show transaction_isolation`.execute(t)).rows, await t.selectFrom('users').select('name').execute())).catch((e) => say(fields(e)))
  await db.transaction().setAccessMode('read only').execute(async (t) => { say(await t.selectFrom('users').select('name').execute()); await t.insertInto('users').values({ name: 'no' }).execute() }).catch((e) => say(fields(e)))
  const t = await db.startTransaction().execute()
  await t.insertInto('users').values({ name: 'c' }).execute()
  const s = await t.savepoint('one').execute()
  await s.insertInto('users').values({ name: 'd' }).execute()
  const r = await s.rollbackToSavepoint('one').execute()
  await r.insertInto('users').values({ name: 'e' }).execute()
  await r.releaseSavepoint('one').execute()
  say(await db.selectFrom('users').select('name').execute())
  await t.commit().execute()
  say(await db.selectFrom('users').select('name').orderBy('id').execute())
  await db.connection().execute(async (c) => { await sql`create temp table mine(i int)`.execute(c); await sql`insert into mine values(5)`.execute(c); say((await sql`select * from mine`.execute(c)).rows) })
})

test('kysely: migrations', async () => {
  const db = open('')
  const all = { '1_users': { up: users, down: (d) => d.schema.dropTable('posts').execute().then(() => d.schema.dropTable('users').execute()).then(() => d.schema.dropType('mood').execute()) },
    '2_more': { up: async (d) => { await d.schema.alterTable('users').addColumn('more', 'integer', (c) => c.defaultTo(7)).execute(); await d.insertInto('users').values({ name: 'm' }).execute(); await d.schema.createIndex('mi').on('users').columns(['more', 'name']).execute(); await d.schema.createView('v').as(d.selectFrom('users').select(['name', 'more'])).execute(); say(await d.selectFrom('v').selectAll().execute()) }, down: (d) => d.schema.dropView('v').execute() } }
  const migrator = (more = {}) => new Migrator({ db, provider: { getMigrations: async () => ({ ...all, ...more }) }, migrationTableSchema: 'builders' })
  const results = (r) => say(r.results && r.results.map((x) => [x.migrationName, x.direction, x.status]), r.error && fields(r.error))
  results(await migrator().migrateToLatest())
  say(await db.selectFrom('v').selectAll().execute(), (await migrator().getMigrations()).map((m) => m.name))
  results(await migrator({ '3_bad': { up: async (d) => { await d.schema.createTable('half').addColumn('i', 'integer').execute(); await sql`select 1/0`.execute(d) } } }).migrateToLatest())
  say((await sql`select to_regclass('half') as half`.execute(db)).rows)
  results(await migrator().migrateDown())
  results(await migrator().migrateDown())
  const both = await Promise.all([migrator().migrateToLatest(), migrator().migrateToLatest()])
  say(both.map((r) => r.results.length).sort(), both.map((r) => r.error))
  await db.destroy()
})

test('objection', async (db) => {
  await users(db)
  const knex = knexed()
  class Base extends Model {}
  Base.knex(knex)
  class Post extends Base { static tableName = 'posts' }
  class User extends Base {
    static tableName = 'users'
    static jsonAttributes = ['data']
    static relationMappings = { posts: { relation: Model.HasManyRelation, modelClass: Post, join: { from: 'users.id', to: 'posts.user_id' } } }
  }
  say(await User.query().insertGraph([{ name: 'a', data: { x: [1] }, posts: [{ title: 'one' }, { title: 'two' }] }, { name: 'b' }]).returning('*'))
  say(await User.query().withGraphFetched('posts').modifyGraph('posts', (q) => q.orderBy('id')).orderBy('id'), await User.query().withGraphJoined('posts').where('users.name', 'a').orderBy('posts.id').first())
  say(await User.query().upsertGraph({ id: 1, name: 'a2', posts: [{ id: 1, title: 'changed' }, { title: 'three' }] }).then(() => Post.query().orderBy('id')))
  say(await User.query().patch({ n: raw('n + ?', [3]) }).where('name', 'a2').returning('n'), await User.query().insert({ name: 'a2', n: 1 }).onConflict('name').merge().returning('n'), await User.query().findById(1).select('n').forUpdate(), await User.query().deleteById(2), await User.query().resultSize(), await User.query().whereJsonSupersetOf('data', { x: [1] }).select('name'), await User.query().page(0, 1))
  await User.transaction(async (t) => { await User.query(t).insert({ name: 'c' }); await transaction(t, async (u) => { await User.query(u).insert({ name: 'd' }); throw new Error('mine') }).catch((e) => say(e.message)); say(await User.query(t).select('name').orderBy('id')) })
  await wrong(User.query().insert({ name: 'c' }))
  await wrong(User.query().insert({ name: 'z', n: -1 }))
  await wrong(User.relatedQuery('posts').for(9999).insert({ title: 'x' }))
  await wrong(knex.transaction(async (t) => { await t.raw("set local lock_timeout = '100ms'"); await t('users').insert({ name: 'e' }); await t.raw('select pg_sleep(0.01)'); await t('users').insert({ name: 'e' }) }, { isolationLevel: 'serializable' }))
  say(await User.query().select('name').orderBy('id'), await knex.select(knex.raw('current_setting(?) as s', ['search_path'])))
  await knex.destroy()
})

mapper(async (options, max) => {
  const db = open(options, max)
  const on = (d) => ({ rows: async (q) => (await sql.raw(q).execute(d)).rows })
  // A connection's own transaction has savepoints; they nest by their names.
  const nested = (t, depth) => ({ ...on(t), nested: async (fn) => {
    const name = 'p' + depth
    const s = await t.savepoint(name).execute()
    try { await fn(nested(s, depth + 1)); await s.releaseSavepoint(name).execute() } catch (e) { await s.rollbackToSavepoint(name).execute(); throw e }
  } })
  const tx = async (fn, level) => {
    const b = db.startTransaction()
    const t = await (level ? b.setIsolationLevel(level === 'serializable' ? 'serializable' : 'repeatable read') : b).execute()
    try { await fn(nested(t, 0)); await t.commit().execute() } catch (e) { await t.rollback().execute(); throw e }
  }
  return { ...on(db), tx, close: () => db.destroy() }
})

run(fresh, (db) => db && db.destroy())
