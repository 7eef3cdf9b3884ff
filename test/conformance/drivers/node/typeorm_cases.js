// TypeORM: schemas that it makes itself, migrations, entities with relations, its transactions and its streams.
require('reflect-metadata')
const { DataSource, EntitySchema, In, LessThan, MoreThan, Raw } = require('typeorm')
const { GLOBAL, fields, must, run, say, test, wrong } = require('./cases')
const mapper = require('./mapper')

const MOODS = ['sad', 'ok', 'happy']
const User = new EntitySchema({ name: 'User', tableName: 'users', columns: {
  id: { type: 'int', primary: true, generated: true }, name: { type: String, unique: true }, mood: { type: 'enum', enum: MOODS, default: 'ok' }, moods: { type: 'enum', enum: MOODS, array: true, nullable: true, enumName: 'moods_enum' },
  data: { type: 'jsonb', nullable: true }, tags: { type: 'text', array: true, default: [] }, n: { type: 'bigint', default: 0 }, price: { type: 'numeric', precision: 10, scale: 2, nullable: true }, at: { type: 'timestamptz', nullable: true }, raw: { type: 'bytea', nullable: true }, span: { type: 'int4range', nullable: true },
  version: { type: Number, version: true }, gone: { type: Date, deleteDate: true } },
relations: { posts: { type: 'one-to-many', target: 'Post', inverseSide: 'author', cascade: true } }, indices: [{ columns: ['name', 'mood'] }], checks: [{ name: 'above', expression: '"n" >= 0' }] })
const Post = new EntitySchema({ name: 'Post', tableName: 'posts', columns: { id: { type: 'uuid', primary: true, generated: 'uuid' }, title: { type: String }, number: { type: 'int', generated: 'increment' } },
  relations: { author: { type: 'many-to-one', target: 'User', inverseSide: 'posts', onDelete: 'CASCADE', nullable: false }, labels: { type: 'many-to-many', target: 'Label', joinTable: true, cascade: true } } })
const Label = new EntitySchema({ name: 'Label', tableName: 'labels', columns: { name: { type: String, primary: true } } })
const Node = new EntitySchema({ name: 'Node', tableName: 'nodes', columns: { id: { type: 'int', primary: true, generated: 'identity' }, name: { type: String } }, trees: [{ type: 'closure-table' }],
  relations: { parent: { type: 'many-to-one', target: 'Node', treeParent: true }, children: { type: 'one-to-many', target: 'Node', treeChildren: true } } })

const source = (more = {}) => new DataSource({ type: 'postgres', url: process.env.DATABASE_URL, schema: 'typeorm', entities: [User, Post, Label, Node], logging: false, uuidExtension: 'pgcrypto', ...more,
  extra: { max: 4, options: '-c search_path=typeorm,public ' + GLOBAL, ...(more.extra || {}) } }).initialize()
const fresh = async () => {
  const d = await source({ entities: [], installExtensions: false })
  await d.query("set client_min_messages to error; drop schema if exists typeorm cascade; create schema typeorm")
  return d
}
const made = async (fn, more) => { const d = await source({ synchronize: true, ...more }); try { await fn(d) } finally { await d.destroy() } }

test('a schema is made, changed and used', () => made(async (d) => {
  say(await d.query("select table_name, column_name, data_type, udt_name, column_default from information_schema.columns where table_schema='typeorm' order by 1, ordinal_position"))
  say((await d.driver.createSchemaBuilder().log()).upQueries.map((q) => q.query))
  const users = d.getRepository('User')
  const a = await users.save({ name: 'a', mood: 'sad', moods: ['sad', 'ok'], data: { x: [1, null] }, tags: ['t', "it's"], n: '9007199254740993', price: '1.50', at: new Date(0), raw: Buffer.from([0, 255]), span: '[1,5)', posts: [{ title: 'one', labels: [{ name: 'l' }, { name: 'm' }] }, { title: 'two' }] })
  say(a.id, a.version, a.posts.map((p) => [p.title, typeof p.id, p.number]))
  const got = await users.findOne({ where: { id: a.id }, relations: { posts: { labels: true } }, order: { posts: { number: 'ASC', labels: { name: 'ASC' } } } })
  say({ ...got, posts: got.posts.map((p) => [p.title, p.labels]) })
}))

