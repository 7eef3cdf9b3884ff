package postgres

import (
	"strings"
	"testing"
	"time"

	"meridian/postgres/wire"
)

// It is brought behind the Sync, if PostgreSQL passes over what comes before.
func TestStateIsBroughtBehindWhatFails(t *testing.T) {
	w := newWorld(t)
	r := dialRaw(t, w.dub, 0)
	r.send(wire.Builder(nil).Query("prepare p1 as values (1)"))
	r.until('Z')
	var failing []byte
	for _, m := range [][]byte{parse("", "lock table nosuch"), bind("", ""), wire.Builder(nil).Message('E', wire.String(""), make([]byte, 4)), wire.Builder(nil).Query("select 1"), wire.Builder(nil).Query("execute p1"), wire.Builder(nil).Sync(), wire.Builder(nil).Query("execute p1")} {
		failing = append(failing, m...)
	}
	r.send(failing)
	first, _ := r.until('Z')
	second, _ := r.until('Z')
	if first+second != "12EZTDCZ" {
		t.Errorf("%s, %s", first, second)
	}
}

// What a session of a secondary brings to the primary comes behind what runs there
// still, whose answers are the client's. The control brings it at once, and takes them.
func TestStateIsBroughtBehindWhatRuns(t *testing.T) {
	for name, hasty := range map[string]bool{"": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.exec(w.connect(dsn(w.iad)), "drop table if exists running", "create table running (v int)", "insert into running values (7)")
			w.eventually("the standby has it", func() bool {
				return get[bool](w, w.superuser(pair.standby), "select coalesce(to_regclass('running') is not null, false)")
			})
			w.iad.stateHasty = hasty
			r := dialRaw(t, w.dub, 0)
			r.send(wire.Builder(nil).Query("prepare p1 as select v from running"))
			r.until('Z')
			r.send(wire.Builder(nil).Query("select v, pg_sleep(0.2) from running for update").Query("execute p1"))
			r.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
			types := ""
			for f, err := r.rd.Frame(); err == nil && strings.Count(types, "Z") < 2; f, err = r.rd.Frame() {
				types += string(f.Type())
				if types == "TDCZTDCZ" {
					break
				}
			}
			if (types != "TDCZTDCZ") != hasty {
				t.Errorf("the client is told %s", types)
			}
		})
	}
}
