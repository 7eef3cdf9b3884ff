package postgres

import "testing"

// What a driver's pool resets a session with does not tie it to the primary. A
// block of the script's own may have undone a part of what it set: that does.
func TestResetSessionsReadHere(t *testing.T) {
	w := newWorld(t)
	for script, here := range map[string]bool{
		"select pg_advisory_unlock_all(); close all; unlisten *; reset all": true,
		"close all; set work_mem to '5MB'; unlisten *":                      true,
		"begin; set work_mem to '5MB'; rollback; reset all":                 false,
	} {
		c := w.connect(dsn(w.dub))
		w.exec(c, "set work_mem to '7MB'", script)
		w.eventually("a read on the standby", func() bool { return !here || get[bool](w, c, "select pg_is_in_recovery()") })
		if got := get[bool](w, c, "select pg_is_in_recovery()"); got != here {
			t.Errorf("%s: the next read is on the standby: %t", script, got)
		}
		want := map[bool]string{true: "4MB", false: "5MB"}[script[:5] != "close"]
		if got := get[string](w, c, "show work_mem"); got != want {
			t.Errorf("%s: work_mem is %s, want %s", script, got, want)
		}
	}
}