test('entities', () => made(async (d) => {
  const users = d.getRepository('User')
  await users.save(Array.from({ length: 30 }, (_, i) => ({ name: 'u' + i, n: i, tags: i % 2 ? ['odd'] : [], mood: MOODS[i % 3] })), { chunk: 7 })
  say(await users.count(), await users.find({ where: { n: MoreThan(27) }, order: { id: 'ASC' }, select: { id: true, name: true, n: true } }), await users.findAndCount({ where: { mood: In(['sad', 'ok']), n: LessThan(4) }, order: { id: 'ASC' }, take: 2, skip: 1 }))
  say(await users.find({ where: { tags: Raw((t) => `${t} @> array['odd']`) }, order: { n: 'DESC' }, take: 1, select: { name: true } }), await users.exists({ where: { name: 'nobody' } }), await users.sum('n'), await users.maximum('n'))
  say((await users.insert({ name: 'new' })).raw, (await users.update({ name: 'new' }, { n: 5 })).affected, (await users.increment({ name: 'new' }, 'n', 3)).affected, (await users.findOneBy({ name: 'new' })).n)
  say((await users.upsert([{ name: 'new', n: 100 }, { name: 'newer', n: 7 }], ['name'])).raw.length, (await users.findBy({ name: In(['new', 'newer']) })).map((u) => [u.name, u.n, u.version]).sort())
  say((await users.softDelete({ name: 'new' })).affected, await users.findOneBy({ name: 'new' }), (await users.find({ where: { name: 'new' }, withDeleted: true })).length, (await users.restore({ name: 'new' })).affected)
  const u = await users.findOneBy({ name: 'newer' })
  u.n = '8'
  say((await users.save(u)).version, (await users.remove(u)).name, await users.countBy({ name: 'newer' }))
  const made = await d.createQueryBuilder().insert().into('User').values([{ name: 'q' }, { name: 'u1' }]).orIgnore().returning(['id', 'name']).execute()
  say(made.raw.map((r) => r.name), (await d.createQueryBuilder().update('User').set({ n: () => 'n + 1' }).where('name = :name', { name: 'q' }).returning('n').execute()).raw, (await d.createQueryBuilder().delete().from('User').where('name = :name', { name: 'q' }).returning('name').execute()).raw)
  say(await users.createQueryBuilder('u').select('u.mood', 'mood').addSelect('count(*)', 'c').groupBy('u.mood').orderBy('u.mood').getRawMany())
  say(await d.createQueryBuilder().addCommonTableExpression(users.createQueryBuilder('u').select('u.n', 'n').where('u.n < 3'), 'few').select('few.n', 'n').from('few', 'few').orderBy('few.n').getRawMany())
  await wrong(users.insert({ name: 'u1' }))
  await wrong(users.insert({ name: 'below', n: -1 }))
  await wrong(users.insert({ name: 'mad', mood: 'mad' }))
  await wrong(d.getRepository('Post').insert({ title: 'nobody', author: { id: 9999 } }))
  await users.clear().then(() => say('cleared'), (e) => say(fields(e)))
}))

test('trees and streams', () => made(async (d) => {
  const nodes = d.getTreeRepository('Node')
  const root = await nodes.save({ name: 'root' })
  const child = await nodes.save({ name: 'child', parent: root })
  await nodes.save({ name: 'leaf', parent: child })
  say(await nodes.findTrees(), (await nodes.findAncestors(child)).map((n) => n.name).sort(), await nodes.countDescendants(root))
  await d.getRepository('User').insert(Array.from({ length: 500 }, (_, i) => ({ name: 's' + i })))
  let n = 0
  const stream = await d.getRepository('User').createQueryBuilder('u').stream()
  for await (const r of stream) n += r.u_name.length
  say(n, await d.getRepository('User').count())
}))

