<?php
// PHP's PDO and pgsql extensions: prepared statements emulated and not, types, COPY, large objects, notifications, cancel.
error_reporting(E_ALL & ~E_WARNING & ~E_NOTICE & ~E_DEPRECATED);
$pooled = getenv('POOLING') === 'transaction';
$server = 'host=' . getenv('PGHOST') . ' port=' . getenv('PGPORT') . ' dbname=' . getenv('PGDATABASE');

function pdo(array $o = []): PDO
{
    global $server;
    return new PDO('pgsql:' . str_replace(' ', ';', $server) . ';sslmode=disable', getenv('PGUSER'), getenv('PGPASSWORD'), $o + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function plain(string $more = '')
{
    global $server;
    return pg_connect("$server user=" . getenv('PGUSER') . ' password=' . getenv('PGPASSWORD') . " $more", PGSQL_CONNECT_FORCE_NEW);
}

function say(...$v): void
{
    echo implode(' ', array_map(fn ($x) => is_string($x) ? $x : json_encode($x, JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_UNICODE), $v)), "\n";
}

function must(bool $ok, string $what): void
{
    if (!$ok) {
        echo "!! $what\n";
    }
}

function wrong(callable $f): void
{
    try {
        $got = $f();
        must(false, 'no error: ' . json_encode($got));
    } catch (PDOException $e) {
        say($e->getCode(), preg_replace('/\b\d{4,}\b/', 'N', $e->getMessage()));
    }
}

// refused says the fields of the error of what was sent.
function refused($c, string $q): void
{
    pg_send_query($c, $q);
    while ($r = pg_get_result($c)) {
        $said = [];
        foreach ([PGSQL_DIAG_SEVERITY, PGSQL_DIAG_SQLSTATE, PGSQL_DIAG_MESSAGE_PRIMARY, PGSQL_DIAG_MESSAGE_DETAIL, PGSQL_DIAG_MESSAGE_HINT, PGSQL_DIAG_STATEMENT_POSITION, PGSQL_DIAG_CONTEXT, PGSQL_DIAG_SCHEMA_NAME, PGSQL_DIAG_TABLE_NAME, PGSQL_DIAG_COLUMN_NAME, PGSQL_DIAG_CONSTRAINT_NAME, PGSQL_DIAG_SOURCE_FUNCTION] as $f) {
            $said[] = pg_result_error_field($r, $f);
        }
        say($q, pg_result_status($r), pg_transaction_status($c), ...array_filter($said, fn ($s) => is_string($s)));
    }
}

function on(string $name, callable $f, bool $own = false): void
{
    global $pooled, $argv;
    if ($own && $pooled || isset($argv[1]) && !preg_match("/$argv[1]/", $name)) {
        return;
    }
    echo "== $name\n";
    try {
        $c = pdo();
        $c->exec('set client_min_messages to error; drop schema if exists php cascade; create schema php; reset client_min_messages; set search_path to php, public');
        $f($c);
    } catch (Throwable $e) {
        echo '!! ', str_replace("\n", ' | ', $e->getMessage()), ' ', $e->getLine(), "\n";
    }
}

on('what the server says', function (PDO $c) {
    say($c->getAttribute(PDO::ATTR_DRIVER_NAME), (int) $c->getAttribute(PDO::ATTR_SERVER_VERSION), $c->getAttribute(PDO::ATTR_CONNECTION_STATUS), $c->inTransaction(), $c->quote("it's \\"));
    $p = plain("application_name='php' options='-c work_mem=3MB'");
    foreach (['client_encoding', 'DateStyle', 'integer_datetimes', 'is_superuser', 'server_encoding', 'session_authorization', 'standard_conforming_strings', 'TimeZone', 'in_hot_standby'] as $n) {
        say($n, pg_parameter_status($p, $n));
    }
    say(pg_version($p)['protocol'], pg_client_encoding($p), pg_connection_status($p), pg_transaction_status($p), pg_fetch_row(pg_query($p, "select current_setting('work_mem'), current_setting('application_name')")));
    say(pg_connection_reset($p), pg_ping($p), pg_fetch_all_columns(pg_query($p, 'select 1')));
    $k = pdo([PDO::ATTR_PERSISTENT => true]);
    say($k->query('select 1')->fetchColumn());
});

on('prepared, emulated and not', function (PDO $c) {
    $c->exec('create table t(i int, s text, b bytea, ok bool, a int[], at timestamptz)');
    foreach ([true, false] as $emulate) {
        foreach ([true, false] as $disable) {
            $o = [PDO::ATTR_EMULATE_PREPARES => $emulate, PDO::PGSQL_ATTR_DISABLE_PREPARES => $disable];
            $s = $c->prepare('insert into t values(:i, :s, :b, :ok, :a, :at) returning *', $o);
            foreach ([[1, 'ä€', true, '{1,NULL}'], [null, null, false, null]] as [$i, $t, $ok, $a]) {
                $s->bindValue('i', $i, $i === null ? PDO::PARAM_NULL : PDO::PARAM_INT);
                $s->bindValue('s', $t);
                $s->bindValue('b', "\0\xff", PDO::PARAM_LOB);
                $s->bindValue('ok', $ok, PDO::PARAM_BOOL);
                $s->bindValue('a', $a);
                $s->bindValue('at', '2000-01-01 00:00+00');
                $s->execute();
                $r = $s->fetch(PDO::FETCH_ASSOC);
                $r['b'] = bin2hex(stream_get_contents($r['b']));
                say($emulate, $disable, $r, $s->rowCount());
            }
            wrong(function () use ($c, $o) {
                $s = $c->prepare('select ?::int', $o);
                $s->execute(['x']);
            });
            $s = $c->prepare('select count(*) from t where i = ?', $o);
            for ($k = 0; $k < 3; $k++) {
                $s->execute([$k]);
                say($s->fetchColumn());
            }
        }
    }
    $s = $c->query('select 1::int2 a, 1.5::numeric(5,2) b, now() c, row(1,2) d');
    for ($k = 0; $k < 4; $k++) {
        $m = $s->getColumnMeta($k);
        say($m['name'], $m['native_type'], $m['len'], $m['precision']);
    }
    $s = $c->prepare('select * from generate_series(1,9) g', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $s->execute();
    say($s->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), $s->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR), $s->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 2));
    foreach (['true', "'NaN'::float8", '1.10::numeric', "'y '::char(3)", "'{{a,b}}'::text[]", "'[1,5)'::int4range", "'1 day'::interval", 'null', "'2024-02-29'::date", '2::int8'] as $v) {
        say($v, $c->query("select $v")->fetchColumn());
    }
});

