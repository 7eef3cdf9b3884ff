import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;
import java.util.regex.Pattern;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGProperty;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PSQLException;
import org.postgresql.util.PSQLWarning;
import org.postgresql.util.ServerErrorMessage;
import org.postgresql.xa.PGXADataSource;

/** PostgreSQL's JDBC driver, area by area as its own suite goes. */
public class Cases {
  interface Case { void run(Connection c) throws Exception; }

  static final String WAY = System.getenv().getOrDefault("WAY", "direct");
  static final String URL = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
  static final boolean POOLED = "transaction".equals(System.getenv("POOLING"));
  static String only = ".";

  static void say(Object... what) {
    StringBuilder b = new StringBuilder();
    for (Object w : what) b.append(b.length() > 0 ? " " : "").append(show(w));
    System.out.println(b.toString().replaceAll("@[0-9a-f]{5,8}\\b", "@"));
  }

  static String show(Object w) {
    if (w instanceof Object[]) return Arrays.deepToString((Object[]) w);
    if (w instanceof byte[]) return Arrays.toString((byte[]) w);
    if (w instanceof int[]) return Arrays.toString((int[]) w);
    return String.valueOf(w);
  }

  static void must(boolean ok, String what) { if (!ok) System.out.println("!! " + what); }

  static Connection connect(String... more) throws SQLException {
    Properties p = new Properties();
    p.setProperty("user", System.getenv("PGUSER"));
    p.setProperty("password", System.getenv("PGPASSWORD"));
    p.setProperty("sslmode", "disable");
    p.setProperty("currentSchema", "jdbc,public");
    for (int i = 0; i < more.length; i += 2) p.setProperty(more[i], more[i + 1]);
    return DriverManager.getConnection(URL, p);
  }

  static Connection other() throws SQLException { return connect("options", "-c meridian.consistency=global"); }

  static void test(String name, Case fn) throws Exception { test(name, true, fn); }

  static void test(String name, boolean pooled, Case fn) throws Exception {
    if (POOLED && !pooled || !Pattern.compile(only).matcher(name).find()) return;
    System.out.println("== " + name);
    try (Connection c = connect()) {
      run(c, "set client_min_messages to error; drop schema if exists jdbc cascade; create schema jdbc; reset client_min_messages");
      c.clearWarnings();
      fn.run(c);
    } catch (Throwable e) {
      must(false, e.toString().replace("\n", " | "));
    }
  }

  static int run(Connection c, String sql) throws SQLException {
    try (Statement s = c.createStatement()) { s.execute(sql); return s.getUpdateCount(); }
  }

  static String rows(ResultSet r) throws SQLException {
    StringBuilder b = new StringBuilder("[");
    int n = r.getMetaData().getColumnCount();
    while (r.next()) {
      b.append("(");
      for (int i = 1; i <= n; i++) b.append(i > 1 ? "," : "").append(show(r.getObject(i) instanceof Array ? r.getString(i) : r.getObject(i)));
      b.append(")");
    }
    return b.append("]").toString();
  }

  static String rows(Connection c, String sql, Object... args) throws SQLException {
    try (PreparedStatement p = c.prepareStatement(sql)) {
      for (int i = 0; i < args.length; i++) p.setObject(i + 1, args[i]);
      return rows(p.executeQuery());
    }
  }

  static void wrong(java.util.concurrent.Callable<?> fn) throws Exception {
    try {
      Object got = fn.call();
      must(false, "no error: " + got);
    } catch (SQLException e) {
      say(fields(e));
    }
  }

