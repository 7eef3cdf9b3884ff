// MikroORM: its unit of work, identity map, schema generator, locks and savepoints.
const { MikroORM, EntitySchema, LockMode, IsolationLevel, raw, ref } = require('@mikro-orm/postgresql')
const { GLOBAL, fields, run, say, test, wrong } = require('./cases')
const mapper = require('./mapper')

class User { }
class Post { }
class Tag { }
const UserSchema = new EntitySchema({ class: User, tableName: 'users', properties: { id: { type: 'integer', primary: true }, name: { type: 'string', unique: true }, mood: { enum: true, items: ['sad', 'ok'], nativeEnumName: 'mood', default: 'ok' }, data: { type: 'json', columnType: 'jsonb', nullable: true }, tags: { type: 'array', nullable: true }, n: { type: 'bigint', default: 0 }, price: { type: 'decimal', precision: 10, scale: 2, nullable: true }, at: { type: 'Date', nullable: true }, raw: { type: 'blob', nullable: true }, version: { type: 'number', version: true },
  posts: { kind: '1:m', entity: () => Post, mappedBy: 'author', orphanRemoval: true } }, checks: [{ name: 'above', expression: 'n >= 0' }], indexes: [{ properties: ['name', 'mood'] }] })
const PostSchema = new EntitySchema({ class: Post, tableName: 'posts', properties: { id: { type: 'uuid', primary: true, defaultRaw: 'gen_random_uuid()' }, title: { type: 'string' }, author: { kind: 'm:1', entity: () => User, deleteRule: 'cascade' }, labels: { kind: 'm:n', entity: () => Tag, owner: true } } })
const TagSchema = new EntitySchema({ class: Tag, tableName: 'tags', properties: { name: { type: 'string', primary: true } } })

// Others' schemas are none of its generator's; and its transactions are known by the name of their context.
let opened = 0
let others = []
const open = (options = GLOBAL, max = 4) => MikroORM.init({ contextName: 'orm' + opened++, schemaGenerator: { ignoreSchema: others }, clientUrl: process.env.DATABASE_URL.replace('?sslmode=disable', ''), entities: [UserSchema, PostSchema, TagSchema], schema: 'mikro', allowGlobalContext: true, discovery: { warnWhenNoEntities: false }, pool: { min: 0, max }, logger: () => {}, driverOptions: { connection: { options: '-c search_path=mikro,public ' + options } } })
const fresh = async () => { const orm = await open(GLOBAL, 1); const c = orm.em.getConnection(); await c.execute('set client_min_messages to error'); await c.execute('drop schema if exists mikro cascade'); await c.execute('create schema mikro'); others = (await c.execute("select nspname as name from pg_namespace where nspname <> 'mikro'")).map((r) => r.name); return orm }
const made = (fn) => async () => { const orm = await open(); try { await orm.schema.createSchema({ wrap: false }); await fn(orm.em.fork(), orm) } finally { await orm.close(true) } }

test('the schema is generated and brought up to date', made(async (em, orm) => {
  say((await orm.schema.getUpdateSchemaSQL({ wrap: false })).trim())
  await em.execute('alter table users drop column price; alter table users add column extra int')
  say((await orm.schema.getUpdateSchemaSQL({ wrap: false })).trim())
  await orm.schema.updateSchema({ wrap: false })
  say(await em.execute("select column_name, data_type from information_schema.columns where table_schema='mikro' and table_name='users' order by ordinal_position"))
  await em.insert(User, { name: 'a', price: '2.50' })
  say(await em.find(User, {}, { disableIdentityMap: true }).then((r) => r.map((u) => [u.name, u.price])))
}))

