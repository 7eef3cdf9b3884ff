package session

import "meridian/postgres/wire"

// During COPY FROM STDIN PostgreSQL reads on up to CopyDone or CopyFail, and
// ignores a Sync on its way (PostgreSQL documentation, 55.2.6): clients send one
// behind the Execute. Where nothing takes COPY data it ignores the data. Which of
// both a client's messages will meet is known when PostgreSQL says so. Therefore
// there is a step for the first of the data, 'd', and one for its end, 'c'. An
// error ends COPY somewhere in the data: a Sync among them is taken to come
// behind, but for CopyFail's own error.

func isData(kind byte) bool { return kind == 'd' || kind == 'c' }

// CopyData notes that the client sends CopyData, CopyDone or CopyFail.
func (t *Tracker) CopyData(kind byte) {
	if t.Idle() {
		return
	}
	last := t.steps[len(t.steps)-1].kind
	if t.copying && t.data(len(t.steps)) == 0 {
		t.swallow(len(t.steps))
	}
	switch {
	case kind == 'd' && last != 'd':
		t.push(step{kind: 'd', hidden: true})
	case kind != 'd': // each ends a COPY of its own, where a script has several
		t.push(step{kind: 'c', hidden: true})
	}
}

// Awaits reports whether PostgreSQL takes COPY data, whose end it was not sent.
func (t *Tracker) Awaits() bool {
	for _, s := range t.steps[t.head:] {
		if s.kind == 'c' {
			return false
		}
	}
	return t.copying
}

// data returns behind which of the steps before a place the last COPY data stand,
// or 0.
func (t *Tracker) data(before int) (behind int) {
	for i := t.head + 1; i < before; i++ {
		if isData(t.steps[i].kind) {
			behind = i + 1
		}
	}
	return behind
}

// takesData notes that what is at the head takes COPY data.
func (t *Tracker) takesData() {
	t.copying = true
	for i := t.head + 1; i < len(t.steps); i++ {
		if isData(t.steps[i].kind) {
			t.swallow(i)
			return
		}
	}
}

// tookData notes that COPY ended: well, by an error, or by that of CopyFail.
func (t *Tracker) tookData(f wire.Frame) {
	if !t.copying {
		return
	}
	t.copying = false
	if f.Type() == 'E' {
		e, err := wire.ParseError(f.Body())
		switch failed := err == nil && (e.Code == "57014" || e.Code == "57P01"); { // or it was canceled
		case t.data(len(t.steps)) == 0:
			t.swallow(len(t.steps))
			return
		case !failed:
			return
		}
	}
	for i := t.head + 1; i < len(t.steps); i++ {
		if t.steps[i].kind == 'c' {
			t.swallow(i + 1)
			return
		}
	}
}

// swallow drops the Syncs, and the steps of data, that stand behind the head and
// before a place.
func (t *Tracker) swallow(before int) {
	keep := t.head + 1
	for i := t.head + 1; i < len(t.steps); i++ {
		s := t.steps[i]
		if i < before && (s.kind == 'S' || isData(s.kind)) {
			t.passed = t.passed || s.kind == 'S'
			continue
		}
		t.steps[keep] = s
		keep++
	}
	t.steps = t.steps[:keep]
}

// advance goes on to the next message that PostgreSQL answers.
func (t *Tracker) advance() {
	if t.steps[t.head].loose {
		t.loose--
	}
	if t.steps[t.head].brings {
		t.brings--
	}
	for t.head++; t.head < len(t.steps) && isData(t.steps[t.head].kind); t.head++ {
	}
}
