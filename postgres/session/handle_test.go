package session_test

import (
	"testing"

	"meridian/postgres/classify"
	"meridian/postgres/session"
	"meridian/postgres/wire"
)

// TestAQueryIsAnsweredOnceWhateverBecomesOfItsHandle: PostgreSQL passes over a
// Query whose handle could not be left, and answers nothing until a Sync.
func TestAQueryIsAnsweredOnceWhateverBecomesOfItsHandle(t *testing.T) {
	failed := wire.Builder(nil).Error(&wire.Error{Severity: "ERROR", Code: "57014", Message: "canceled"})
	ready := string(wire.Builder(nil).Ready('I'))
	done := string(wire.Builder(nil).Complete("INSERT 0 1"))
	emitted := []string{"1\x00\x00\x00\x04", "2\x00\x00\x00\x04", "D\x00\x00\x00\x06\x00\x00", string(wire.Builder(nil).Complete("SELECT 1"))}
	for _, tt := range []struct {
		name      string
		replies   []string
		seen      string
		committed bool
	}{
		{"all is well", append(emitted, done, ready, ready), "CZ", true},
		{"the handle fails", []string{string(failed), ready}, "EZ", false},
		{"the handle fails late", []string{emitted[0], emitted[1], string(failed), ready}, "EZ", false},
		{"the statement fails", append(emitted, string(failed), ready, ready), "EZ", false},
	} {
		state := session.NewState(classify.NewCache())
		tr := session.NewTracker(state, session.NewSide())
		m, err := state.Read(wire.Frame(wire.Builder(nil).Query("insert into t values (1)")))
		if err != nil {
			t.Fatal(err)
		}
		tr.Guard(tr.Encode(tr.Emit(nil, "0a"), m))
		seen := ""
		committed := false
		for _, r := range tt.replies {
			if tr.Reply(wire.Frame(r)) {
				if seen += r[:1]; r[0] == 'Z' {
					committed = tr.Committed()
				}
			}
		}
		if seen != tt.seen || committed != tt.committed || !tr.Idle() {
			t.Errorf("%s: seen %q, committed %v, idle %v", tt.name, seen, committed, tr.Idle())
		}
	}
}