  static String fields(SQLException e) {
    ServerErrorMessage m = e instanceof PSQLException ? ((PSQLException) e).getServerErrorMessage() : e instanceof PSQLWarning ? ((PSQLWarning) e).getServerErrorMessage() : null;
    if (m == null) return e.getClass().getSimpleName() + " " + e.getSQLState() + " " + String.valueOf(e.getMessage()).replaceAll("localhost|127.0.0.1|:[0-9]+", "");
    return String.join("|", "" + m.getSeverity(), m.getSQLState(), "" + m.getMessage(), "" + m.getDetail(), "" + m.getHint(), "" + m.getPosition(), "" + m.getWhere(), "" + m.getSchema(),
        "" + m.getTable(), "" + m.getColumn(), "" + m.getDatatype(), "" + m.getConstraint(), "" + m.getRoutine(), "" + (m.getLine() > 0), "" + m.getInternalQuery());
  }

  public static void main(String[] args) throws Exception {
    if (args.length > 0) only = args[0];
    connecting();
    statements();
    types();
    cursors();
    batches();
    transactions();
    theRest();
  }

  static void connecting() throws Exception {
    test("properties", c -> {
      String[][] all = {{"ApplicationName", "mine"}, {"options", "-c work_mem=3MB -c geqo=off"}, {"preferQueryMode", "simple"}, {"preferQueryMode", "extendedForPrepared"}, {"preferQueryMode", "extendedCacheEverything"},
          {"readOnly", "true"}, {"readOnlyMode", "always"}, {"prepareThreshold", "1"}, {"binaryTransfer", "false"}, {"targetServerType", "primary"}, {"targetServerType", "any"}, {"targetServerType", "preferSecondary"},
          {"assumeMinServerVersion", "9.4"}, {"allowEncodingChanges", "true"}, {"stringtype", "unspecified"}, {"defaultRowFetchSize", "2"}, {"autosave", "always"}, {"loginTimeout", "20"}, {"gssEncMode", "prefer"}, {"tcpKeepAlive", "true"}};
      for (String[] more : all) {
        try (Connection d = connect(more)) {
          say(more, rows(d, "select current_setting('application_name'), current_setting('work_mem'), current_setting('geqo'), current_setting('search_path'), current_setting('extra_float_digits'), current_setting('DateStyle'), current_setting('TimeZone')"), d.isReadOnly(), d.isValid(2));
        }
      }
      wrong(() -> connect("targetServerType", "secondary"));
      wrong(() -> connect("options", "-c work_mem=much"));
    });
    test("TLS and channel binding", c -> {
      for (String mode : new String[] {"allow", "prefer", "require", "verify-ca"}) {
        if (WAY.equals("direct")) { say(mode, 1); continue; }
        try (Connection d = connect("sslmode", mode, "sslrootcert", System.getenv("CA"))) { say(mode, d.createStatement().executeQuery("select 1").next() ? 1 : 0); }
      }
    });
  }

