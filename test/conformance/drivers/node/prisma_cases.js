// Prisma: its client with the query compiler in WebAssembly, above pg. Its migrations need a program of their own, which no
// package brings: so tables are made by SQL.
const { execFileSync } = require('child_process')
const fs = require('fs')
const { PrismaPg } = require('@prisma/adapter-pg')
const { GLOBAL, fields, run, say, test } = require('./cases')
const mapper = require('./mapper')

const DIR = __dirname + '/node_modules/.meridian-prisma'
fs.mkdirSync(DIR, { recursive: true })
fs.writeFileSync(DIR + '/schema.prisma', `generator client {
  provider = "prisma-client-js"
  output   = "./client"
}
datasource db {
  provider = "postgresql"
}
enum mood {
  sad
  ok
}
model User {
  id    Int      @id @default(autoincrement())
  name  String   @unique
  mood  mood     @default(ok)
  moods mood[]
  data  Json?
  tags  String[]
  n     BigInt   @default(0)
  price Decimal? @db.Decimal(10, 2)
  at    DateTime? @db.Timestamptz(3)
  raw   Bytes?
  posts Post[]
  @@map("users")
}
model Post {
  id     Int    @id @default(autoincrement())
  title  String
  userId Int    @map("user_id")
  user   User   @relation(fields: [userId], references: [id], onDelete: Cascade)
  tags   Tag[]
  @@map("posts")
}
model Tag {
  name  String @id
  posts Post[]
  @@map("tags")
}
`)
// Generating asks for the engine of migrations without running it.
execFileSync(process.execPath, [require.resolve('prisma/build/index.js'), 'generate', '--schema', DIR + '/schema.prisma'], { stdio: 'pipe', cwd: __dirname, env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' } })
const { PrismaClient, Prisma } = require(DIR + '/client')

const DDL = [`create type mood as enum('sad','ok')`, 'create table users(id serial primary key, name text not null unique, mood mood not null default \'ok\', moods mood[], data jsonb, tags text[], n bigint not null default 0, price numeric(10,2), at timestamptz(3), raw bytea)',
  'create table posts(id serial primary key, title text not null, user_id int not null references users on delete cascade)', 'create table tags(name text primary key)',
  'create table "_PostToTag"("A" int not null references posts on delete cascade, "B" text not null references tags on delete cascade, primary key("A", "B"))']
const open = (options = GLOBAL, max = 4) => new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL, max, options: '-c search_path=prisma_,public ' + options }, { schema: 'prisma_' }), errorFormat: 'minimal' })
const fresh = async () => {
  const db = open(GLOBAL, 1)
  for (const q of ['set client_min_messages to error', 'drop schema if exists prisma_ cascade', 'create schema prisma_', ...DDL]) await db.$executeRawUnsafe(q)
  return db
}
// What Prisma says of an error names the file and line of its own call.
const told = (e) => say(e.name, e.code, e.meta && { ...e.meta, driverAdapterError: e.meta.driverAdapterError && [e.meta.driverAdapterError.name, e.meta.driverAdapterError.cause] }, String(e.message).split('\n').pop())

test('rows', async () => {
  const db = open()
  say(await db.user.create({ data: { name: 'a', mood: 'sad', moods: ['sad', 'ok'], data: { x: [1, null] }, tags: ['t', "it's"], n: 9007199254740993n, price: '1.50', at: new Date(0), raw: Buffer.from([0, 255]), posts: { create: [{ title: 'one', tags: { create: [{ name: 'l' }, { name: 'm' }] } }, { title: 'two' }] } }, include: { posts: { include: { tags: { orderBy: { name: 'asc' } } }, orderBy: { id: 'asc' } } } }))
  say(await db.user.createMany({ data: Array.from({ length: 20 }, (_, i) => ({ name: 'u' + i, n: i, tags: i % 2 ? ['odd'] : [] })) }), await db.user.createMany({ data: [{ name: 'a' }, { name: 'new' }], skipDuplicates: true }), await db.user.createManyAndReturn({ data: [{ name: 'r1' }, { name: 'r2' }], select: { name: true, mood: true } }))
  say(await db.user.upsert({ where: { name: 'u1' }, create: { name: 'u1' }, update: { n: { increment: 5 } }, select: { name: true, n: true } }), await db.user.upsert({ where: { name: 'up' }, create: { name: 'up', n: 3 }, update: {}, select: { name: true, n: true } }))
  say(await db.user.findMany({ where: { OR: [{ tags: { has: 'odd' }, n: { lt: 5 } }, { data: { path: ['x', '0'], equals: 1 } }, { posts: { some: { title: { startsWith: 'o' } } } }] }, orderBy: { id: 'asc' }, select: { name: true } }), await db.user.groupBy({ by: ['mood'], _count: true, _sum: { n: true }, orderBy: { mood: 'asc' } }), await db.user.aggregate({ _max: { n: true }, _avg: { price: true }, where: { name: 'a' } }))
  say(await db.user.update({ where: { name: 'a' }, data: { posts: { update: { where: { id: 1 }, data: { title: 'changed', tags: { disconnect: { name: 'l' }, connectOrCreate: { where: { name: 'z' }, create: { name: 'z' } } } } }, delete: { id: 2 } } }, select: { posts: { select: { title: true, tags: { orderBy: { name: 'asc' } } } } } }))
  say(await db.user.updateMany({ where: { n: { gt: 15 } }, data: { n: { decrement: 1 } } }), await db.user.updateManyAndReturn({ where: { name: 'u2' }, data: { mood: 'sad' }, select: { name: true, mood: true } }), await db.user.deleteMany({ where: { name: { in: ['u3', 'u4'] } } }), await db.user.findFirst({ cursor: { name: 'u8' }, skip: 1, orderBy: { id: 'asc' }, select: { name: true } }), await db.user.count())
  await db.user.create({ data: { name: 'a' } }).catch(told)
  await db.post.create({ data: { title: 'x', userId: 9999 } }).catch(told)
  await db.user.update({ where: { name: 'nobody' }, data: { n: 1 } }).catch(told)
  await db.user.findUniqueOrThrow({ where: { name: 'nobody' } }).catch(told)
  say(await db.$queryRaw`select ${1}::int as i, ${'x'} as t, ${[1, 2]}::int[] as a, ${{ j: 1 }}::jsonb as j, ${new Date(0)}::timestamptz as d`, await db.$executeRaw`update users set n = n + ${1} where name = ${'a'}`, await db.$queryRawUnsafe('select name from users where id = $1', 1))
  await db.$queryRaw`select * from nowhere`.catch(told)
  await db.$queryRaw`select 1/${0}::int`.catch(told)
  await db.$disconnect()
})

