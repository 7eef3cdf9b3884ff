# ruby-pg, area by area as its own suite goes: types, single rows, pipelines, COPY, notifications, cancel.
require 'pg'
$stdout.sync = true
POOLED = ENV['POOLING'] == 'transaction'
URL = ENV['DATABASE_URL']

def connects(**o) = PG.connect(URL, **o)

def other(**o)
  d = connects(**o)
  d.exec('set meridian.consistency to global') unless ENV['WAY'] == 'direct'
  d.exec('set search_path to ruby, public')
  d
end

def say(*v) = puts(v.map { |x| x.is_a?(String) ? x : x.inspect }.join(' ').gsub(/0x[0-9a-f]+/, ''))
def must(ok, what) = ok || puts("!! #{what}")
FIELDS = %w[SEVERITY SQLSTATE MESSAGE_PRIMARY MESSAGE_DETAIL MESSAGE_HINT STATEMENT_POSITION INTERNAL_QUERY CONTEXT SCHEMA_NAME TABLE_NAME COLUMN_NAME DATATYPE_NAME CONSTRAINT_NAME SOURCE_FUNCTION]

def wrong
  got = yield
  must(false, "no error: #{got.inspect}")
rescue PG::Error => e
  r = e.respond_to?(:result) && e.result
  say e.class.name, *(r ? FIELDS.filter_map { |f| (v = r.error_field(PG.const_get("PG_DIAG_#{f}"))) && "#{f}=#{v}" } : [e.message.lines.first.to_s.gsub(/\d{4,}/, 'N').strip])
end

def on(name, own: false, differs: nil)
  return if own && POOLED || ARGV[0] && name !~ /#{ARGV[0]}/
  puts "== #{name}" + (differs ? " differs: #{differs}" : '')
  c = connects
  c.exec('set client_min_messages to error; drop schema if exists ruby cascade; create schema ruby; reset client_min_messages; set search_path to ruby, public')
  yield c
rescue Exception => e
  puts "!! #{e.class} #{e.message.gsub("\n", ' | ')} #{e.backtrace.first}"
ensure
  c&.close rescue nil
end

on 'what the server says' do |c|
  say c.status, c.transaction_status, c.protocol_version, c.server_version / 10000, c.db, c.user, c.internal_encoding, c.external_encoding, c.conninfo_hash[:options]
  %w[client_encoding DateStyle integer_datetimes is_superuser server_encoding session_authorization standard_conforming_strings TimeZone in_hot_standby default_transaction_read_only].each { |n| say n, c.parameter_status(n) }
  d = connects(options: '-c work_mem=3MB', application_name: "ruby's", target_session_attrs: 'read-write')
  say d.exec("select current_setting('work_mem'), current_setting('application_name')").values
  d.reset
  say d.exec('select 1').values, d.status
  d.close
  wrong { connects(target_session_attrs: 'read-only') }
  if ENV['WAY'] != 'direct'
    s = PG.connect(URL.sub('sslmode=disable', 'sslmode=verify-ca'), sslrootcert: ENV['CA'])
    must(s.ssl_in_use? && s.exec('select 1').values == [['1']], 'no TLS')
    wait = Thread.new { s.exec('select pg_sleep(20)') rescue $!.class }
    sleep 0.3
    s.cancel
    must(wait.value == PG::QueryCanceled, 'it was not canceled over TLS')
  end
end

on 'types' do |c|
  c.type_map_for_results = PG::BasicTypeMapForResults.new(c)
  c.type_map_for_queries = PG::BasicTypeMapForQueries.new(c)
  ['true', '1::int2', '3::int8', "'NaN'::float8", '1.10::numeric', "'ä€'::text", "'y '::char(3)", "'\\x00ff'::bytea", "'{\"a\":[1]}'::json", "'2024-02-29'::date", "'2000-01-01 12:00:00.5'::timestamp", "'2000-01-01 12:00+03'::timestamptz",
   "'10.0.0.0/8'::inet", "'{1,null,3}'::int[]", "'{{a,b},{c,null}}'::text[]", "'[1,5)'::int4range", "row(1,'x')", 'null', "'1 day'::interval"].each do |v|
    [0, 1].each do |f|
      r = c.exec_params("select #{v}", [], f)
      say v, f, (r.getvalue(0, 0) rescue $!.message), r.ftype(0), r.fmod(0), r.fsize(0), r.fformat(0), r.getlength(0, 0)
    end
  end
  [1, 2**40, 1.5, 'ä', nil, true, [1, 2], %w[a b], Time.at(0).utc, { 'a' => 1 }].each { |a| say a, (c.exec_params('select $1', [a]).values rescue $!.message.lines.first) }
  c.exec("create type pair as (a int, b text); create type mood as enum('sad','ok'); create table t(p pair, m mood)")
  say c.exec_params("insert into t values(row($1::int, $2::text)::pair, $3::mood) returning *", [1, 'x,"', 'ok']).values
