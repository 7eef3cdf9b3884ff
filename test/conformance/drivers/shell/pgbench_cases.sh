# pgbench in all its modes, with scripts of its own.
export PGOPTIONS="-c search_path=bench -c client_min_messages=error"
dir=$(mktemp -d); trap 'rm -rf $dir' EXIT
psql -Xq -c 'drop schema if exists bench cascade' -c 'create schema bench'
counts() { psql -XAt -c "select (select count(*) from pgbench_accounts), (select count(*) from pgbench_history), (select sum(abalance) = (select sum(delta) from pgbench_history) or count(*) = 0 from pgbench_accounts where abalance <> 0), (select sum(bbalance) - (select sum(tbalance) from pgbench_tellers) from pgbench_branches)" 2>&1; }
said() { grep -E 'number of transactions actually|failed|ERROR|error' | sed 's/ (.*//'; }
echo '== initialising'; pgbench -i -q -s 1 2>/dev/null; echo $?; counts
echo '== initialising step by step'; pgbench -i -I dtgvpf -s 1 2>/dev/null; echo $?; counts
echo '== initialising on the server'; pgbench -i -I dtGvp --unlogged-tables --partitions=3 -s 1 2>/dev/null; echo $?; counts
pgbench -i -q -s 1 2>/dev/null
for m in simple extended prepared; do
  for b in tpcb-like simple-update select-only; do
    echo "== $m $b"; pgbench -n -M $m -b $b -c 3 -j 2 -t 40 2>&1 | said
  done
done
counts
cat > $dir/p.sql <<'SQL'
\set a random(1, 100000)
\startpipeline
begin;
update pgbench_accounts set abalance = abalance + 1 where aid = :a;
select abalance from pgbench_accounts where aid = :a;
insert into pgbench_history(tid, bid, aid, delta, mtime) values(1, 1, :a, 1, now());
end;
\endpipeline
select count(*) as n from pgbench_history \gset
SQL
for m in extended prepared; do echo "== a pipeline, $m"; pgbench -n -M $m -f $dir/p.sql -c 3 -t 30 2>&1 | said; done
counts
cat > $dir/own.sql <<'SQL'
insert into pgbench_history(tid, bid, aid, delta, mtime) values(2, 2, :client_id, 0, now());
select count(*) = :done + 1 as seen from pgbench_history where tid = 2 and aid = :client_id \gset
\if :seen
\set done :done + 1
\else
select 1 / 0 as a_read_did_not_see_its_own_write;
\endif
SQL
for m in simple extended prepared; do
  psql -Xq -c 'delete from pgbench_history where tid = 2'
  echo "== its own writes, $m"; pgbench -n -M $m -D done=0 -f $dir/own.sql -c 4 -t 40 2>&1 | said
done
cat > $dir/ser.sql <<'SQL'
begin isolation level serializable;
select sum(bbalance) from pgbench_branches;
update pgbench_branches set bbalance = bbalance + 0 where bid = 1;
end;
SQL
echo '== serializable, tried again'; pgbench -n -M prepared -f $dir/ser.sql -c 3 -t 15 --max-tries=0 2>&1 | said