test('transactions', () => made(async (d) => {
  const say1 = (e) => say(fields(e))
  await d.transaction(async (m) => { await m.insert('User', { name: 'a' }); say(await m.count('User')); await m.transaction(async (k) => { await k.insert('User', { name: 'b' }); throw new Error('mine') }).catch(say1); await m.transaction((k) => k.insert('User', { name: 'c' })) })
  await d.transaction(async (m) => { await m.insert('User', { name: 'd' }); await m.insert('User', { name: 'a' }) }).catch(say1)
  for (const level of ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) await d.transaction(level, async (m) => say(await m.query('show transaction_isolation'), await m.count('User')))
  const q = d.createQueryRunner()
  await q.connect()
  await q.startTransaction()
  await q.manager.insert('User', { name: 'e' })
  say(q.isTransactionActive, await q.query('select name from users order by id'), await d.getRepository('User').countBy({ name: 'e' }))
  await q.rollbackTransaction()
  await q.startTransaction('SERIALIZABLE')
  say((await q.manager.findOne('User', { where: { name: 'a' }, lock: { mode: 'pessimistic_write' } })).name)
  say(await d.transaction((m) => m.find('User', { where: {}, select: { name: true, id: true }, order: { id: 'ASC' }, lock: { mode: 'pessimistic_write', onLocked: 'skip_locked' } })).then((r) => r.map((u) => u.name)))
  await d.transaction((m) => m.findOne('User', { where: { name: 'a' }, lock: { mode: 'pessimistic_read', onLocked: 'nowait' } })).catch(say1)
  await d.transaction(async (m) => say((await m.findOne('User', { where: { name: 'c' }, lock: { mode: 'for_no_key_update' } })).name))
  await q.commitTransaction()
  await q.release()
  const u = await d.getRepository('User').findOneBy({ name: 'a' })
  await d.getRepository('User').findOne({ where: { name: 'a' }, lock: { mode: 'optimistic', version: u.version + 1 } }).catch((e) => say(e.name, e.message))
}))

const CREATE = class Create1700000000000 { async up(q) { await q.query('create table m(id serial primary key, s text)'); await q.query("insert into m(s) select 'x' from generate_series(1,5)"); say(await q.query('select count(*)::int as n from m')) } async down(q) { await q.query('drop table m') } }
const CHANGE = class Change1700000001000 {
  async up(q) { const { TableColumn, TableIndex } = require('typeorm'); await q.addColumn('typeorm.m', new TableColumn({ name: 'kind', type: 'enum', enum: ['a', 'b'], default: "'a'" })); await q.createIndex('typeorm.m', new TableIndex({ name: 'mi', columnNames: ['s', 'kind'] })); say(await q.query("update m set kind='b' where id=1 returning kind"), await q.hasColumn('typeorm.m', 'kind')) }
  async down(q) { await q.dropIndex('typeorm.m', 'mi'); await q.dropColumn('typeorm.m', 'kind') }
}
const INDEX = class Index1700000002000 { transaction = false; async up(q) { await q.query('create index concurrently mc on m(id, s)') } async down(q) { await q.query('drop index concurrently mc') } }
const BROKEN = class Broken1700000003000 { async up(q) { await q.query('create table halves(i int)'); await q.query('insert into halves select 1/0') } async down() {} }
test('migrations', async () => {
  const d = await source({ migrations: [CREATE, CHANGE, INDEX], entities: [] })
  say(await d.showMigrations(), (await d.runMigrations({ transaction: 'each' })).map((m) => m.name), await d.showMigrations())
  say(await d.query("select id, s, kind from m order by id"), await d.query("select indexname from pg_indexes where schemaname='typeorm' order by 1"))
  for (const transaction of ['none', 'each', 'all']) await d.undoLastMigration({ transaction })
  say(await d.query("select to_regclass('m') as m, (select count(*)::int from migrations) as n"))
  await d.destroy()
  const b = await source({ migrations: [CREATE, BROKEN], entities: [] })
  await b.runMigrations({ transaction: 'all' }).catch((e) => say(fields(e)))
  say(await b.query("select to_regclass('m') as m, to_regclass('halves') as h, (select count(*)::int from migrations) as n"))
  await b.destroy()
})

mapper(async (options, max) => {
  const d = await source({ entities: [], extra: { max, options: '-c search_path=typeorm,public ' + options } })
  const on = (m) => ({ rows: async (sql) => { const r = await m.query(sql); return Array.isArray(r) && Array.isArray(r[0]) ? r[0] : r }, nested: (fn) => m.transaction((k) => fn(on(k))) })
  const LEVELS = { repeatableRead: 'REPEATABLE READ', serializable: 'SERIALIZABLE' }
  return { rows: on(d).rows, tx: (fn, level) => (level ? d.transaction(LEVELS[level], (m) => fn(on(m))) : d.transaction((m) => fn(on(m)))), close: () => d.destroy() }
})

run(fresh, (d) => d && d.destroy())
