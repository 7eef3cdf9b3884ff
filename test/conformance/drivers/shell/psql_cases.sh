# psql: its variables, meta-commands, COPY and scripts.
export PGOPTIONS="-c search_path=psql,public" PSQLRC=/dev/null PAGER=
run() { # NAME, the script on standard input
  echo "== $1"
  timeout 40 psql -X -v VERBOSITY=verbose "${@:2}" 2>&1 | sed -E 's/, [a-z_]+\.c:[0-9]+//; s/psql:<stdin>:[0-9]+/psql/; s/port "[0-9]+"/port N/; s/PID [0-9]+/PID N/; s/^lo_(import|unlink) [0-9]+/lo_\1 N/; s/Time: .*/Time/'
}
psql -Xq -c "set client_min_messages to error" -c "drop schema if exists psql cascade" -c "create schema psql"
psql -Xq 2>/dev/null <<'SQL'
create table t(id serial primary key, n varchar(10) not null default 'x', u int unique check (u > 0));
create table s(t int references t(id) on delete cascade, p int4range);
create index i on t(n, u); create view v as select * from t; create materialized view m as select 1 a;
create type mood as enum('sad', 'ok'); create type pair as (a int, b text); create domain pos as int check(value > 0);
create function f(a int) returns int language sql as 'select a+1'; create procedure pr(a int) language sql as 'select 1';
create sequence sq; create table part(i int) partition by range(i); create table part1 partition of part for values from (0) to (10);
create function tg() returns trigger language plpgsql as $$begin return new; end$$; create trigger tr before insert on t for each row execute function tg();
create rule ru as on update to v do instead nothing; comment on table t is 'remarks'; grant select on t to public; create statistics st on n, u from t;
alter table s enable row level security; create policy po on s using (true); create publication pub for table t; create extension if not exists hstore schema public;
SQL
run 'the family of d' <<'SQL'
\d
\d t
\d+ t
\d s
\d+ v
\d m
\d part
\d+ part1
\d i
\d sq
\dt
\dv
\dm
\ds
\di
\dn psql
\df psql.*
\df+ psql.f
\dT psql.*
\dD psql.*
\dp psql.*
\dRp
\dx hstore
\dX psql.*
\dO psql.*
\ddp psql.*
\dy
\db
\des
\dL plpgsql
\du pg_monitor
\dconfig work_mem
\sf f
\sv v
\z t
\l conduit
\d nothing
drop publication pub;
SQL
run 'connection and variables' <<'SQL'
\encoding
\conninfo
\echo :DBNAME :USER :ENCODING :SERVER_VERSION_NUM :AUTOCOMMIT
select 1 as one, 'two' as two \gset
\echo :one :two :ROW_COUNT :ERROR :SQLSTATE
select 1/0;
\echo :ERROR :SQLSTATE :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
\errverbose
select 'drop table if exists z' , 'create table z(i int)', 'insert into z values(3)', 'select * from z' \gexec
select 1 as a, 'x'::varchar(5) as b, null::psql.mood as c \gdesc
select * from t where id = 5 \gx
select g, g*2 from generate_series(1,3) g \crosstabview
\set x 5
select :x, :'x', :"x" from (select 1 as "5") s;
\timing on
select 1;
\timing off
\connect
select current_user;
\if true
\echo yes
\endif
SQL
run 'scripts and errors' -v ON_ERROR_STOP=0 <<'SQL'
begin; select 1; select 2; commit;
begin;
insert into t(n) values('a');
savepoint s;
insert into t(n) values(null);
rollback to s;
commit;
select n from t;
\set AUTOCOMMIT off
insert into t(n) values('b');
rollback;
\set AUTOCOMMIT on
\set ON_ERROR_ROLLBACK on
begin;
insert into t(n) values('c');
bogus;
commit;
select n from t order by id;
\set FETCH_COUNT 3
select g from generate_series(1,10) g;
\unset FETCH_COUNT
listen psql;
notify psql, 'payload';
do $$begin raise notice 'n' using hint='h', detail='d'; end$$;
select 1 \; select 2 \; insert into t(n) values('multi') \; select count(*) from t;
SQL
run 'copy' <<'SQL'
create table c(i int, s text);
\copy c from pstdin
1	a
2	b
\.
copy c from stdin;
3	c
x	bad
\.
copy c from stdin csv;
4,"d,e"
\.
select * from c order by i;
\copy (select * from c order by i) to pstdout csv header
copy c to stdout;
\copy nothing from pstdin
\copy c (i) from program 'seq 100 105'
select count(*), sum(i) from c;
SQL
run 'lo' <<'SQL'
\lo_import /etc/passwd 'a comment'
select :LASTOID > 0 as made, length(lo_get(:LASTOID)) > 10 as long;
\lo_export :LASTOID /dev/null
\lo_unlink :LASTOID
SQL
run 'one transaction' -1 <<'SQL'
create table one(i int); insert into one values(1);
select * from one;
SQL
run 'command line' -At -F, -c "select 1, 2" -c "\\dt psql.one" -c "table one" </dev/null
run 'targets' "target_session_attrs=read-write" -Atc "select 1" </dev/null
echo '== a killed client'
timeout -s INT 2 psql -X -c 'select pg_sleep(20)' > /dev/null 2>&1; echo "ended"
echo '== ready'
pg_isready -q; echo $?
vacuumdb -z -t psql.t -q; echo $?
reindexdb -t psql.t -q; echo $?
