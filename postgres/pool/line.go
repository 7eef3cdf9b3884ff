package pool

import "slices"

// A line is who waits for a place, and whose turn it is: the places go round
// among those who wait, one each, so that somebody with a thousand waiters
// keeps nobody else from getting one. Each one's own waiters are served in the
// order in which they came. The zero value is an empty line.
type line struct {
	oneForAll bool // negative control: first come, first served

	waits map[string][]chan struct{}
	order []string // who waits, the next to be served first
	n     int
}

// join puts a waiter of who at the end.
func (l *line) join(who string, turn chan struct{}) {
	if l.oneForAll {
		who = ""
	}
	if l.waits == nil {
		l.waits = map[string][]chan struct{}{}
	}
	if len(l.waits[who]) == 0 {
		l.order = append(l.order, who)
	}
	l.waits[who] = append(l.waits[who], turn)
	l.n++
}

// next takes the waiter whose turn it is, or returns nil.
func (l *line) next() chan struct{} {
	if len(l.order) == 0 {
		return nil
	}
	who := l.order[0]
	turn := l.waits[who][0]
	l.take(who, 0)
	if len(l.waits[who]) > 0 { // its next one after everybody else's
		l.order = append(l.order[1:], who)
	}
	return turn
}

// leave takes a waiter out, and reports whether it was still waiting.
func (l *line) leave(turn chan struct{}) bool {
	for who, all := range l.waits {
		if i := slices.Index(all, turn); i >= 0 {
			l.take(who, i)
			return true
		}
	}
	return false
}

// take removes the ith waiter of who, who leaves the round with the last.
func (l *line) take(who string, i int) {
	l.waits[who] = slices.Delete(l.waits[who], i, i+1)
	l.n--
	if len(l.waits[who]) == 0 {
		delete(l.waits, who)
		at := slices.Index(l.order, who)
		l.order = slices.Delete(l.order, at, at+1)
	}
}
