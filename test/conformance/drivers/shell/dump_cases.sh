# pg_dump and pg_restore, in each format, and back.
export PGOPTIONS="-c client_min_messages=error"
dir=$(mktemp -d); trap 'rm -rf $dir' EXIT
make_it() {
  psql -Xq -v ON_ERROR_STOP=1 > /dev/null <<'SQL'
drop schema if exists dumped cascade; create schema dumped; set search_path to dumped;
create type mood as enum('sad', 'ok'); create table t(id bigserial primary key, m mood, d numeric(10,2), j jsonb, b bytea, a int[]);
insert into t(m, d, j, b, a) select case when g % 2 = 0 then 'ok'::mood end, g / 3.0, jsonb_build_object('g', g), decode(md5(g::text), 'hex'), array[g, null] from generate_series(1,2000) g;
create table u(id int references t(id), r int4range, exclude using gist(r with &&)); insert into u select g, int4range(g, g+1) from generate_series(1,300) g;
create index on t(m, d); create view v as select m, count(*) n from t group by m; create materialized view mv as select * from v;
create function f(int) returns int language plpgsql as $$begin return $1 + 1; end$$; create sequence sq start 42; select setval('sq', 43);
create table p(i int) partition by range(i); create table p1 partition of p for values from (0) to (10); insert into p values(3);
SQL
}
sum() {
  psql -XAt -c "set search_path to dumped" -c "select count(*), sum(d), md5(string_agg(j::text || b::text || a::text, ',' order by id)) from t" -c "select count(*), sum(upper(r)) from u" \
    -c "select * from mv order by m" -c "select last_value from sq" -c "select f(1), (select i from p1)" -c "select nextval('t_id_seq')" 2>&1
}
echo '== pg_dump --schema-only'; make_it; pg_dump -n dumped -s 2>&1 | sed -E '/^-- Dumped|^\\(un)?restrict/d'
echo '== plain, by psql'
pg_dump -n dumped > $dir/plain.sql; echo $?; psql -Xq -c 'drop schema dumped cascade'
psql -Xq -v ON_ERROR_STOP=1 -f $dir/plain.sql > /dev/null; echo $?; sum
echo '== inserts in one transaction'; make_it
pg_dump -n dumped --inserts --rows-per-insert=50 > $dir/i.sql; psql -Xq -c 'drop schema dumped cascade'; psql -Xq1 -v ON_ERROR_STOP=1 -f $dir/i.sql > /dev/null; echo $?; sum
for f in c d t; do
  echo "== format $f"; make_it; rm -rf $dir/x
  jobs=; [ $f = d ] && jobs=-j3
  pg_dump -n dumped -F$f $jobs -f $dir/x 2>&1; echo $?
  psql -Xq -c 'drop schema dumped cascade'
  jobs=-j3; [ $f = t ] && jobs=
  pg_restore -d $PGDATABASE $jobs $dir/x 2>&1; echo $?; sum
done
echo '== clean and one transaction'
pg_dump -n dumped -Fc -f $dir/y; pg_restore -d $PGDATABASE --clean --if-exists -1 $dir/y 2>&1; echo $?; sum
echo '== data only, one table'
pg_dump -n dumped -a -t dumped.u | grep -c .