  static void statements() throws Exception {
    test("statements and their counts", c -> {
      for (String q : new String[] {"create table t(i int, s text)", "insert into t values(1,'a'),(2,'b')", "select * from t", "update t set i=i+1", "delete from t where i=2", "select 1; select 2", "insert into t values(5,'c') returning i",
          "", ";", "-- nothing", "do $$begin end$$", "begin; insert into t values(7,'d'); commit", "truncate t", "vacuum t", "explain (costs off) select 1", "show work_mem", "set work_mem='5MB'", "select 1/0", "select 1; select 1/0; select 3"}) {
        try (Statement s = c.createStatement()) {
          boolean r = s.execute(q);
          do { say(q, r ? rows(s.getResultSet()) : s.getUpdateCount()); } while ((r = s.getMoreResults()) || s.getUpdateCount() != -1);
        } catch (SQLException e) { say(q, fields(e)); }
      }
    });
    test("error fields", c -> {
      run(c, "create table p(id int primary key); create table t(id int primary key, n int not null, u int unique, k int constraint small check(k < 10), f int references p);"
          + "create domain pos as int constraint above check(value>0); insert into t values(1,1,1,1,null); create function f(int) returns int language plpgsql as $$begin return 1/$1; end$$;"
          + "create function raises() returns void language plpgsql as $$begin raise exception 'own %', 5 using errcode='ABCDE', hint='h', detail='d', schema='s', table='t', column='c', constraint='k', datatype='y'; end$$");
      for (String q : new String[] {"insert into t values(1,1)", "insert into t values(2,null)", "insert into t values(2,2,1)", "insert into t values(2,2,2,50)", "insert into t values(2,2,2,2,99)", "select 'x'::int", "select (-1)::pos", "select f(0)", "select raises()",
          "select * frm t", "select * from nothere", "select nocol from t", "create table t(i int)", "vacuum nothere", "fetch nocursor"}) {
        say(q);
        wrong(() -> run(c, q));
        wrong(() -> c.prepareStatement(q).execute());
      }
    });
    test("prepared statements", c -> {
      run(c, "create table t(a int, b text); insert into t select g, g::text from generate_series(1,10) g");
      try (PreparedStatement p = c.prepareStatement("select * from t where a <= ? order by a")) {
        for (int i = 1; i < 9; i++) { p.setInt(1, i); say(rows(p.executeQuery())); }
        say(p.getMetaData().getColumnTypeName(2), p.getParameterMetaData().getParameterTypeName(1));
        run(c, "alter table t add c int default 7");
        p.setInt(1, 2);
        say(rows(p.executeQuery()));
        run(c, "deallocate all");
        try { say(rows(p.executeQuery())); } catch (SQLException e) { say(fields(e)); }
        run(c, "discard all");
        run(c, "set search_path to jdbc");
        try { say(rows(p.executeQuery())); } catch (SQLException e) { say(fields(e)); }
      }
      c.setAutoCommit(false);
      try (PreparedStatement p = c.prepareStatement("select * from t where a = ?")) {
        for (int i = 1; i < 8; i++) { p.setInt(1, i); p.executeQuery(); }
        c.commit();
        try (Connection d = other()) { run(d, "alter table t add d int default 8"); }
        p.setInt(1, 1);
        try { p.executeQuery(); } catch (SQLException e) { must(e.getMessage().contains("cached plan"), "" + e); } // an exception
      }
      c.rollback();
      for (int i = 0; i < 400; i++) must(rows(c, "select " + i + " + ?", 1).equals("[(" + (i + 1) + ")]"), "another sum");
    });
    test("autosave", c -> {
      for (String mode : new String[] {"always", "conservative", "never"}) {
        try (Connection d = connect("autosave", mode, "prepareThreshold", "1")) {
          run(d, "drop table if exists t; create table t(a int); insert into t values(1)");
          d.setAutoCommit(false);
          PreparedStatement p = d.prepareStatement("select * from t");
          p.executeQuery(); p.executeQuery();
          run(d, "insert into t values(2)");
          try { run(d, "select 1/0"); } catch (SQLException e) { say(mode, e.getSQLState()); }
          try { run(d, "insert into t values(3)"); d.commit(); } catch (SQLException e) { say(mode, e.getSQLState()); d.rollback(); }
          run(d, "alter table t add b int");
          try { say(mode, rows(p.executeQuery())); } catch (SQLException e) { say(mode, fields(e)); }
          d.rollback();
          say(mode, rows(d, "select a from t order by a"));
        }
      }
    });
    test("a read after each write", c -> {
      run(c, "create table t(i int primary key, n int)");
      for (int i = 0; i < 60; i++) {
        try (PreparedStatement p = c.prepareStatement("insert into t values(?,0)")) { p.setInt(1, i); p.executeUpdate(); }
        must(rows(c, "select count(*) from t").equals("[(" + (i + 1) + ")]"), "the row " + i + " is not seen");
        c.setAutoCommit(false);
        run(c, "update t set n=n+1 where i=" + i);
        c.commit();
        c.setReadOnly(true);
        must(rows(c, "select n from t where i=?", i).equals("[(1)]"), "the update of " + i + " is not seen");
        c.commit();
        c.setReadOnly(false);
        c.setAutoCommit(true);
      }
    });
  }