end

on 'prepared statements' do |c|
  c.exec('create table t(i int, s text)')
  say c.prepare('ins', 'insert into t values($1, $2) returning i').cmd_status
  20.times { |i| c.exec_prepared('ins', [i, i.to_s]) }
  c.prepare('sel', 'select count(*) from t where i < $1')
  say c.exec_prepared('sel', [10]).values, c.describe_prepared('ins').nparams, c.describe_prepared('ins').paramtype(1), c.describe_prepared('sel').fname(0)
  wrong { c.prepare('ins', 'select 1') }
  wrong { c.exec_prepared('none') }
  c.exec('deallocate ins')
  wrong { c.exec_prepared('ins', [1, '1']) }
  c.transaction { c.exec('declare k cursor for select * from t'); say c.describe_portal('k').fname(0) }
end

on 'a plan that must not change', differs: 'a prepared statement whose table has changed may work where PostgreSQL says *cached plan must not change result type*' do |c|
  c.exec('create table t(i int); insert into t values(1)')
  c.prepare('all', 'select * from t limit 1')
  c.exec_prepared('all')
  c.exec('alter table t add late int default 3')
  say((c.exec_prepared('all').values rescue $!.class))
end

on 'errors' do |c|
  c.exec('create table p(id int primary key); create table t(id int primary key, n int not null, k int constraint small check(k < 10), f int references p); insert into t values(1,1)')
  ['insert into t values(1,1)', 'insert into t values(2,null)', 'insert into t values(2,2,50)', 'insert into t values(2,2,2,9)', 'select 1/0', 'select * frm t', 'select nocol from t', "select 'x'::int", 'drop table nothere',
   "do $$begin raise exception 'own' using errcode='ABCDE', hint='h', detail='d'; end$$", 'begin; bogus', 'rollback; bogus', 'fetch nocursor', 'copy t from stdin'].each do |q|
    say q, c.transaction_status
    q.start_with?('copy') ? wrong { c.copy_data(q) { c.put_copy_data("1\t1\n") } } : wrong { c.exec(q) }
    wrong { c.exec_params(q, []) } unless q =~ /;|copy/
  end
  c.exec('rollback')
  [PG::PQERRORS_TERSE, PG::PQERRORS_SQLSTATE].each { |v| c.set_error_verbosity(v); say((c.exec('bogus') rescue $!.message)) }
  got = []
  c.set_notice_receiver { |r| got << FIELDS.filter_map { |f| r.error_field(PG.const_get("PG_DIAG_#{f}")) } }
  c.exec("do $$begin raise notice 'n'; raise warning 'w' using hint='h'; end$$; drop table if exists missing")
  say got
end

on 'several results and single rows' do |c|
  c.send_query('create table t(i int); insert into t values(1),(2); select * from t; select 1/0; select 5')
  while (r = c.get_result)
    say r.res_status(r.result_status), r.cmd_status, r.cmd_tuples, r.ntuples
  end
  c.send_query('select g, 1/(900-g) from generate_series(1,1000) g')
  c.set_single_row_mode
  n = 0
  begin
    c.get_result.stream_each { n += 1 }
  rescue PG::Error => e
    say n, e.class
  end
  c.get_last_result rescue nil
  say c.exec('select 1').values, c.exec(';').result_status, c.exec('').result_status
end

on 'blocks' do |c|
  c.exec('create table t(i int primary key)')
  c.transaction { c.exec('insert into t values(1)') }
  (c.transaction { c.exec('insert into t values(2)'); raise 'no' }) rescue say $!.message
  c.transaction do
    c.exec('savepoint a')
    wrong { c.exec('insert into t values(1)') }
    say c.transaction_status
    c.exec('rollback to a; insert into t values(3)')
  end
  say c.exec('table t').values
  c.exec('begin isolation level serializable read only deferrable')
  say c.exec('select count(*) from t').values, %w[isolation read_only deferrable].map { |n| c.exec("show transaction_#{n}").getvalue(0, 0) }
  wrong { c.exec('insert into t values(9)') }
  say c.exec('commit').cmd_status
  d = other
  c.exec("begin; insert into t values(4); prepare transaction 'ruby two'")
  say d.exec("commit prepared 'ruby two'").cmd_status, c.exec('select count(*) from t').values
  (100..140).each { |i| c.exec_params('insert into t values($1)', [i]); must(c.exec('select max(i) from t').getvalue(0, 0) == i.to_s, "the row #{i} is not seen") }
  c.exec('begin; insert into t values(500)')
  say c.exec('commit and chain').cmd_status, c.transaction_status, c.exec('rollback').cmd_status
end