on('blocks', function (PDO $c) {
    $c->exec('create table t(i serial primary key, n int)');
    say($c->beginTransaction(), $c->inTransaction(), $c->exec('insert into t(n) values(1),(2)'), $c->lastInsertId('t_i_seq'), $c->lastInsertId());
    wrong(fn () => $c->beginTransaction());
    $c->rollBack();
    say($c->query('select count(*) from t')->fetchColumn());
    $c->beginTransaction();
    wrong(fn () => $c->exec('bogus'));
    wrong(fn () => $c->exec('select 1'));
    say($c->inTransaction(), $c->rollBack());
    $c->exec('begin; insert into t(n) values(1); savepoint a');
    wrong(fn () => $c->exec('insert into t values(3, 1); insert into t values(3, 1)'));
    say($c->exec('rollback to a'), $c->exec('commit'), $c->query('select n from t')->fetchAll(PDO::FETCH_COLUMN));
    $c->exec("begin; insert into t(n) values(4); prepare transaction 'php two'");
    $d = pdo();
    say($d->exec("commit prepared 'php two'"));
    wrong(fn () => $d->exec("commit prepared 'php two'"));
    for ($i = 100; $i < 140; $i++) {
        $c->prepare('insert into t values(?, 0)')->execute([$i]);
        must($c->query('select max(i) from t')->fetchColumn() == $i, "the row $i is not seen");
    }
});

on('errors', function () {
    $p = plain();
    pg_query($p, 'set search_path to php; create table p(id int primary key); create table t(id int primary key, n int not null, k int constraint small check(k < 10), f int references p); insert into t values(1,1)');
    foreach (['insert into t values(1,1)', 'insert into t values(2,null)', 'insert into t values(2,2,50)', 'insert into t values(2,2,2,9)', 'select 1/0', 'select * frm t', 'select nocol from t', "select 'x'::int", 'drop table nothere',
        "do \$\$begin raise exception 'own' using errcode='ABCDE', hint='h', detail='d'; end\$\$", 'select 1; bogus; select 2', 'begin; bogus', 'select 3', 'rollback', 'fetch nocursor', ''] as $q) {
        refused($p, $q);
    }
    pg_query($p, "do \$\$begin raise notice 'n'; raise warning 'w'; end\$\$");
    say(pg_last_notice($p, PGSQL_NOTICE_ALL));
    pg_prepare($p, 'q', 'select $1::int + 1');
    say(pg_fetch_row(pg_execute($p, 'q', [4])), pg_fetch_row(pg_query_params($p, 'select $1::text || $2', ['a', 'b'])));
    say(pg_prepare($p, 'q', 'select 1') === false, pg_last_error($p));
    say(pg_meta_data($p, 'php.t')['n'], pg_insert($p, 'php.t', ['id' => 7, 'n' => 8]) !== false, pg_select($p, 'php.t', ['id' => 7]), pg_update($p, 'php.t', ['n' => 9], ['id' => 7]), pg_delete($p, 'php.t', ['id' => 7]));
});