  static void types() throws Exception {
    test("values", c -> {
      String[] v = {"true", "1::int2", "2::int4", "3::int8", "1.5::float4", "1e300::float8", "1.10::numeric", "'NaN'::numeric", "'ä€𝄞'::text", "'y '::char(3)", "'\\x00ff'::bytea", "'01234567-89ab-cdef-0123-456789abcdef'::uuid", "'{\"a\":1}'::jsonb",
          "'2024-02-29'::date", "'2000-01-01 12:00:00.5'::timestamp", "'2000-01-01 12:00+03'::timestamptz", "'12:00'::time", "'1 day 2:03:04.5'::interval", "'10.0.0.1/24'::inet", "'(1,2)'::point", "'101'::bit(3)", "'$1.50'::money", "'{1,null,3}'::int[]",
          "'{{a,b},{c,null}}'::text[]", "'[1,5)'::int4range", "row(1,'x',null)", "'<a/>'::xml", "null::int", "'infinity'::timestamp"};
      for (String x : v) {
        try (PreparedStatement p = c.prepareStatement("select " + x)) {
          for (int i = 0; i < 7; i++) {
            ResultSet r = p.executeQuery();
            r.next();
            if (i == 0 || i == 6) say(x, r.getString(1), r.getObject(1) == null ? null : r.getObject(1).getClass().getName(), r.getMetaData().getColumnTypeName(1), r.getMetaData().getColumnClassName(1));
          }
        }
      }
      Object[] a = {1, 2L, (short) 3, 1.5f, 2.5d, new BigDecimal("1.10"), "text", true, new byte[] {0, -1}, java.sql.Date.valueOf("2000-01-01"), Timestamp.valueOf("2000-01-01 12:00:00"), Time.valueOf("12:00:00"), UUID.fromString("01234567-89ab-cdef-0123-456789abcdef"),
          java.time.LocalDate.of(2024, 2, 29), java.time.LocalDateTime.of(2000, 1, 1, 1, 1), java.time.OffsetDateTime.parse("2000-01-01T00:00:00Z")};
      for (Object x : a) {
        try { say(x.getClass().getSimpleName(), rows(c, "select ?", x), rows(c, "select pg_typeof(?)::text", x)); } catch (SQLException e) { say(x.getClass().getSimpleName(), fields(e)); }
      }
      try (PreparedStatement p = c.prepareStatement("select ?::int[], ?::text[]")) {
        p.setArray(1, c.createArrayOf("int4", new Object[] {1, null, 3}));
        p.setArray(2, c.createArrayOf("text", new Object[] {"a\"", null}));
        ResultSet r = p.executeQuery();
        r.next();
        say((Object[]) r.getArray(1).getArray(), (Object[]) r.getArray(2).getArray());
      }
      run(c, "create type mood as enum('sad','ok'); create type pair as (a int, m mood); create table o(m mood, p pair, ms mood[])");
      run(c, "insert into o values('ok', (1,'sad'), '{ok,sad}')");
      say(rows(c, "select * from o"), rows(c, "select * from o where m = ?::mood", "ok"));
      ResultSetMetaData md = c.prepareStatement("select * from o").getMetaData();
      for (int i = 1; i <= 3; i++) say(md.getColumnName(i), md.getColumnTypeName(i), md.getColumnType(i), md.getTableName(i), md.isNullable(i));
    });
    test("metadata", c -> {
      run(c, "create table t(id serial primary key, n varchar(10) not null default 'x', u int unique, r int); create table s(t int references t(id) on delete cascade); create index i on t(n, u); create view v as select * from t;"
          + "create type mood as enum('a'); create function f(a int, out b text) language sql as 'select $1::text'; create procedure pr(a int) language sql as 'select 1'; create sequence sq; comment on table t is 'remarks'; grant select on t to public");
      DatabaseMetaData m = c.getMetaData();
      say(m.getDatabaseProductName(), m.getDatabaseMajorVersion(), m.getDriverName(), m.getUserName(), m.supportsBatchUpdates(), m.getDefaultTransactionIsolation(), m.getMaxConnections(), m.isReadOnly());
      say(rows(m.getTables(null, "jdbc", "%", null)));
      say(rows(m.getColumns(null, "jdbc", "t", "%")));
      say(rows(m.getPrimaryKeys(null, "jdbc", "t")), rows(m.getImportedKeys(null, "jdbc", "s")), rows(m.getExportedKeys(null, "jdbc", "t")), rows(m.getCrossReference(null, "jdbc", "t", null, "jdbc", "s")));
      say(rows(m.getIndexInfo(null, "jdbc", "t", false, true)));
      say(rows(m.getFunctions(null, "jdbc", "%")).replaceAll("_[0-9]+", "_N"), rows(m.getFunctionColumns(null, "jdbc", "%", "%")).replaceAll("_[0-9]+", "_N"), rows(m.getProcedures(null, "jdbc", "%")).replaceAll("_[0-9]+", "_N"));
      say(rows(m.getUDTs(null, "jdbc", "%", null)), rows(m.getTablePrivileges(null, "jdbc", "t")), rows(m.getColumnPrivileges(null, "jdbc", "t", "id")), rows(m.getBestRowIdentifier(null, "jdbc", "t", 0, false)), rows(m.getVersionColumns(null, "jdbc", "t")));
      say(rows(m.getSchemas(null, "jdbc")), rows(m.getCatalogs()).contains("conduit"), rows(m.getTableTypes()), rows(m.getTypeInfo()).length() > 1000, rows(m.getClientInfoProperties()), m.getSQLKeywords().length(), m.getMaxColumnNameLength());
    });
  }

