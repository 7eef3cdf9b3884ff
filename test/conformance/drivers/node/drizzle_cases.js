// Drizzle above both drivers: its tables and enums, migrations, relations, prepared queries and transactions.
const { sql, eq, gt, and, inArray, count, relations, desc } = require('drizzle-orm')
const { pgSchema, serial, text, integer, bigint, boolean, jsonb, numeric, timestamp, uuid, unique, alias, bytea } = require('drizzle-orm/pg-core')
const { Pool } = require('pg')
const postgres = require('postgres')
const fs = require('fs')
const os = require('os')
const { GLOBAL, fields, must, run, say, test, wrong } = require('./cases')
const mapper = require('./mapper')

const S = pgSchema('drizzle_')
const mood = S.enum('mood', ['sad', 'ok', 'happy'])
const users = S.table('users', { id: serial().primaryKey(), name: text().notNull().unique(), mood: mood().default('ok').notNull(), moods: mood().array(), data: jsonb(), tags: text().array().notNull().default(sql`'{}'::text[]`), n: bigint({ mode: 'bigint' }).default(sql`0`), price: numeric({ precision: 10, scale: 2 }), at: timestamp({ withTimezone: true }), on: boolean().default(true), key: uuid().defaultRandom(), owner: integer() })
const posts = S.table('posts', { id: serial().primaryKey(), title: text(), userId: integer('user_id').notNull().references(() => users.id, { onDelete: 'cascade' }) })
const schema = { users, posts, usersRelations: relations(users, ({ many, one }) => ({ posts: many(posts), boss: one(users, { fields: [users.owner], references: [users.id] }) })), postsRelations: relations(posts, ({ one }) => ({ user: one(users, { fields: [posts.userId], references: [users.id] }) })) }
const OPTIONS = '-c search_path=drizzle_,public '
const DDL = [`create type drizzle_.mood as enum('sad','ok','happy')`,
  `create table drizzle_.users(id serial primary key, name text not null unique, mood drizzle_.mood default 'ok' not null, moods drizzle_.mood[], data jsonb, tags text[] not null default '{}', n bigint default 0, price numeric(10,2), at timestamptz, "on" boolean default true, key uuid default gen_random_uuid(), owner int)`,
  'create table drizzle_.posts(id serial primary key, title text, user_id int not null references drizzle_.users on delete cascade)']

// Each of the two drivers: a database, and what closes it.
const open = { pg: (options, max = 4) => { const client = new Pool({ max, options: OPTIONS + options }); return { db: require('drizzle-orm/node-postgres').drizzle({ client, schema }), migrate: require('drizzle-orm/node-postgres/migrator').migrate, close: () => client.end() } },
  'postgres.js': (options, max = 4) => { const client = postgres(process.env.DATABASE_URL, { max, onnotice: () => {}, connection: { options: OPTIONS + options } }); return { db: require('drizzle-orm/postgres-js').drizzle({ client, schema }), migrate: require('drizzle-orm/postgres-js/migrator').migrate, close: () => client.end() } } }
const fresh = async () => { const d = open.pg(GLOBAL, 1); await d.db.execute('set client_min_messages to error'); await d.db.execute('drop schema if exists drizzle_ cascade'); await d.db.execute('create schema drizzle_'); return d }
const rowsOf = (r) => (Array.isArray(r) ? [...r] : r.rows)