on('COPY', function (PDO $c) {
    $c->exec('create table t(i int primary key, s text)');
    say($c->pgsqlCopyFromArray('t', ["1\tone\n", "2\t\\N\n"]), $c->pgsqlCopyToArray('t'), $c->pgsqlCopyToArray('t', '|', '-'));
    wrong(fn () => $c->pgsqlCopyFromArray('t', ["1\tagain\n"]));
    $p = plain();
    pg_query($p, 'set search_path to php');
    pg_query($p, 'copy t from stdin');
    for ($i = 10; $i < 2000; $i++) {
        pg_put_line($p, "$i\trow\n");
    }
    pg_put_line($p, "\\.\n");
    say(pg_end_copy($p), pg_fetch_row(pg_query($p, 'select count(*) from t')), count(pg_copy_to($p, 't')), pg_copy_from($p, 't', ["5000\tx\n"]));
});

on('large objects', function (PDO $c) {
    $c->beginTransaction();
    $oid = $c->pgsqlLOBCreate();
    $f = $c->pgsqlLOBOpen($oid, 'w');
    fwrite($f, 'hello world');
    unset($f);
    $c->commit();
    $c->beginTransaction();
    $f = $c->pgsqlLOBOpen($oid, 'r');
    fseek($f, 6);
    say(stream_get_contents($f));
    unset($f);
    say($c->pgsqlLOBUnlink($oid));
    $c->commit();
    $c->beginTransaction();
    wrong(fn () => $c->pgsqlLOBOpen($oid, 'r'));
    $c->rollBack();
});

on('notifications', function (PDO $c) {
    $c->exec('listen php');
    $d = pdo();
    $d->exec("notify php, 'one'");
    $n = $c->pgsqlGetNotify(PDO::FETCH_ASSOC, 20000);
    say($n['message'], $n['payload'], $n['pid'] == $d->pgsqlGetPid());
    $c->exec("notify php, 'own'");
    $n = $c->pgsqlGetNotify(PDO::FETCH_ASSOC, 20000);
    say($n['payload'], $n['pid'] == $c->pgsqlGetPid(), $c->pgsqlGetNotify(PDO::FETCH_ASSOC, 200));
}, true);

on('cancel and ended backends', function (PDO $c) {
    $p = plain();
    pg_query($p, 'set search_path to php; create table t(i int)');
    foreach (['select pg_sleep(20)', 'insert into t select 1 from (select pg_sleep(20)) s'] as $q) {
        pg_send_query($p, $q);
        usleep(300000);
        say(pg_connection_busy($p), pg_cancel_query($p), pg_connection_busy($p), pg_fetch_row(pg_query($p, 'select count(*) from t')));
    }
    $c->beginTransaction();
    foreach (['select 1', 'insert into php.t values(1)'] as $q) {
        $v = plain();
        pg_query($v, $q);
        say($c->query('select pg_terminate_backend(' . pg_get_pid($v) . ')')->fetchColumn());
        usleep(300000);
        must(pg_query($v, 'select 1') === false, 'it lives');
        say(pg_connection_status($v));
    }
    $c->commit();
    $c->exec('set statement_timeout to 100');
    wrong(fn () => $c->exec('insert into t select 1 from (select pg_sleep(20)) s'));
}, true);

on('cursors, temporary tables and locks', function (PDO $c) {
    $d = pdo();
    $all = fn ($q, $on = null) => ($on ?? $c)->query($q)->fetchAll(PDO::FETCH_COLUMN);
    $c->beginTransaction();
    $c->exec('declare k scroll cursor with hold for select g from generate_series(1,100) g');
    say($all('fetch 3 from k'), $c->exec('move 50 in k'), $all('fetch backward 2 from k'), $c->commit(), $all('fetch last from k'));
    $c->exec('create temp table tt as select 1 a');
    say($all('table tt'), $all('select pg_try_advisory_lock(79)'), $all('select pg_try_advisory_lock(79)', $d), $all('select pg_advisory_unlock(79)'), $all('select pg_try_advisory_lock(79)', $d));
    wrong(fn () => $d->exec('table tt'));
    $c->exec('create sequence s');
    say($all("select nextval('s')"), $all("select currval('s')"), $all('select lastval()'), $c->exec('discard all'));
    wrong(fn () => $c->exec('select lastval()'));
}, true);
