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
			w.iad.stateHasty = hasty
			r := w.peer()
			r.send(wire.Builder(nil).Query("select pg_sleep(0.2)").JSON(wire.FrameState, wire.State{SQL: []string{"set work_mem = '5MB'"}}).Query("show work_mem"))
			if types, row := r.told("TDCZTDCZ"); (types != "TDCZTDCZ" || !strings.HasSuffix(row, "5MB")) != hasty {
				t.Errorf("the client is told %s, %q", types, row)
			}
		})
	}
}

// TestStateIsBroughtBehindWhatIsPassedOver: PostgreSQL would pass over it, too.
func TestStateIsBroughtBehindWhatIsPassedOver(t *testing.T) {
	r := newWorld(t).peer()
	r.send(join(parse("", "lock table nosuch"), bind("", ""), execute(""), wire.Builder(nil).Query("select 1").JSON(wire.FrameState, wire.State{SQL: []string{"set work_mem = '5MB'"}}).Sync().Query("show work_mem")))
	if types, row := r.told("12EZTDCZ"); types != "12EZTDCZ" || !strings.HasSuffix(row, "5MB") {
		t.Errorf("the client is told %s, %q", types, row)
	}
}

// peer opens a session as the secondary's proxy does.
func (w *world) peer() *raw {
	w.t.Helper()
	conn, err := w.link.dial(w.t.Context(), iad)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	r := &raw{w.t.(*testing.T), conn, wire.NewReader(conn)}
	r.send(wire.Builder(nil).JSON(wire.FrameHello, hello(w.dub)))
	r.until(wire.FrameWelcome)
	return r
}

// told reads what is for the client, until that is what is wanted or nothing more comes.
func (r *raw) told(want string) (types, row string) {
	r.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for types != want {
		f, err := r.rd.Frame()
		if err != nil {
			break
		}
		if f.Type() >= ' ' {
			types += string(f.Type())
		}
		if f.Type() == 'D' {
			row = string(f.Body())
		}
	}
	return types, row
}