on 'pipelines' do |c|
  c.exec('create table t(i int primary key)')
  c.enter_pipeline_mode
  say c.pipeline_status
  10.times { |i| c.send_query_params('insert into t values($1) returning i', [i]); c.send_query_params('select count(*) from t', []) }
  c.pipeline_sync
  c.send_query_params('insert into t values($1)', [3])
  c.send_query_params('select 1', [])
  c.pipeline_sync
  c.send_query_params('select count(*) from t', [])
  c.pipeline_sync
  syncs = 0
  while syncs < 3
    r = c.get_result
    next unless r
    syncs += 1 if r.result_status == PG::PGRES_PIPELINE_SYNC
    say r.res_status(r.result_status), (r.values rescue nil), r.error_field(PG::PG_DIAG_SQLSTATE)
  end
  c.exit_pipeline_mode
  say c.exec('select count(*) from t').values
end

on 'COPY' do |c|
  c.exec('create table t(i int primary key, s text)')
  say c.copy_data('copy t from stdin') { 3000.times { |i| c.put_copy_data("#{i}\trow\n") } }.cmd_status
  n = 0
  say c.copy_data('copy t to stdout') { n += 1 while c.get_copy_data }.cmd_status, n
  e = PG::TextEncoder::CopyRow.new
  c.copy_data('copy t from stdin', e) { c.put_copy_data([5000, "a\tb"]) }
  say c.exec('select s from t where i=5000').values
  wrong { c.copy_data('copy t from stdin') { c.put_copy_data("1\tagain\n") } }
  begin
    c.copy_data('copy t from stdin') { c.put_copy_data("7000\tx\n"); raise 'given up' }
  rescue => x
    say x.message
  end
  wrong { c.copy_data('copy t from stdin') { c.put_copy_end('no more') } }
  wrong { c.copy_data('copy (select 1/(g-500) from generate_series(1,1000) g) to stdout') { nil while c.get_copy_data } }
  say c.exec('select count(*) from t').values, c.transaction_status
end

on 'notifications', own: true do |c|
  d = other
  c.exec('listen ruby')
  d.exec("notify ruby, 'one'")
  c.wait_for_notify(20) { |ch, pid, text| say ch, pid == d.backend_pid, text }
  c.exec("notify ruby, 'own'")
  say c.notifies.then { |n| n && [n[:relname], n[:be_pid] == c.backend_pid, n[:extra]] }
  c.exec("begin; notify ruby, 'undone'; rollback; unlisten *")
  d.exec("notify ruby, 'unheard'")
  say c.wait_for_notify(0.3)
end

on 'large objects' do |c|
  oid = 0
  c.transaction do
    oid = c.lo_creat
    f = c.lo_open(oid, PG::INV_WRITE | PG::INV_READ)
    say c.lo_write(f, 'hello world'), c.lo_lseek(f, 6, PG::SEEK_SET), c.lo_read(f, 20), c.lo_tell(f), c.lo_truncate(f, 3), c.lo_close(f)
  end
  c.transaction { f = c.lo_open(oid); say c.lo_read(f, 20) }
  c.lo_unlink(oid)
  c.transaction { say((c.lo_open(oid) rescue $!.class)) }
end

on 'cancel and ended backends', own: true do |c|
  c.exec('create table t(i int)')
  ['select pg_sleep(20)', 'insert into t select 1 from (select pg_sleep(20)) s', 'do $$begin perform pg_sleep(20); end$$'].each do |q|
    t = Thread.new { sleep 0.3; c.cancel }
    wrong { c.exec(q) }
    say t.value
  end
  d = other
  d.exec('begin')
  2.times do |k|
    v = connects
    v.exec(k == 0 ? 'select 1' : 'insert into ruby.t values(1)')
    say d.exec_params('select pg_terminate_backend($1)', [v.backend_pid]).values
    sleep 0.3
    must((v.exec('select 1') rescue nil).nil?, 'it lives')
    say v.status
  end
  d.exec('commit')
  c.exec('set statement_timeout to 100')
  wrong { c.exec('insert into t select 1 from (select pg_sleep(20)) s') }
  say((c.exec('select pg_terminate_backend(pg_backend_pid())') rescue $!.class), c.status)
end

on 'cursors, temporary tables and locks', own: true do |c|
  d = other
  c.exec('begin; declare k scroll cursor with hold for select g from generate_series(1,100) g')
  say c.exec('fetch 3 from k').values, c.exec('move 50 in k').cmd_status, c.exec('fetch backward 2 from k').values, c.exec('commit; fetch last from k').values
  c.exec('create temp table tt as select 1 a')
  say c.exec('table tt').values, c.exec('select pg_try_advisory_lock(78)').values, d.exec('select pg_try_advisory_lock(78)').values, c.exec('select pg_advisory_unlock(78)').values, d.exec('select pg_try_advisory_lock(78)').values
  wrong { d.exec('table tt') }
  c.exec('create sequence s')
  say c.exec("select nextval('s'), currval('s'), lastval()").values
  c.exec('discard all')
  wrong { c.exec('select lastval()') }
end
