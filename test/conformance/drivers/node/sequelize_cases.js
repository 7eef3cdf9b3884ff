// Sequelize: models that it synchronizes, its query interface, associations, and transactions.
const { Sequelize, DataTypes, Op, Transaction, QueryTypes, Deferrable } = require('sequelize')
const { GLOBAL, fields, must, run, say, test, wrong } = require('./cases')
const mapper = require('./mapper')

const open = (options = GLOBAL, max = 4) => new Sequelize(process.env.DATABASE_URL.replace('?sslmode=disable', ''), { logging: false, pool: { max }, dialectOptions: { options: '-c search_path=sequelize,public ' + options }, define: { timestamps: false, schema: 'sequelize' } })
const T = (tableName) => ({ tableName, schema: 'sequelize' })
const fresh = async () => {
  const s = open()
  await s.query('drop schema if exists sequelize cascade; create schema sequelize')
  return s
}
const plain = (r) => (Array.isArray(r) ? r.map(plain) : r && r.get ? r.get({ plain: true }) : r)
const models = async (s) => {
  const User = s.define('User', { name: { type: DataTypes.STRING, unique: true, allowNull: false }, mood: { type: DataTypes.ENUM('sad', 'ok', 'happy'), defaultValue: 'ok' }, moods: DataTypes.ARRAY(DataTypes.ENUM('x', 'y')), data: DataTypes.JSONB, tags: DataTypes.ARRAY(DataTypes.TEXT), n: { type: DataTypes.BIGINT, defaultValue: 0 },
    price: DataTypes.DECIMAL(10, 2), at: DataTypes.DATE, day: DataTypes.DATEONLY, raw: DataTypes.BLOB, span: DataTypes.RANGE(DataTypes.INTEGER), key: { type: DataTypes.UUID }, cased: DataTypes.CITEXT, attributes: DataTypes.HSTORE })
  const Post = s.define('Post', { title: DataTypes.STRING })
  const Tag = s.define('Tag', { name: { type: DataTypes.STRING, primaryKey: true } })
  User.hasMany(Post, { as: 'posts', foreignKey: { name: 'userId', allowNull: false }, onDelete: 'CASCADE' })
  Post.belongsTo(User, { as: 'user', foreignKey: 'userId' })
  Post.belongsToMany(Tag, { through: 'PostTags', as: 'labels' })
  Tag.belongsToMany(Post, { through: 'PostTags' })
  await s.query('create extension if not exists citext schema public; create extension if not exists hstore schema public')
  await s.sync({ force: true })
  return { User, Post, Tag }
}

test('models are synchronized, altered and described', async (s) => {
  const { User } = await models(s)
  say(await s.getQueryInterface().describeTable(T('Users')), (await s.getQueryInterface().showAllTables()).map((t) => t.tableName || t).sort())
  say((await s.getQueryInterface().showIndex(T('Users'))).map((i) => [i.name, i.unique, i.fields.map((f) => f.attribute)]))
  User.rawAttributes.age = { type: DataTypes.INTEGER, defaultValue: 5 }
  s.define('User', { ...Object.fromEntries(Object.entries(User.rawAttributes).filter(([k]) => k !== 'moods').map(([k, v]) => [k, { type: v.type, primaryKey: v.primaryKey, autoIncrement: v.autoIncrement, allowNull: v.allowNull !== false, defaultValue: v.defaultValue }])), mood: DataTypes.ENUM('sad', 'ok', 'happy', 'great') })
  await s.sync({ alter: true })
  say(plain(await s.models.User.create({ name: 'a', mood: 'great' })), await s.query('select enum_range(null::"enum_Users_mood")::text as m', { type: QueryTypes.SELECT }))
})

