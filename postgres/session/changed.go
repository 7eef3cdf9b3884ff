package session

import (
	"strings"

	"meridian/postgres/wire"
)

// Words returns a backend's message as PostgreSQL would have said it if the
// session stood on one backend alone. A statement that was brought to a backend
// after its table had changed has other columns there than the client was told,
// and a Bind that names a format for each fails as malformed. PostgreSQL would
// have said that the plan must not change, for which drivers prepare anew.
func (t *Tracker) Words(f wire.Frame) wire.Frame {
	if f.Type() != 'E' || t.Idle() || !t.steps[t.head].brought {
		return f
	}
	e, err := wire.ParseError(f.Body())
	if err != nil || e.Code != "08P01" || !strings.HasPrefix(e.Message, "bind message has") || !strings.Contains(e.Message, "result formats but query has") {
		return f
	}
	return wire.Frame(wire.Builder(nil).Error(&wire.Error{Severity: e.Severity, Code: "0A000",
		Message: "cached plan must not change result type", Others: "RRevalidateCachedQuery\x00"}))
}