test('the unit of work', made(async (em, orm) => {
  const a = em.create(User, { name: 'a', mood: 'sad', data: { x: [1, null] }, tags: ['t', "it's"], n: 9007199254740993n, price: '1.50', at: new Date(0), raw: Buffer.from([0, 255]), posts: [{ title: 'one', labels: [{ name: 'l' }, { name: 'm' }] }, { title: 'two' }] })
  for (let i = 0; i < 20; i++) em.create(User, { name: 'u' + i, n: BigInt(i) })
  await em.flush()
  say(a.id, a.version, a.posts.length)
  const other = em.fork()
  const got = await other.findOneOrFail(User, { name: 'a' }, { populate: ['posts.labels'], orderBy: { posts: { title: 'asc', labels: { name: 'asc' } } } })
  say([got.mood, got.data, got.tags, String(got.n), got.price, got.at, got.raw], got.posts.getItems().map((p) => [p.title, p.labels.getItems().map((t) => t.name)]))
  got.name = 'a2'
  got.posts.remove(got.posts[1])
  got.posts.add(other.create(Post, { title: 'three', author: got }))
  await other.flush()
  say(got.version, await other.count(Post), await em.fork().find(Post, { author: { name: 'a2' } }, { orderBy: { title: 'asc' } }).then((r) => r.map((p) => p.title)))
  a.name = 'late'
  await em.flush().then(() => say('flushed'), (e) => say(e.name, e.message))
  say(await em.fork().findAndCount(User, { n: { $gte: 3, $lt: 9 }, name: { $like: 'u%' } }, { orderBy: { id: 1 }, limit: 2, offset: 1 }).then(([r, n]) => [r.map((u) => u.name), n]))
  const up = await em.fork().upsertMany(User, [{ name: 'u1', n: 100n }, { name: 'new', n: 7n }], { onConflictFields: ['name'] })
  say(up.map((u) => [u.name, String(u.n)]), await em.nativeUpdate(User, { name: 'u2' }, { n: raw('n + 5') }), await em.nativeDelete(User, { name: { $in: ['u3', 'u4'] } }), await em.fork().findOne(User, { name: 'u2' }).then((u) => String(u.n)))
  say(await em.createQueryBuilder(User, 'u').select(['u.mood', raw('count(*)::int as c')]).groupBy('u.mood').orderBy({ 'u.mood': 1 }).execute(), await em.createQueryBuilder(User).insert({ name: 'q' }).onConflict('name').ignore().returning('name').execute())
  await wrong(em.fork().insert(User, { name: 'a2' }))
  await wrong(em.fork().insert(User, { name: 'z', n: -1n }))
  await wrong(em.fork().insert(User, { name: 'z', mood: 'mad' }))
  await wrong(em.execute('select * from nowhere'))
  await wrong(em.fork().findOneOrFail(User, { name: 'nobody' }))
}))

test('transactions', made(async (em) => {
  await em.transactional(async (t) => {
    t.create(User, { name: 'a' })
    await t.flush()
    await t.transactional(async (u) => { u.create(User, { name: 'b' }); await u.flush(); throw new Error('mine') }).catch((e) => say(e.message))
    await t.transactional(async (u) => { u.create(User, { name: 'c' }) })
    say(await t.fork({ keepTransactionContext: true }).find(User, {}, { orderBy: { id: 1 } }).then((r) => r.map((u) => u.name)))
  })
  await em.fork().transactional(async (t) => { t.create(User, { name: 'd' }); t.create(User, { name: 'a' }) }).catch((e) => say(fields(e)))
  for (const isolationLevel of Object.values(IsolationLevel).filter((l) => l !== 'snapshot')) await em.fork().transactional(async (t) => say(await t.execute('show transaction_isolation'), await t.count(User)), { isolationLevel }).catch((e) => say(fields(e)))
  await em.fork().transactional(async (t) => { say(await t.count(User)); t.create(User, { name: 'no' }) }, { readOnly: true }).catch((e) => say(fields(e)))
  const f = em.fork()
  await f.begin()
  say((await f.findOneOrFail(User, { name: 'a' }, { lockMode: LockMode.PESSIMISTIC_WRITE })).name)
  await em.fork().transactional(async (t) => say((await t.find(User, {}, { orderBy: { id: 1 }, lockMode: LockMode.PESSIMISTIC_PARTIAL_WRITE })).map((u) => u.name)))
  await em.fork().transactional((t) => t.findOne(User, { name: 'a' }, { lockMode: LockMode.PESSIMISTIC_WRITE_OR_FAIL })).catch((e) => say(fields(e)))
  await f.rollback()
  await em.fork().findOne(User, { name: 'a' }, { lockMode: LockMode.OPTIMISTIC, lockVersion: 7 }).catch((e) => say(e.name, e.message))
}))

mapper(async (options, max) => {
  const orm = await open(options, max)
  const rows = (em) => async (sql) => { const r = await em.getConnection().execute(sql, [], 'all', em.getTransactionContext()); return Array.isArray(r) ? r : [] }
  const on = (em) => ({ rows: rows(em), nested: (fn) => em.transactional((t) => fn(on(t))) })
  const LEVELS = { repeatableRead: IsolationLevel.REPEATABLE_READ, serializable: IsolationLevel.SERIALIZABLE }
  return { rows: (sql) => rows(orm.em.fork())(sql), tx: (fn, level) => orm.em.fork().transactional((t) => fn(on(t)), { isolationLevel: LEVELS[level] }), close: () => orm.close(true) }
})

run(fresh, (orm) => orm && orm.close(true))