test('rows', async (s) => {
  const { User } = await models(s)
  const a = await User.create({ name: 'a', mood: 'sad', moods: ['x', 'y'], data: { x: [1, null], 'ä€': { y: 2 } }, tags: ['t', "it's"], n: '9007199254740993', price: '1.50', at: new Date(0), day: '2024-02-29', raw: Buffer.from([0, 255]), span: [1, 5], key: '01234567-89ab-cdef-0123-456789abcdef', cased: 'Case', attributes: { k: 'v', n: null } })
  say(plain(a), plain(await a.reload()))
  say(plain(await User.bulkCreate(Array.from({ length: 20 }, (_, i) => ({ name: 'u' + i, n: i })), { returning: ['id', 'name'] })).length)
  say(plain(await User.bulkCreate([{ name: 'u1', n: 100 }, { name: 'v', n: 1 }], { updateOnDuplicate: ['n'], conflictAttributes: ['name'], returning: true })).map((u) => [u.name, u.n]))
  say(plain(await User.bulkCreate([{ name: 'u1' }], { ignoreDuplicates: true })).length, plain((await User.upsert({ name: 'v', n: 7 }, { conflictFields: ['name'], returning: true }))[0]).n)
  say((await User.findOrCreate({ where: { name: 'found' }, defaults: { n: 3 } })).map(plain).map((u) => u.n || u), (await User.findOrCreate({ where: { name: 'found' } }))[1], (await User.findCreateFind({ where: { name: 'found2' } }))[1])
  say(plain(await User.findAll({ where: { data: { [Op.contains]: { x: [1] } } }, attributes: ['name'] })), plain(await User.findAll({ where: { 'data.ä€.y': 2 }, attributes: ['name'] }).catch((e) => fields(e))), plain(await User.findAll({ where: { tags: { [Op.overlap]: ['t'] } }, attributes: ['name'] })), plain(await User.findAll({ where: { span: { [Op.contains]: 3 } }, attributes: ['name'] })), plain(await User.findAll({ where: { cased: 'CASE' }, attributes: ['name'] })))
  say(plain(await User.findAndCountAll({ where: { n: { [Op.between]: [3, 9] }, name: { [Op.iLike]: 'U%' } }, order: ['id'], limit: 2, offset: 1, attributes: ['name'] })), (await User.count({ group: 'mood' })).map((r) => r.count).sort(), await User.sum('n', { where: { n: { [Op.lt]: 50 } } }), await User.max('n'))
  say((await User.update({ n: s.literal('n + 1') }, { where: { name: 'u2' }, returning: ['n'] })).map((r) => plain(r)), plain(await User.increment('n', { by: 5, where: { name: 'u2' } }))[0], await User.destroy({ where: { name: { [Op.like]: 'u1%' } } }), plain(await User.findOne({ where: { name: 'u2' } })).n)
  await wrong(User.create({ name: 'a' }))
  await wrong(User.create({}))
  await wrong(User.create({ name: 'z', mood: 'mad' }))
  await wrong(s.models.Post.create({ title: 'x', userId: 9999 }))
  await User.truncate().then(() => say('truncated'), (e) => say(fields(e)))
  await User.truncate({ cascade: true, restartIdentity: true })
  say(plain(await User.create({ name: 'first' })).id)
})

test('associations', async (s) => {
  const { User, Post, Tag } = await models(s)
  const u = await User.create({ name: 'a', posts: [{ title: 'one', labels: [{ name: 'l' }] }, { title: 'two' }] }, { include: [{ model: Post, as: 'posts', include: [{ model: Tag, as: 'labels' }] }] })
  await u.createPost({ title: 'three' })
  await (await u.getPosts({ where: { title: 'two' } }))[0].setLabels(await Promise.all(['l', 'm'].map((name) => Tag.findOrCreate({ where: { name } }).then((r) => r[0]))))
  say(plain(await User.findAll({ attributes: ['name'], include: [{ model: Post, as: 'posts', attributes: ['title'], include: [{ model: Tag, as: 'labels', through: { attributes: [] } }] }], order: [[{ model: Post, as: 'posts' }, 'id'], [{ model: Post, as: 'posts' }, { model: Tag, as: 'labels' }, 'name']] })))
  say(await u.countPosts(), await u.hasPost((await u.getPosts())[0]), await u.destroy().then(() => Post.count()))
})