test('transactions', async () => {
  const db = open()
  say((await db.$transaction([db.user.create({ data: { name: 'a' } }), db.user.count(), db.user.update({ where: { name: 'a' }, data: { n: 5 } }), db.$queryRaw`select n from users`])).map((r) => (r && r.name ? [r.name, r.n] : r)))
  await db.$transaction([db.user.create({ data: { name: 'b' } }), db.user.create({ data: { name: 'a' } })]).catch(told)
  await db.$transaction(async (t) => { await t.user.create({ data: { name: 'c' } }); say(await t.user.count(), await db.user.count()); throw new Error('mine') }).catch((e) => say(e.message))
  for (const isolationLevel of Object.values(Prisma.TransactionIsolationLevel)) await db.$transaction(async (t) => say(await t.$queryRaw`show transaction_isolation`, await t.user.count()), { isolationLevel })
  await db.$transaction(async (t) => { await t.user.findFirst(); await db.user.update({ where: { name: 'a' }, data: { n: { increment: 1 } } }); await t.user.update({ where: { name: 'a' }, data: { n: { increment: 10 } } }) }, { isolationLevel: 'RepeatableRead' }).catch(told)
  await db.$transaction(async (t) => { await t.user.create({ data: { name: 'd' } }); await t.$queryRaw`select 1 from pg_sleep(0.4)` }, { timeout: 200 }).then(() => say('in time'), (e) => say(e.code))
  say(await db.user.findMany({ orderBy: { id: 'asc' }, select: { name: true, n: true } }))
  const nested = db.$extends({ query: { user: { async create({ args, query }) { args.data.tags = ['extended']; return query(args) } } } })
  say(await nested.user.create({ data: { name: 'e' }, select: { name: true, tags: true } }), await db.user.findUnique({ where: { name: 'e' }, select: { tags: true } }))
  await db.$disconnect()
})

test('definitions between queries', async () => {
  const db = open(GLOBAL, 1)
  for (let i = 0; i < 3; i++) await db.user.create({ data: { name: 'u' + i } })
  say(await db.user.findUnique({ where: { name: 'u1' }, select: { name: true, n: true } }))
  await db.$executeRaw`alter table users add column extra int default 4`
  await db.$executeRaw`alter table users alter n type int`
  say(await db.user.findUnique({ where: { name: 'u1' }, select: { name: true, n: true } }).catch((e) => e.code), await db.user.create({ data: { name: 'u9' }, select: { name: true, n: true } }).catch((e) => e.code))
  await db.$executeRaw`alter table users drop column n`
  await db.user.findFirst().catch(told)
  await db.$disconnect()
})

mapper(async (options, max) => {
  const db = open(options, max)
  const on = (t) => ({
    // What brings no rows has no types that Prisma could read.
    rows: (sql) => (/^(select|with|insert.*returning)/i.test(sql) && !/pg_advisory_xact_lock|raises/.test(sql) ? t.$queryRawUnsafe(sql) : t.$executeRawUnsafe(sql).then(() => [])),
    nested: async (fn) => {
      await t.$executeRawUnsafe('savepoint nested')
      try { await fn(on(t)); await t.$executeRawUnsafe('release savepoint nested') } catch (e) { await t.$executeRawUnsafe('rollback to savepoint nested'); throw e }
    } })
  const LEVELS = { repeatableRead: 'RepeatableRead', serializable: 'Serializable' }
  return { ...on(db), tx: (fn, level) => db.$transaction((t) => fn(on(t)), { timeout: 30000, maxWait: 20000, ...(level && { isolationLevel: LEVELS[level] }) }), close: () => db.$disconnect() }
})

run(fresh, (db) => db && db.$disconnect())
