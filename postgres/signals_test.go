package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian"
	"meridian/postgres/wire"
)

// A heldConn keeps what comes on it back until its turnstile opens.
type heldConn struct {
	net.Conn
	shut <-chan struct{}
}

func (c *heldConn) Read(b []byte) (int, error) {
	<-c.shut
	return c.Conn.Read(b)
}

// keepsBack returns dial, where what comes on the streams that are opened while
// the turnstile is shut is kept back.
func (s *turnstile) keepsBack(dial func(context.Context, meridian.Region) (net.Conn, error)) func(context.Context, meridian.Region) (net.Conn, error) {
	return func(ctx context.Context, to meridian.Region) (net.Conn, error) {
		conn, err := dial(ctx, to)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil || s.shut == nil {
			return conn, err
		}
		return &heldConn{conn, s.shut}, nil
	}
}

// newKeptBack is newWorld with such streams.
func newKeptBack(t *testing.T, gate *turnstile) *world {
	return newWorld(t, func(c *Config, d *Deps) {
		if c.Region == dub {
			d.Remote = gate.keepsBack(d.Remote)
		}
	})
}

// TestAFirstNotificationSaysWhoNotifies has one come before the notifier's own
// proxy knows which process that has. Control: where the primary is not told the
// notifier's number, it is the process's.
func TestAFirstNotificationSaysWhoNotifies(t *testing.T) {
	for name, numberless := range map[string]bool{"": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			var gate turnstile
			w := newKeptBack(t, &gate)
			w.dub.numberless = numberless
			listener, notifier := w.connect(dsn(w.dub)), w.connect(dsn(w.dub))
			w.exec(listener, "listen first")
			open := gate.close()
			defer open()
			done := background(notifier, "notify first")
			n, err := listener.WaitForNotification(t.Context())
			if err != nil || (n.PID != notifier.PgConn().PID()) != numberless {
				t.Errorf("%+v, %v; %d notified", n, err, notifier.PgConn().PID())
			}
			open()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestANumberIsOfOneRegion has a session notify whose number was given in
// another region, too: nobody else's client takes it for its own.
func TestANumberIsOfOneRegion(t *testing.T) {
	var s senders
	leaves := s.stands(7, sender{"a", numbered + 1})
	told := func(region string) uint32 {
		f := notification(7)
		s.names(region, f)
		return processOf(f)
	}
	if told("a") != numbered+1 || told("b") != 7 {
		t.Errorf("%d and %d", told("a"), told("b"))
	}
	leaves()
	if told("a") != numbered+1 {
		t.Error("its last notification is nobody's")
	}
	s.stands(7, sender{"a", 7}) // another's
	if told("a") != 7 {
		t.Errorf("the process is another's now, and is told as %d", told("a"))
	}
	for i := range uint32(3 * remembers) {
		s.stands(100+i, sender{"a", numbered + i})()
	}
	if len(s.of) > remembers || len(s.gone) > remembers {
		t.Errorf("%d are remembered", len(s.of))
	}
}

// TestASessionOnItsWayIsEnded signals a session that runs its first statement on
// the primary before its proxy knows the process. Control: where that is not
// waited for, nobody is ended.
func TestASessionOnItsWayIsEnded(t *testing.T) {
	for name, hasty := range map[string]bool{"": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			var gate turnstile
			w := newKeptBack(t, &gate)
			w.dub.hasty = hasty
			c, victim := w.connect(dsn(w.dub)), w.connect(dsn(w.dub))
			w.exec(c, "select pg_advisory_unlock_all()")
			open := gate.close()
			defer open()
			done := background(victim, "select pg_sleep(20), pg_advisory_unlock_all()")
			root := w.superuser(pair.primary)
			w.eventually("it runs", func() bool {
				return get[int](w, root, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 1
			})
			answer := make(chan bool, 1)
			go func() {
				answer <- get[bool](w, c, "select pg_terminate_backend($1)", victim.PgConn().PID())
			}()
			if hasty {
				if <-answer {
					t.Error("ended all the same: the test shows nothing")
				}
				victim.PgConn().Conn().Close()
				open()
				w.exec(root, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
				<-done
				return
			}
			open()
			if !<-answer {
				t.Error("there is no such process")
			}
			if err := <-done; state(err) != "57P01" {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func notification(process uint32) wire.Frame {
	return wire.Frame(wire.Builder(nil).Message('A', binary.BigEndian.AppendUint32(nil, process), wire.String("c"), wire.String("")))
}

func processOf(f wire.Frame) uint32 { return binary.BigEndian.Uint32(f.Body()) }

// TestASessionIsEndedByItsNumber ends sessions with the number that each was
// told at its login: at rest, at work here, and with a backend on the primary.
func TestASessionIsEndedByItsNumber(t *testing.T) {
	for _, k := range []struct {
		name string
		use  func(*world, *pgx.Conn)
	}{
		{"on the standby", func(w *world, c *pgx.Conn) { get[int](w, c, "select 1") }},
		{"on the primary", func(w *world, c *pgx.Conn) { w.exec(c, "begin", "update numbered set v = 7 where id = 7") }},
	} {
		t.Run(k.name, func(t *testing.T) {
			w, c := fixture(t, "numbered")
			victim := w.connect(dsn(w.dub))
			k.use(w, victim)
			if !get[bool](w, c, "select pg_terminate_backend($1)", victim.PgConn().PID()) {
				t.Error("there is no such process")
			}
			if _, err := victim.Exec(t.Context(), "select 1"); state(err) != "57P01" && err == nil {
				t.Error("it lives on")
			}
			// Control: a number that no session has.
			if get[bool](w, c, "select pg_terminate_backend($1)", numbered-1+1<<29) {
				t.Error("a number of nobody's ended somebody")
			}
			if get[int](w, c, "select 1") != 1 {
				t.Error("the wrong session was ended")
			}
		})
	}
}

// TestASessionIsEndedByItsProcess ends and cancels sessions with what
// pg_backend_pid() told them, as PostgreSQL does.
func TestASessionIsEndedByItsProcess(t *testing.T) {
	w, c := fixture(t, "processes")
	pid := func(v *pgx.Conn) (n int) {
		n = get[int](w, v, "select pg_backend_pid()")
		if within := get[int](w, w.superuser(pair.primary), "select count(*) from pg_stat_activity where pid = $1", n); within != 1 {
			t.Fatalf("process %d is not the primary's", n)
		}
		return n
	}
	ended := func(v *pgx.Conn, how string) {
		t.Helper()
		w.eventually("it ends "+how, func() bool { _, err := v.Exec(t.Context(), "select 1"); return err != nil })
	}
	atRest := w.connect(dsn(w.dub))
	w.exec(c, fmt.Sprintf("select pg_terminate_backend(%d)", pid(atRest)))
	if _, err := atRest.Exec(t.Context(), "select 1"); err == nil {
		t.Error("it reads on")
	}
	inBlock := w.connect(dsn(w.dub))
	n := pid(inBlock)
	w.exec(inBlock, "begin", "update processes set v = 9 where id = 1")
	if get[int](w, inBlock, "select pg_backend_pid()") != n {
		t.Error("another process in a block")
	}
	w.exec(c, fmt.Sprintf("select pg_terminate_backend(%d)", n))
	ended(inBlock, "in a block")
	busy := w.connect(dsn(w.dub))
	n = pid(busy)
	done := background(busy, "select pg_sleep(20)")
	su := w.superuser(pair.standby)
	w.eventually("it runs on the standby", func() bool {
		return get[int](w, su, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 1
	})
	w.exec(c, fmt.Sprintf("select pg_cancel_backend(%d)", n))
	if err := <-done; state(err) != "57014" {
		t.Errorf("canceled: %v", err)
	}
	// Control: it was another session's work that was canceled or ended.
	if get[int](w, busy, "select v from processes where id = 1") == 9 || get[int](w, c, "select 1") != 1 {
		t.Error("the wrong session was ended")
	}
}

// TestANotificationSaysWhoNotifies compares it with what the notifier was told
// at its login, as drivers do.
func TestANotificationSaysWhoNotifies(t *testing.T) {
	w := newWorld(t)
	listener := w.connect(dsn(w.dub))
	w.exec(listener, "listen who")
	for _, notifier := range []*pgx.Conn{w.connect(dsn(w.dub)), listener} {
		w.exec(notifier, "notify who, 'it is me'")
		n, err := listener.WaitForNotification(t.Context())
		if err != nil || n.PID != notifier.PgConn().PID() {
			t.Errorf("%+v, %v; process %d notified", n, err, notifier.PgConn().PID())
		}
	}
}

// TestANumberInAParsedTextIsFound ends sessions by numbers that stand in the text
// of statements that are sent by Parse, prepared before and not.
func TestANumberInAParsedTextIsFound(t *testing.T) {
	w := newWorld(t)
	c := w.connect(dsn(w.dub))
	for _, block := range []bool{false, true} {
		for _, prepared := range []bool{false, true} {
			victim := w.connect(dsn(w.dub))
			sql, args := fmt.Sprintf("select pg_terminate_backend(%d)", victim.PgConn().PID()), []any{pgx.QueryExecModeExec}
			if prepared {
				if _, err := c.Prepare(t.Context(), "ends", sql); err != nil {
					t.Fatal(err)
				}
				sql, args = "ends", nil
			}
			if block {
				w.exec(c, "begin")
			}
			if !get[bool](w, c, sql, args...) {
				t.Errorf("block %t, prepared %t: there is no such process", block, prepared)
			}
			if _, err := victim.Exec(t.Context(), "select 1"); err == nil {
				t.Errorf("block %t, prepared %t: it lives on", block, prepared)
			}
			if prepared { // the statement is the client's own still
				if get[bool](w, c, sql) {
					t.Error("it is ended again")
				}
				w.exec(c, "deallocate ends")
			}
			if block {
				w.exec(c, "commit")
			}
		}
	}
}

// TestASessionIsSignaledWhileTheStandbyIsBehind has sessions signal others after
// definitions that the standby does not know yet, so that nothing else runs there:
// by a text, and by a statement that was flushed before its number came, as asyncpg
// does it.
func TestASessionIsSignaledWhileTheStandbyIsBehind(t *testing.T) {
	for _, mode := range []string{"session", "global", "eventual", "strong"} {
		w := newWorld(t)
		option := "&options=-c%20meridian.consistency%3D" + mode
		defines := w.connect(dsn(w.dub))
		reads, writes, reads2, writes2 := w.connect(dsn(w.dub)), w.connect(dsn(w.dub)), w.connect(dsn(w.dub)), w.connect(dsn(w.dub))
		for _, c := range []*pgx.Conn{reads, reads2} {
			w.eventually("it reads on the standby", func() bool { return get[bool](w, c, "select pg_is_in_recovery()") })
		}
		thaw := w.freeze()
		w.exec(defines, "drop schema if exists signaled cascade", "create schema signaled")
		for _, c := range []*pgx.Conn{writes, writes2} {
			w.exec(c, "select pg_advisory_unlock_all()")
		}
		for name, victim := range map[string]*pgx.Conn{"on the standby": reads, "on the primary": writes} {
			c := w.connect(dsn(w.dub) + option)
			if !get[bool](w, c, fmt.Sprintf("select pg_terminate_backend(%d)", victim.PgConn().PID())) {
				t.Errorf("%s, %s: nobody was ended", mode, name)
			}
			if _, err := victim.Exec(t.Context(), "select 1"); state(err) != "57P01" {
				t.Errorf("%s, %s: %v", mode, name, err)
			}
		}
		for name, victim := range map[string]*pgx.Conn{"on the standby": reads2, "on the primary": writes2} {
			r := dialRaw(t, w.dub, 0)
			r.send(wire.Builder(nil).Query("set meridian.consistency = " + mode))
			r.until('Z')
			r.send(join(parse("", "select pg_terminate_backend($1)"), wire.Builder(nil).Message('D', []byte{'S', 0}), flushMsg))
			r.until('T')
			number := fmt.Sprint(victim.PgConn().PID())
			r.send(join(wire.Builder(nil).Message('B', []byte{0, 0, 0, 0, 0, 1}, binary.BigEndian.AppendUint32(nil, uint32(len(number))), []byte(number), []byte{0, 0}), execute(""), syncMsg))
			if types, row := r.until('D'); row[len(row)-1] != 't' {
				t.Errorf("%s, %s, flushed: nobody was ended: %q", mode, name, types)
			}
			if _, err := victim.Exec(t.Context(), "select 1"); state(err) != "57P01" {
				t.Errorf("%s, %s, flushed: %v", mode, name, err)
			}
		}
		thaw()
	}
}
