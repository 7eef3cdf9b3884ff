package session

import (
	"bytes"
	"math"
	"strings"

	"meridian/postgres/wire"
)

// In a block that has failed PostgreSQL describes a prepared statement all the same if
// it returns no columns. A backend that lacks it cannot be given it there, but for what
// ends a block, which has no columns either.

// mutes are the first words of statements that return nothing. Those of the second kind
// do so unless they are told to.
var (
	mutes   = strings.Fields("set reset begin start commit end rollback abort savepoint release create drop alter truncate lock notify listen unlisten declare close deallocate prepare discard do grant revoke comment copy vacuum analyze move")
	mutable = strings.Fields("insert update delete merge")
)

// mute reports whether a statement surely has no columns, and no parameters.
func (st *Statement) mute() bool {
	text := bytes.ToLower(bytes.TrimSpace(st.Text))
	if bytes.ContainsAny(text, "$;") || st.declares() {
		return false
	}
	return startsWith(text, mutes) || startsWith(text, mutable) && !bytes.Contains(text, []byte("returning"))
}

// declares reports whether Parse, or PREPARE, named types of parameters.
func (st *Statement) declares() bool {
	if st.Frame == nil {
		return true // perhaps
	}
	return !bytes.HasSuffix(st.Frame, []byte{0, 0, 0}) || len(st.Frame.Body()) != len(st.Name)+len(st.Text)+4
}

func startsWith(text []byte, words []string) bool {
	for _, w := range words {
		if rest, ok := bytes.CutPrefix(text, []byte(w)); ok && (len(rest) == 0 || rest[0] <= ' ') {
			return true
		}
	}
	return false
}

// quiet returns what stands for such a statement, to be described.
func quiet(st *Statement) *Statement {
	frame := wire.Builder(nil).Message('P', wire.String(st.Name), wire.String("ROLLBACK"), []byte{0, 0})
	return &Statement{Name: st.Name, Frame: wire.Frame(frame), gen: math.MaxUint64 - 4}
}