  static void cursors() throws Exception {
    test("fetch sizes", c -> {
      run(c, "create table t as select g i from generate_series(1,1000) g");
      c.setAutoCommit(false);
      for (int size : new int[] {1, 7, 100, 5000}) {
        try (Statement s = c.createStatement()) {
          s.setFetchSize(size);
          ResultSet r = s.executeQuery("select i from t order by i");
          long sum = 0;
          int n = 0;
          while (r.next() && n++ < 500) { sum += r.getInt(1); if (n == 50) run(c, "insert into t values(0)"); }
          say(size, sum);
        }
      }
      try (PreparedStatement a = c.prepareStatement("select i from t where i > ? order by i"); PreparedStatement b = c.prepareStatement("select i from t where i < ? order by i desc")) {
        a.setFetchSize(3); b.setFetchSize(4); a.setInt(1, 10); b.setInt(1, 900);
        ResultSet x = a.executeQuery(), y = b.executeQuery();
        long sum = 0;
        for (int i = 0; i < 40; i++) { x.next(); y.next(); sum += 1000L * x.getInt(1) + y.getInt(1); }
        say(sum);
        c.commit();
        wrong(() -> { while (x.next()) { } return 1; });
      }
      try (Statement s = c.createStatement()) {
        s.setFetchSize(10);
        wrong(() -> { ResultSet r = s.executeQuery("select 1/(g-25) from generate_series(1,100) g"); while (r.next()) { } return 1; });
      }
      c.rollback();
      c.setAutoCommit(true);
      c.setReadOnly(true);
      c.setAutoCommit(false);
      try (Statement s = c.createStatement()) {
        s.setFetchSize(10);
        ResultSet r = s.executeQuery("select i from t where i>0 order by i");
        int n = 0;
        while (r.next()) n++;
        say(n);
      }
      c.commit();
      try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
        ResultSet r = s.executeQuery("select i from t where i>0 order by i");
        say(r.last(), r.getRow(), r.absolute(10), r.getInt(1), r.previous(), r.getInt(1));
      }
      c.commit();
    });
    test("ref cursors and calls", c -> {
      run(c, "create table t(i int primary key); insert into t select generate_series(1,5); create function rc() returns refcursor language plpgsql as $$declare r refcursor; begin open r for select i from t order by i; return r; end$$;"
          + "create function plus(a int, inout b int) language sql as 'select a+b'; create procedure pr(a int) language plpgsql as $$begin insert into t values(a); commit; insert into t values(a+1); end$$");
      try (CallableStatement s = c.prepareCall("{? = call plus(?, ?)}")) { s.registerOutParameter(1, Types.INTEGER); s.setInt(2, 4); s.setInt(3, 5); s.execute(); say(s.getInt(1)); } catch (SQLException e) { say(fields(e)); }
      try (CallableStatement s = c.prepareCall("call pr(?)")) { s.setInt(1, 100); s.execute(); }
      say(rows(c, "select count(*) from t"));
      c.setAutoCommit(false);
      try (CallableStatement s = c.prepareCall("{? = call rc()}")) { s.registerOutParameter(1, Types.OTHER); s.execute(); say(rows((ResultSet) s.getObject(1))); }
      c.commit();
      try (Statement s = c.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE)) {
        ResultSet r = s.executeQuery("select i from t where i=3");
        r.next(); r.updateInt(1, 33); r.updateRow();
        r.moveToInsertRow(); r.updateInt(1, 44); r.insertRow();
      }
      c.commit();
      say(rows(c, "select i from t order by i"));
      c.commit();
    });
  }

  static void batches() throws Exception {
    test("batches", c -> {
      for (String rewrite : new String[] {"false", "true"}) {
        try (Connection d = connect("reWriteBatchedInserts", rewrite)) {
          run(d, "drop table if exists t; create table t(id serial, i int primary key, s text)");
          try (PreparedStatement p = d.prepareStatement("insert into t(i,s) values(?,?)")) {
            for (int i = 0; i < 2000; i++) { p.setInt(1, i); p.setString(2, "s" + i); p.addBatch(); }
            int[] n = p.executeBatch();
            say(rewrite, n.length, rows(d, "select count(*), sum(i) from t"));
            for (int i : new int[] {5000, 5001, 7, 5002}) { p.setInt(1, i); p.setString(2, "x"); p.addBatch(); }
            try { p.executeBatch(); must(false, "no error"); } catch (BatchUpdateException e) { say(rewrite, e.getUpdateCounts(), fields(e.getNextException() == null ? e : (SQLException) e.getNextException())); }
            say(rewrite, rows(d, "select count(*) from t"));
          }
          d.setAutoCommit(false);
          try (PreparedStatement p = d.prepareStatement("insert into t(i,s) values(?,?)", Statement.RETURN_GENERATED_KEYS)) {
            for (int i = 0; i < 5; i++) { p.setInt(1, 9000 + i); p.setString(2, null); p.addBatch(); }
            p.executeBatch();
            ResultSet k = p.getGeneratedKeys();
            int n = 0;
            while (k.next()) n++;
            say(rewrite, n);
          }
          try (PreparedStatement p = d.prepareStatement("update t set s=? where i=?")) { for (int i = 0; i < 300; i++) { p.setString(1, "u"); p.setInt(2, i); p.addBatch(); } say(rewrite, Arrays.stream(p.executeBatch()).sum()); }
          d.commit();
          try (Statement s = d.createStatement()) {
            s.addBatch("insert into t(i) values(20000)"); s.addBatch("update t set s='q' where i<3"); s.addBatch("create table z(i int)"); s.addBatch("drop table z");
            say(rewrite, s.executeBatch());
            s.addBatch("select 1");
            try { say(rewrite, s.executeBatch()); } catch (BatchUpdateException e) { say(rewrite, e.getSQLState()); }
          }
          d.rollback();
        }
      }
      run(c, "drop table if exists g; create table g(id bigserial primary key, u uuid default gen_random_uuid(), v int)");
      try (PreparedStatement p = c.prepareStatement("insert into g(v) values(?)", new String[] {"id", "v"})) { p.setInt(1, 5); p.executeUpdate(); say(rows(p.getGeneratedKeys())); }
      try (Statement s = c.createStatement()) { s.executeUpdate("update g set v=6", Statement.RETURN_GENERATED_KEYS); ResultSet r = s.getGeneratedKeys(); say(r.next(), r.getInt("v")); }
    });
    test("COPY", c -> {
      run(c, "create table t(i int primary key, s text)");
      CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
      say(m.copyIn("copy t from stdin", new StringReader("1\ta\n2\tb\n")));
      StringBuilder b = new StringBuilder();
      for (int i = 10; i < 5000; i++) b.append(i).append(",row\n");
      say(m.copyIn("copy t from stdin csv", new StringReader(b.toString())));
      StringWriter w = new StringWriter();
      say(m.copyOut("copy (select * from t order by i limit 2) to stdout", w), w);
      ByteArrayOutputStream o = new ByteArrayOutputStream();
      say(m.copyOut("copy t to stdout (format binary)", o), o.size());
      wrong(() -> m.copyIn("copy t from stdin", new StringReader("1\tdup\n")));
      wrong(() -> m.copyIn("copy t from stdin", new StringReader("x\n")));
      wrong(() -> m.copyOut("copy nowhere to stdout", new StringWriter()));
      wrong(() -> m.copyOut("copy (select 1/(i-50) from t order by i) to stdout", new StringWriter()));
      org.postgresql.copy.CopyIn in = m.copyIn("copy t from stdin");
      in.writeToCopy("9000\tx\n".getBytes(), 0, 7);
      in.cancelCopy();
      run(c, "truncate t");
      say(m.copyIn("copy t from stdin (format binary)", new ByteArrayInputStream(o.toByteArray())), rows(c, "select count(*), sum(i) from t"));
    });
  }

  static void transactions() throws Exception {
    test("transactions", c -> {
      run(c, "create table t(i int)");
      c.setAutoCommit(false);
      run(c, "insert into t values(1)");
      Savepoint s = c.setSavepoint("a");
      run(c, "insert into t values(2)");
      c.rollback(s);
      Savepoint u = c.setSavepoint();
      run(c, "insert into t values(3)");
      c.releaseSavepoint(u);
      c.commit();
      say(rows(c, "select i from t order by i"));
      wrong(() -> run(c, "bogus"));
      wrong(() -> run(c, "select 1"));
      try { c.commit(); say("committed"); } catch (SQLException e) { say(fields(e)); }
      c.rollback();
      for (int level : new int[] {Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE}) {
        c.setTransactionIsolation(level);
        for (boolean ro : new boolean[] {false, true}) {
          c.setReadOnly(ro);
          say(level, ro, c.getTransactionIsolation(), rows(c, "select current_setting('transaction_isolation'), current_setting('transaction_read_only'), count(*) from t"));
          if (ro) wrong(() -> run(c, "insert into t values(5)"));
          c.rollback();
          c.setReadOnly(false);
        }
      }
    });
    test("two phases", c -> {
      PGXADataSource ds = new PGXADataSource();
      ds.setUrl(URL + "?sslmode=disable&currentSchema=jdbc");
      ds.setUser(System.getenv("PGUSER"));
      ds.setPassword(System.getenv("PGPASSWORD"));
      run(c, "create table t(i int)");
      javax.sql.XAConnection x = ds.getXAConnection();
      Connection d = x.getConnection();
      javax.transaction.xa.XAResource r = x.getXAResource();
      for (boolean commits : new boolean[] {true, false}) {
        javax.transaction.xa.Xid id = new Xid(commits ? 1 : 2);
        r.start(id, javax.transaction.xa.XAResource.TMNOFLAGS);
        run(d, "insert into t values(1)");
        r.end(id, javax.transaction.xa.XAResource.TMSUCCESS);
        say(r.prepare(id), r.recover(javax.transaction.xa.XAResource.TMSTARTRSCAN | javax.transaction.xa.XAResource.TMENDRSCAN).length);
        if (commits) r.commit(id, false); else r.rollback(id);
        say(rows(d, "select count(*) from t"));
      }
      x.close();
    });
  }

  static class Xid implements javax.transaction.xa.Xid {
    final byte b;
    Xid(int b) { this.b = (byte) b; }
    public int getFormatId() { return 7; }
    public byte[] getGlobalTransactionId() { return new byte[] {b, 1}; }
    public byte[] getBranchQualifier() { return new byte[] {b, 2}; }
  }

  static void theRest() throws Exception {
    test("notifications and warnings", false, c -> {
      try (Connection d = other()) {
        run(c, "listen jdbc");
        run(d, "notify jdbc, 'one'");
        run(d, "select pg_notify('jdbc', 'two')");
        run(c, "notify jdbc, 'own'");
        List<String> got = new ArrayList<>();
        PGConnection p = c.unwrap(PGConnection.class);
        for (int i = 0; i < 50 && got.size() < 3; i++) {
          PGNotification[] n = p.getNotifications(100);
          if (n != null) for (PGNotification x : n) got.add(x.getName() + " " + x.getParameter() + " " + (x.getPID() == d.unwrap(PGConnection.class).getBackendPID()) + " " + (x.getPID() == p.getBackendPID()));
        }
        say(got);
      }
      try (Statement s = c.createStatement()) {
        s.execute("do $$begin raise notice 'n %', 1 using hint='h', detail='d', errcode='01123'; raise warning 'w'; end$$");
        for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) say(fields(w));
      }
    });
    test("time-outs and cancelling", c -> {
      for (String q : new String[] {"select pg_sleep(20)", "do $$begin perform pg_sleep(20); end$$"}) {
        try (Statement s = c.createStatement()) { s.setQueryTimeout(1); wrong(() -> s.execute(q)); }
        try (Statement s = c.createStatement()) {
          Thread t = new Thread(() -> { try { Thread.sleep(300); s.cancel(); } catch (Exception e) { must(false, "" + e); } });
          t.start();
          wrong(() -> s.execute(q));
          t.join();
        }
      }
      run(c, "set statement_timeout to 100");
      wrong(() -> run(c, "select pg_sleep(20)"));
      run(c, "set statement_timeout to 0");
      say(rows(c, "select 1"));
      c.setNetworkTimeout(Runnable::run, 5000);
      say(c.getNetworkTimeout(), rows(c, "select 1"));
    });
    test("a backend that somebody ends", false, c -> {
      try (Connection d = other(); Connection e = connect()) {
        run(e, "create table z(i int)");
        say(rows(d, "select pg_terminate_backend(?)", e.unwrap(PGConnection.class).getBackendPID()));
        Thread.sleep(300);
        try { run(e, "select 1"); must(false, "it lives"); } catch (SQLException x) { say("the connection ended", e.isClosed()); }
      }
    });
    test("large objects", c -> {
      c.setAutoCommit(false);
      LargeObjectManager m = c.unwrap(PGConnection.class).getLargeObjectAPI();
      long oid = m.createLO(LargeObjectManager.READWRITE);
      try (LargeObject o = m.open(oid, LargeObjectManager.READWRITE)) {
        o.write(new byte[100000]);
        o.write("end".getBytes());
        o.seek(99998);
        say(new String(o.read(10)).trim(), o.tell(), o.size());
        o.truncate(5);
        say(o.size());
      }
      c.commit();
      m.delete(oid);
      c.commit();
      try { m.open(oid); must(false, "it is there"); } catch (SQLException e) { say(fields(e).replace("" + oid, "N")); }
      c.rollback();
    });
    test("client info and schemas", c -> {
      c.setClientInfo("ApplicationName", "changed");
      say(rows(c, "show application_name"), c.getClientInfo("ApplicationName"), c.getSchema(), c.getCatalog());
      c.setSchema("public");
      say(rows(c, "show search_path"), c.getSchema());
      say(c.unwrap(PGConnection.class).getParameterStatus("TimeZone") != null, c.unwrap(PGConnection.class).getParameterStatuses().keySet().stream().sorted().toList());
      say(c.isValid(1), c.unwrap(PGConnection.class).getPreferQueryMode());
    });
  }
}
