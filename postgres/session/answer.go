package session

import "meridian/postgres/wire"

// Answer plays the backend for the group at the head, which ran one statement
// without parameters and rows, and appends to dst what the client sees of it.
// Replies that came before are not repeated.
func (t *Tracker) Answer(dst []byte, tag string) []byte {
	for !t.Idle() {
		s := t.steps[t.head]
		var all []wire.Frame
		one := func(b wire.Builder) { all = append(all, wire.Frame(b)) }
		switch s.kind {
		case 'P':
			one(wire.Builder(nil).Message('1'))
		case 'B':
			one(wire.Builder(nil).Message('2'))
		case 'C':
			one(wire.Builder(nil).Message('3'))
		case 'D':
			one(wire.Builder(nil).Message('n'))
		case 'E':
			one(wire.Builder(nil).Complete(tag))
		case 'Q':
			one(wire.Builder(nil).Complete(tag))
			one(wire.Builder(nil).Ready('I'))
		case 'S', 'F':
			one(wire.Builder(nil).Ready('I'))
		}
		shown := false
		for _, f := range all {
			if t.Reply(f) {
				dst = append(dst, f...)
				shown = shown || f.Type() == 'Z'
			}
		}
		if shown {
			return dst
		}
	}
	return dst
}

// Refuse plays the backend that fails the group at the head, and appends to dst
// what the client sees of it.
func (t *Tracker) Refuse(dst []byte, e *wire.Error) []byte {
	for told := false; !t.Idle(); {
		s := t.steps[t.head]
		f := wire.Frame(wire.Builder(nil).Ready('I'))
		if !told && !s.unseen() {
			f, told = wire.Frame(wire.Builder(nil).Error(e)), true
		}
		show := t.Reply(f)
		if show {
			dst = append(dst, f...)
		}
		if f.Type() == 'Z' && show {
			return dst
		}
	}
	return dst
}