test('transactions', async (s) => {
  const { User } = await models(s)
  await s.transaction(async (transaction) => {
    await User.create({ name: 'a' }, { transaction })
    await s.transaction({ transaction }, async (t) => { await User.create({ name: 'b' }, { transaction: t }); throw new Error('mine') }).catch((e) => say(fields(e)))
    await s.transaction({ transaction }, (t) => User.create({ name: 'c' }, { transaction: t }))
    say(await User.findOrCreate({ where: { name: 'a' }, transaction }).then((r) => r[1]), await User.findOrCreate({ where: { name: 'd' }, transaction }).then((r) => r[1]), await User.count({ transaction }), await User.count())
  })
  say((await User.findAll({ order: ['id'] })).map((u) => u.name))
  for (const isolationLevel of Object.values(Transaction.ISOLATION_LEVELS)) await s.transaction({ isolationLevel, deferrable: Deferrable.SET_DEFERRED }, async (transaction) => say(await s.query('show transaction_isolation', { type: QueryTypes.SELECT, transaction }), await User.count({ transaction })))
  await s.transaction({ readOnly: true }, async (transaction) => { say(await User.count({ transaction })); await User.create({ name: 'no' }, { transaction }) }).catch((e) => say(fields(e)))
  const t = await s.transaction()
  t.afterCommit(() => say('after the commit'))
  say((await User.findOne({ where: { name: 'a' }, lock: t.LOCK.UPDATE, transaction: t })).name)
  await s.transaction(async (transaction) => say((await User.findAll({ lock: true, skipLocked: true, order: ['id'], transaction })).map((u) => u.name)))
  await s.query("set local lock_timeout='100ms'; update \"Users\" set n=5 where name='a'").then(() => must(false, 'no lock'), (e) => say(fields(e)))
  await t.commit()
})

test('the query interface', async (s) => {
  const q = s.getQueryInterface()
  await q.createTable(T('things'), { id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true }, kind: DataTypes.ENUM('a', 'b') })
  await q.bulkInsert(T('things'), [{ kind: 'a' }, { kind: 'b' }])
  await q.addColumn(T('things'), 'n', { type: DataTypes.INTEGER, defaultValue: 3 })
  say(await q.select(null, T('things'), { order: ['id'] }))
  await q.changeColumn(T('things'), 'n', { type: DataTypes.BIGINT, allowNull: false })
  await q.renameColumn(T('things'), 'n', 'm')
  await q.addIndex(T('things'), ['kind', 'm'], { name: 'ki', concurrently: true })
  await q.addConstraint(T('things'), { fields: ['m'], type: 'check', name: 'small', where: { m: { [Op.lt]: 10 } } })
  say(await q.select(null, T('things'), { where: { m: 3 } }), (await q.showConstraint(T('things'))).map((c) => [c.constraintName, c.constraintType]), await q.tableExists(T('things')))
  await wrong(q.bulkInsert(T('things'), [{ kind: 'a', m: 11 }]))
  await q.createFunction('adds', [{ type: 'integer', name: 'a' }], 'integer', 'plpgsql', 'return a + 1;')
  say(await s.query('select adds(:n) as n', { replacements: { n: 4 }, type: QueryTypes.SELECT }), await s.query('select $1::int + $2::int as n', { bind: [2, 3], type: QueryTypes.SELECT }))
  await q.renameTable(T('things'), 'others')
  say(await q.bulkDelete(T('others'), { kind: 'a' }), await q.select(null, T('others'), {}))
  await q.dropFunction('adds', [{ type: 'integer', name: 'a' }])
  await q.dropTable(T('others'))
  await q.dropEnum('enum_things_kind')
  await wrong(s.query('select * from others'))
  say(await s.query('insert into nowhere values(1)').catch((e) => fields(e)), await s.databaseVersion().then((v) => v.split('.')[0]))
})

mapper(async (options, max) => {
  const s = open(options, max)
  const on = (transaction) => ({
    rows: async (sql) => { const [r] = await s.query(sql, { transaction }); return Array.isArray(r) ? r : [] },
    nested: (fn) => s.transaction({ transaction }, (t) => fn(on(t))) })
  const LEVELS = { repeatableRead: Transaction.ISOLATION_LEVELS.REPEATABLE_READ, serializable: Transaction.ISOLATION_LEVELS.SERIALIZABLE }
  return { rows: on().rows, tx: (fn, level) => s.transaction({ isolationLevel: LEVELS[level] }, (t) => fn(on(t))), close: () => s.close() }
})

run(fresh, (s) => s && s.close())
