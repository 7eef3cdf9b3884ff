# DBD::Pg, area by area as its own suite goes: attributes, placeholders, types, COPY, large objects, asynchronous queries.
use strict;
use warnings;
use DBI qw(:sql_types);
use DBD::Pg qw(:pg_types :async);
use Time::HiRes qw(sleep);
$| = 1;
binmode STDOUT, ':utf8';

my $pooled = ($ENV{POOLING} // '') eq 'transaction';
my $dsn = "dbi:Pg:dbname=$ENV{PGDATABASE};host=$ENV{PGHOST};port=$ENV{PGPORT};sslmode=disable";

sub connects { DBI->connect($dsn . ($_[1] // ''), $ENV{PGUSER}, $ENV{PGPASSWORD}, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, %{ $_[0] // {} } }) }
sub other { my $d = connects(@_); $d->do('set meridian.consistency to global') if $ENV{WAY} ne 'direct'; $d->do('set search_path to perl, public'); $d->commit unless $d->{AutoCommit}; $d }
sub show { my $v = shift; !defined $v ? 'undef' : ref $v eq 'ARRAY' ? '[' . join(',', map { show($_) } @$v) . ']' : ref $v eq 'HASH' ? '{' . join(',', map { "$_=" . show($v->{$_}) } sort keys %$v) . '}' : "$v" }
sub say_ { print join(' ', map { show($_) } @_), "\n" }
sub must { print "!! $_[1]\n" unless $_[0] }
sub wrong { my ($d, $f) = @_; if (eval { $f->(); 1 }) { must(0, 'no error'); return } my $e = ($d->state // '') . ' ' . ($d->errstr // $@); $e =~ s/\b[0-9]{4,}\b/N/g; say_($e, map { $d->pg_error_field($_) } qw(severity state primary detail hint statement_position context schema table column datatype constraint source_function)) }
sub case_ {
    my ($name, $f, %o) = @_;
    return if $pooled && $o{own} || @ARGV && $name !~ /$ARGV[0]/;
    print "== $name", $o{differs} ? " differs: $o{differs}" : '', "\n";
    eval {
        my $c = connects();
        $c->do('set client_min_messages to error; drop schema if exists perl cascade; create schema perl; reset client_min_messages; set search_path to perl, public');
        $f->($c);
        $c->disconnect;
        1;
    } or do { (my $e = $@) =~ s/\n/ | /g; print "!! $e\n" };
}

case_ 'what the server says' => sub {
    my $c = shift;
    say_($c->ping, $c->{pg_server_version} =~ /^15/ ? 1 : 0, $c->{pg_db}, $c->{pg_user}, $c->{pg_standard_conforming_strings}, $c->{pg_enable_utf8}, $c->{pg_protocol}, $c->{pg_default_port} > 0, $c->pg_ping, $c->state);
    my $d = connects({ AutoCommit => 0 }, ";options='-c work_mem=3MB';application_name=perl's");
    say_($d->selectrow_array(q{select current_setting('work_mem'), current_setting('application_name')}), $d->ping);
    $d->rollback;
    say_($d->ping, $d->{ReadOnly});
    $d->{ReadOnly} = 1;
    wrong($d, sub { $d->do('create table perl.no(i int)') });
    $d->rollback;
    $d->disconnect;
};

case_ 'catalogues' => sub {
    my $c = shift;
    $c->do(q{create table t(i serial primary key, s varchar(10) not null default 'x', n numeric(5,2)); create table r(t int references t(i)); create view v as select * from t; create index ix on t(s)});
    say_(map { [@{$_}[2, 3, 5, 6, 10, 12]] } @{ $c->column_info(undef, 'perl', 't', undef)->fetchall_arrayref });
    say_(map { [@{$_}[1, 2, 3]] } @{ $c->table_info(undef, 'perl', undef, undef)->fetchall_arrayref });
    say_($c->primary_key(undef, 'perl', 't'), map { [@{$_}[2, 3, 6, 7]] } @{ $c->foreign_key_info(undef, 'perl', 't', undef, undef, undef)->fetchall_arrayref });
    say_(map { [@{$_}[2, 3, 5, 8]] } @{ $c->statistics_info(undef, 'perl', 't', 0, 0)->fetchall_arrayref });
    $c->do(q{insert into t(s) values('a')});
    say_($c->last_insert_id(undef, 'perl', 't', undef), $c->quote("it's \\ \x{e4}"), $c->quote_identifier('perl', 'T "x"'));
};

case_ 'placeholders and types' => sub {
    my $c = shift;
    $c->do('create table t(i int, s text, b bytea, a int[], f float8, j jsonb, ok bool)');
    my $s = $c->prepare('insert into t values(?,?,?,?,?,?,?) returning *');
    for my $r ([1, "\x{e4}\x{20ac}", "\0\xff", [1, undef, 3], 1.5, '{"a": [1]}', 1], [undef, undef, undef, [], undef, undef, 0]) {
        $s->bind_param($_ + 1, $r->[$_], $_ == 2 ? { pg_type => PG_BYTEA } : $_ == 6 ? SQL_BOOLEAN : undef) for 0 .. 6;
        $s->execute;
        my @got = $s->fetchrow_array;
        say_(map { defined $_ && !ref $_ && /[\0\xff]/ && !utf8::is_utf8($_) ? unpack('H*', $_) : $_ } @got);
    }
    say_($s->{NUM_OF_PARAMS}, $s->{NAME}, $s->{TYPE}, $s->{pg_type}, $s->{NULLABLE}, $s->{pg_cmd_status}, $s->{pg_oid_status} // '');
    for my $q ('select $1::int + $2::int', 'select :a::int + :b::int') {
        my $p = $c->prepare($q);
        $q =~ /:a/ ? do { $p->bind_param(':a', 1); $p->bind_param(':b', 2); $p->execute } : $p->execute(1, 2);
        say_($p->fetchall_arrayref);
    }
    for my $v ("true", "'NaN'::float8", "1.10::numeric", "'y '::char(3)", "'{{a,b},{c,null}}'::text[]", "'[1,5)'::int4range", "row(1,'x')", "'1 day 02:03'::interval", "'2000-01-01 12:00+03'::timestamptz", "'\$1.50'::money", "null", "'(1,2)'::point") {
        for my $prepare (0, 1, 2) {
            my $p = $c->prepare("select $v, ?::int", { pg_server_prepare => $prepare > 0 ? 1 : 0, pg_prepare_now => $prepare == 2 });
            $p->execute(7);
            say_($v, $prepare, $p->fetchrow_arrayref, $p->{pg_type});
        }
    }
    wrong($c, sub { $c->selectall_arrayref('select ?::int', undef, 'x') });
    wrong($c, sub { $c->prepare('select 1; select ?', { pg_prepare_now => 1 }) });
    say_($c->selectall_hashref('select i, s from t where i is not null', 'i'), $c->selectcol_arrayref('select g from generate_series(1,3) g'));
};

case_ 'a plan that must not change' => sub {
    my $c = shift;
    $c->do('create table t(i int); insert into t values(1)');
    my $p = $c->prepare('select * from t where i = ?', { pg_switch_prepared => 1 });
    $p->execute(1) for 1 .. 4;
    $c->do('alter table t add late int default 3');
    my @r = eval { $p->execute(1); $p->fetchrow_array };
    say_(scalar(@r), $c->state);
}, differs => 'a prepared statement whose table has changed may work where PostgreSQL says *cached plan must not change result type*';

case_ 'blocks' => sub {
    my $c = shift;
    $c->do('create table t(i int primary key)');
    $c->{AutoCommit} = 0;
    $c->do('insert into t values(1)');
    say_($c->pg_savepoint('a'), $c->ping);
    wrong($c, sub { $c->do('insert into t values(1)') });
    say_($c->ping, $c->pg_rollback_to('a'), $c->ping, $c->pg_release('a'));
    $c->commit;
    $c->do('delete from t');
    $c->rollback;
    say_($c->selectall_arrayref('select * from t'));
    $c->rollback;
    $c->{AutoCommit} = 1;
    $c->begin_work;
    $c->do('insert into t values(2)');
    $c->commit;
    my $d = other({ AutoCommit => 0 });
    say_($d->selectrow_array('select count(*) from t'));
    $d->rollback;
    $c->begin_work;
    $c->do('insert into t values(9)');
    say_($c->do("prepare transaction 'perl two'"));
    $d->{AutoCommit} = 1;
    say_($d->do("commit prepared 'perl two'"), $c->selectrow_array('select count(*) from t'));
    $c->{AutoCommit} = 1;
    $c->disconnect;
    wrong($d, sub { $d->do("commit prepared 'perl two'") });
    for my $i (100 .. 140) {
        $d->do('insert into t values(?)', undef, $i);
        must($d->selectrow_array('select max(i) from t') == $i, "the row $i is not seen");
    }
    my ($st, @rows) = ($d->prepare('insert into t values(?)'));
    $d->begin_work;
    say_(eval { scalar $st->execute_array({ ArrayTupleStatus => \my @status }, [200 .. 205, 200]) } // 'failed', $d->state);
    $d->rollback;
};

case_ 'errors' => sub {
    my $c = shift;
    $c->do('create table p(id int primary key); create table t(id int primary key, n int not null, k int constraint small check(k < 10), f int references p); insert into t values(1,1)');
    for my $q ('insert into t values(1,1)', 'insert into t values(2,null)', 'insert into t values(2,2,50)', 'insert into t values(2,2,2,9)', 'select 1/0', 'select * frm t', 'select nocol from t', "select 'x'::int", 'drop table nothere', "do \$\$begin raise exception 'own' using errcode='ABCDE', hint='h', detail='d'; end\$\$", 'begin; bogus', 'rollback', 'fetch nocursor') {
        eval { $c->do($q); say_($q, $c->{pg_last} // '') ; 1 } or wrong($c, sub { $c->do($q) });
    }
    $c->do('rollback');
    for my $v (qw(TERSE VERBOSE DEFAULT)) {
        local $c->{pg_errorlevel} = { TERSE => 0, DEFAULT => 1, VERBOSE => 2 }->{$v};
        eval { $c->do('select nothing') };
        (my $e = $c->errstr) =~ s/\w+\.c:\d+/FILE/;
        say_($e);
    }
    my @warned;
    local $SIG{__WARN__} = sub { push @warned, @_ };
    $c->{PrintWarn} = 1;
    $c->do("do \$\$begin raise notice 'n'; raise warning 'w'; end\$\$");
    say_(map { s/ at .*//sr } @warned);
};

case_ 'COPY' => sub {
    my $c = shift;
    $c->do('create table t(i int primary key, s text)');
    $c->do('copy t from stdin');
    $c->pg_putcopydata("$_\trow $_\n") for 1 .. 2000;
    say_($c->pg_putcopyend, $c->selectrow_array('select count(*), max(s) from t'));
    $c->do('copy (select * from t order by i limit 3) to stdout csv');
    my ($line, @got);
    push @got, $line while $c->pg_getcopydata($line) >= 0;
    say_(@got);
    $c->do('copy t from stdin');
    $c->pg_putcopydata("1\tagain\n");
    wrong($c, sub { $c->pg_putcopyend });
    say_($c->selectrow_array('select count(*) from t'));
    $c->do('copy t to stdout (format binary)');
    my $n = 0;
    my $all = '';
    while ((my $k = $c->pg_getcopydata($line)) >= 0) { $all .= $line; $n++ }
    say_($n > 0, length $all);
};

case_ 'notifications' => sub {
    my $c = shift;
    my $d = other();
    $c->do('listen perl');
    $d->do("notify perl, 'one'");
    my $n;
    for (1 .. 200) { last if $n = $c->pg_notifies; sleep 0.1 }
    say_($n && [$n->[0], $n->[1] == $d->{pg_pid}, $n->[2]]);
    $c->do("select pg_notify('perl', 'own')");
    $n = $c->pg_notifies;
    say_($n && [$n->[0], $n->[1] == $c->{pg_pid}, $n->[2]], $c->pg_notifies);
}, own => 1;

case_ 'large objects' => sub {
    my $c = shift;
    $c->{AutoCommit} = 0;
    my $o = $c->pg_lo_creat($c->{pg_INV_WRITE} | $c->{pg_INV_READ});
    my $f = $c->pg_lo_open($o, $c->{pg_INV_WRITE} | $c->{pg_INV_READ});
    my $buf = 'hello world';
    say_($c->pg_lo_write($f, $buf, length $buf), $c->pg_lo_lseek($f, 6, 0), $c->pg_lo_tell($f));
    my $back = '';
    say_($c->pg_lo_read($f, $back, 20), $back, $c->pg_lo_truncate($f, 3), $c->pg_lo_close($f));
    $c->commit;
    $f = $c->pg_lo_open($o, $c->{pg_INV_READ});
    say_($c->pg_lo_read($f, $back, 20), $back);
    $c->commit;
    say_($c->pg_lo_unlink($o));
    $c->commit;
    $c->{AutoCommit} = 1;
};

case_ 'asynchronous queries and cancel' => sub {
    my $c = shift;
    $c->do('create table t(i int)');
    my $rows = $c->do('select 1, pg_sleep(0.2)', { pg_async => PG_ASYNC });
    say_($c->pg_ready, $c->pg_result);
    for my $q ('select pg_sleep(20)', 'insert into t select 1 from (select pg_sleep(20)) s', 'select pg_sleep(20), pg_advisory_unlock_all()') {
        $c->do($q, { pg_async => PG_ASYNC });
        sleep 0.3;
        say_($q, $c->pg_cancel ? 1 : 0, $c->state);
        say_($c->selectrow_array('select 2'));
    }
    $c->do('select pg_sleep(20)', { pg_async => PG_ASYNC });
    say_($c->do('select 3', { pg_async => PG_OLDQUERY_CANCEL }), $c->selectrow_array('select count(*) from t'));
    my $d = other({ AutoCommit => 0 });
    my $e = connects();
    $e->selectrow_array('select 1');
    say_($d->selectrow_array('select pg_terminate_backend(?)', undef, $e->{pg_pid}));
    $d->commit;
    sleep 0.3;
    must(!eval { $e->do('select 1'); 1 }, 'it lives');
    say_($e->ping);
    $c->do('set statement_timeout to 100');
    wrong($c, sub { $c->do('insert into t select 1 from (select pg_sleep(20)) s') });
}, own => 1;

case_ 'cursors, temporary tables and locks' => sub {
    my $c = shift;
    my $d = other();
    $c->begin_work;
    $c->do('declare k scroll cursor with hold for select g from generate_series(1,100) g');
    say_($c->selectcol_arrayref('fetch 3 from k'), $c->do('move 50 in k'), $c->selectcol_arrayref('fetch backward 2 from k'));
    $c->commit;
    say_($c->selectcol_arrayref('fetch last from k'), $c->do('close k'));
    $c->do('create temp table tt as select 1 a');
    say_($c->selectall_arrayref('table tt'), $c->selectrow_array('select pg_try_advisory_lock(77)'), $d->selectrow_array('select pg_try_advisory_lock(77)'), $c->selectrow_array('select pg_advisory_unlock(77)'), $d->selectrow_array('select pg_try_advisory_lock(77)'));
    wrong($d, sub { $d->do('table tt') });
    $c->do('create sequence s');
    say_($c->selectrow_array(q{select nextval('s'), currval('s'), lastval()}));
    $c->do('prepare q as select $1::int + 1');
    say_($c->selectrow_array('execute q(4)'), $c->do('deallocate q'), $c->do('discard all'));
    wrong($c, sub { $c->do('select lastval()') });
}, own => 1;
