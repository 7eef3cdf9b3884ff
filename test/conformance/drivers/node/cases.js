// What the programs of this folder have in common: cases that say what they saw.
const util = require('util')

exports.WAY = process.env.WAY || 'direct'
exports.CA = process.env.CA
exports.POOLED = process.env.POOLING === 'transaction'
exports.GLOBAL = '-c meridian.consistency=global'

const all = []
exports.test = (name, fn, { differs = '', pooled = true } = {}) => {
  if (pooled || !exports.POOLED) all.push({ name, fn, differs })
}

const show = (v) => (typeof v === 'string' ? v : util.inspect(v, { depth: 6, breakLength: Infinity, maxStringLength: 200, maxArrayLength: 50 }))
const say = (exports.say = (...what) => console.log(what.map(show).join(' ')))
const must = (exports.must = (ok, what) => { if (!ok) console.log('!! ' + what) })
exports.until = async (what, ok) => {
  for (let i = 0; i < 300; i++) { if (await ok()) return; await exports.sleep(20) }
  must(false, 'never: ' + what)
}
exports.sleep = (ms) => new Promise((done) => setTimeout(done, ms))

const FIELDS = ['severity', 'severity_local', 'code', 'message', 'detail', 'hint', 'position', 'internalPosition', 'internalQuery', 'where', 'schema', 'table', 'column',
  'dataType', 'constraint', 'schema_name', 'table_name', 'column_name', 'type_name', 'constraint_name', 'routine']
const fields = (exports.fields = (e) => (e instanceof Error ? e.name : typeof e) + ' ' + FIELDS.filter((f) => e[f] !== undefined && e[f] !== '').map((f) => `${f}=${e[f]}`).join(' ').replace(/tuple \(\d+,\d+\)/, 'tuple') + within(e))

// within adds the error that a mapper wrapped.
const within = (e) => {
  const inner = e.driverError || e.original || e.nativeError || e.cause
  return inner instanceof Error && inner !== e ? ' <- ' + fields(inner) : ''
}

// wrong says which error it was, by all its fields.
exports.wrong = async (promise) => {
  try {
    must(false, 'no error: ' + show(await promise))
  } catch (e) {
    say(fields(e))
  }
}

// run runs the cases one after the other, each with a connection of its own.
exports.run = async (connect, close) => {
  for (const c of all) {
    if (process.argv[2] && !new RegExp(process.argv[2]).test(c.name)) continue
    console.log(`== ${c.name}` + (c.differs ? ` differs: ${c.differs}` : ''))
    let conn
    const late = new Promise((_, no) => setTimeout(no, 60000, new Error('60 s are over')))
    try {
      conn = await connect()
      await Promise.race([c.fn(conn), late])
    } catch (e) {
      must(false, fields(e) + ' | ' + (e.stack || String(e)).split('\n').slice(0, 3).join(' | '))
    }
    await Promise.race([close(conn), exports.sleep(3000)]).catch(() => {})
  }
  process.exit(0)
}

exports.ERRORS = ['insert into t values(1,1)', 'insert into t values(2,null)', 'insert into t values(2,2,1)', 'insert into t values(2,2,2,50)', 'insert into t values(2,2,2,2,99)', "select 'x'::int", 'select (-1)::pos', 'select 1/0',
  'select f(0)', 'select raises()', 'select * frm t', 'select * from nothere', 'select nocol from t', 'create table t(i int)', 'select $1', 'begin; bogus', 'rollback', "select 'abc", 'vacuum nothere', 'fetch nocursor']
exports.SETUP = `create table p(id int primary key); create table t(id int primary key, n int not null, u int unique, k int constraint small check(k < 10), f int references p);
  create domain pos as int constraint above check(value>0); insert into t values(1,1,1,1,null);
  create function f(int) returns int language plpgsql as $$begin return 1/$1; end$$;
  create function raises() returns void language plpgsql as $$begin raise exception 'own %', 5 using errcode='ABCDE', hint='h', detail='d', schema='s', table='t', column='c', constraint='k', datatype='y'; end$$`
