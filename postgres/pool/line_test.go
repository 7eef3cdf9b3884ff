package pool

import "testing"

// served returns how many places come free until the one waiter of a quiet
// function gets one, behind a thousand of another.
func served(t *testing.T, l *line) int {
	t.Helper()
	for range 1000 {
		l.join("busy", make(chan struct{}, 1))
	}
	quiet := make(chan struct{}, 1)
	l.join("quiet", quiet)
	for n := 1; ; n++ {
		switch l.next() {
		case quiet:
			return n
		case nil:
			t.Fatal("the quiet one was forgotten")
		}
	}
}

func TestABusyFunctionStarvesNobody(t *testing.T) {
	if n := served(t, &line{}); n > 2 {
		t.Errorf("the quiet function waited for %d places", n)
	}
	// Control: first come, first served.
	if n := served(t, &line{oneForAll: true}); n != 1001 {
		t.Errorf("the control: %d places, want 1001", n)
	}
}

func TestLine(t *testing.T) {
	var l line
	turns := map[string]chan struct{}{}
	for _, name := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
		turns[name] = make(chan struct{}, 1)
		l.join(name[:1], turns[name])
	}
	if !l.leave(turns["c1"]) || l.leave(turns["c1"]) {
		t.Error("a waiter leaves once")
	}
	for _, want := range []string{"a1", "b1", "a2", "b2", "a3"} {
		if l.next() != turns[want] {
			t.Errorf("the place was not %s's", want)
		}
	}
	if l.next() != nil || l.n != 0 || len(l.waits) != 0 || len(l.order) != 0 {
		t.Errorf("something is left: %+v", l)
	}
}