for (const [driver, connect] of Object.entries(open)) {
  const on = (name, fn) => test(`${driver}: ${name}`, async () => {
    const d = connect(GLOBAL)
    try { for (const q of DDL) await d.db.execute(q); await fn(d.db, d) } finally { await d.close() }
  })

  on('rows', async (db) => {
    const { key, ...a } = (await db.insert(users).values({ name: 'a', mood: 'sad', moods: ['sad', 'ok'], data: { x: [1, null] }, tags: ['t', "it's", 'c,"'], n: 9007199254740993n, price: '1.50', at: new Date(0) }).returning())[0]
    say(a, key.length)
    say(await db.insert(users).values(Array.from({ length: 10 }, (_, i) => ({ name: 'u' + i, n: BigInt(i), owner: 1 }))).returning({ id: users.id }))
    say(await db.insert(users).values([{ name: 'u1', n: 100n }, { name: 'v' }]).onConflictDoUpdate({ target: users.name, set: { n: sql`excluded.n`, tags: ['up'] } }).returning({ name: users.name, n: users.n, tags: users.tags }), await db.insert(users).values({ name: 'u1' }).onConflictDoNothing().returning())
    say(await db.update(users).set({ n: sql`${users.n} + 1`, data: { y: 1 } }).where(eq(users.name, 'u2')).returning({ n: users.n, data: users.data }), await db.delete(users).where(eq(users.name, 'v')).returning({ name: users.name }))
    const boss = alias(users, 'boss')
    say(await db.select({ name: users.name, boss: boss.name }).from(users).leftJoin(boss, eq(users.owner, boss.id)).where(and(gt(users.id, 1), inArray(users.name, ['u3', 'u4']))).orderBy(desc(users.id)), await db.select({ mood: users.mood, c: count() }).from(users).groupBy(users.mood).orderBy(users.mood), await db.$count(users, gt(users.n, 3n)))
    const few = db.$with('few').as(db.select({ id: users.id }).from(users).where(eq(users.mood, 'sad')))
    say(await db.with(few).update(users).set({ mood: 'happy' }).where(sql`${users.id} in (select id from ${few})`).returning({ name: users.name, mood: users.mood }))
    await db.insert(posts).values([{ title: 'one', userId: 1 }, { title: 'two', userId: 1 }])
    say(await db.query.users.findFirst({ where: eq(users.id, 1), columns: { name: true }, with: { posts: { columns: { title: true }, orderBy: posts.id, with: { user: { columns: { name: true } } } } } }), await db.query.users.findMany({ where: eq(users.name, 'u3'), columns: { name: true }, with: { boss: { columns: { name: true } } } }))
    await wrong(db.insert(users).values({ name: 'a' }))
    await wrong(db.insert(users).values({ name: 'z', mood: 'mad' }))
    await wrong(db.insert(posts).values({ userId: 9999 }))
    await wrong(db.execute(sql`select * from nowhere where i = ${5}`))
  })

  on('prepared queries and definitions', async (db) => {
    const by = db.select({ id: users.id, name: users.name }).from(users).where(eq(users.name, sql.placeholder('name'))).prepare('by_name')
    const put = db.insert(users).values({ name: sql.placeholder('name') }).returning({ name: users.name }).prepare('put')
    for (const name of ['a', 'b', 'c']) say(await put.execute({ name }), await by.execute({ name }))
    await db.execute('alter table users add age int default 5; create index on users(age)')
    say(await put.execute({ name: 'd' }), await by.execute({ name: 'd' }))
    await db.execute('alter table users drop column age, alter name type varchar(50)')
    say(await put.execute({ name: 'e' }).catch(fields), await by.execute({ name: 'e' }).then((r) => r.length, fields))
  })

  on('transactions', async (db) => {
    await db.transaction(async (tx) => {
      await tx.insert(users).values({ name: 'a' })
      await tx.transaction(async (u) => { await u.insert(users).values({ name: 'b' }); u.rollback() }).catch((e) => say(e.name, e.message))
      await tx.transaction(async (u) => { await u.insert(users).values({ name: 'c' }); await u.transaction((v) => v.insert(users).values({ name: 'a' })).catch((e) => say(fields(e))) })
      say(await tx.select({ name: users.name }).from(users).orderBy(users.id), await db.$count(users))
    })
    for (const isolationLevel of ['read uncommitted', 'read committed', 'repeatable read', 'serializable']) await db.transaction(async (tx) => say(rowsOf(await tx.execute('show transaction_isolation')), await tx.$count(users)), { isolationLevel, accessMode: 'read write', deferrable: true })
    await db.transaction(async (tx) => { say(await tx.$count(users)); await tx.insert(users).values({ name: 'no' }) }, { accessMode: 'read only' }).catch((e) => say(fields(e)))
    await db.transaction(async (tx) => {
      say((await tx.select().from(users).where(eq(users.name, 'a')).for('update')).length)
      say((await db.transaction((t) => t.select({ name: users.name }).from(users).orderBy(users.id).for('update', { skipLocked: true }))))
      await db.transaction((t) => t.select().from(users).where(eq(users.name, 'a')).for('no key update', { noWait: true })).catch((e) => say(fields(e)))
    })
  })

  test(`${driver}: migrations`, async () => {
    const d = connect('')
    const dir = fs.mkdtempSync(os.tmpdir() + '/drizzle-')
    const file = (name, text) => fs.writeFileSync(`${dir}/${name}`, text)
    const entries = (n) => file('meta/_journal.json', JSON.stringify({ version: '7', dialect: 'postgresql', entries: ['0000_one', '0001_two', '0002_three'].slice(0, n).map((tag, idx) => ({ idx, version: '7', when: 1700000000000 + idx, tag, breakpoints: true })) }))
    fs.mkdirSync(dir + '/meta')
    file('0000_one.sql', DDL.join(';\n--> statement-breakpoint\n'))
    file('0001_two.sql', 'alter table drizzle_.users add column more int default 7;--> statement-breakpoint\ninsert into drizzle_.users(name) values(\'m\');--> statement-breakpoint\ncreate view drizzle_.v as select name, more from drizzle_.users')
    file('0002_three.sql', 'create table drizzle_.half(i int);--> statement-breakpoint\nselect 1/0')
    const where = { migrationsFolder: dir, migrationsSchema: 'drizzle_' }
    for (const n of [1, 2, 2, 3]) { entries(n); await d.migrate(d.db, where).catch((e) => say(fields(e))); say(rowsOf(await d.db.execute('select count(*)::int as n from drizzle_.__drizzle_migrations'))) }
    say(rowsOf(await d.db.execute('select * from drizzle_.v')), rowsOf(await d.db.execute("select to_regclass('drizzle_.half') as half")))
    fs.rmSync(dir, { recursive: true })
    await d.close()
  })
}

mapper(async (options, max) => {
  const d = open.pg(options, max)
  const on = (db) => ({ rows: async (q) => rowsOf(await db.execute(q)), nested: (fn) => db.transaction((t) => fn(on(t))) })
  const LEVELS = { repeatableRead: 'repeatable read', serializable: 'serializable' }
  return { ...on(d.db), tx: (fn, level) => d.db.transaction((t) => fn(on(t)), level && { isolationLevel: LEVELS[level] }), close: d.close }
})

run(fresh, (d) => d && d.close())
