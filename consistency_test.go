package meridian_test

import (
	"testing"
	"time"

	"meridian"
)

func TestConsistencyIsReadAsWritten(t *testing.T) {
	for in, want := range map[string]string{
		"eventual": "eventual", "session": "session", "GLOBAL": "global", " strong ": "strong",
		"bounded(250ms)": "bounded(250ms)", "Bounded ( 1.5s )": "bounded(1.5s)",
		"": "", "bounded": "", "bounded()": "", "bounded(0)": "", "bounded(-1s)": "", "bounded(1)": "", "linear": "",
	} {
		c, err := meridian.ParseConsistency(in)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken for %s", in, c)
		case want != "" && (err != nil || c.String() != want):
			t.Errorf("%q: %s, %v", in, c, err)
		}
	}
}

func TestAPromiseThatKeepsTwo(t *testing.T) {
	eventual, second, milli := meridian.Consistency{Level: meridian.Eventual}, meridian.Consistency{Level: meridian.Bounded, Bound: time.Second}, meridian.Consistency{Level: meridian.Bounded, Bound: time.Millisecond}
	session, global, strong := meridian.Consistency{}, meridian.Consistency{Level: meridian.Global}, meridian.Consistency{Level: meridian.Strong}
	for _, tt := range []struct{ a, b, want meridian.Consistency }{
		{eventual, eventual, eventual}, {eventual, second, second}, {eventual, session, session}, {eventual, strong, strong},
		{second, milli, milli}, {second, second, second}, {second, global, global}, {milli, strong, strong},
		{second, session, global}, {milli, session, global}, // neither keeps the other
		{session, session, session}, {session, global, global}, {global, strong, strong},
	} {
		if tt.a.Both(tt.b) != tt.want || tt.b.Both(tt.a) != tt.want {
			t.Errorf("%s and %s: %s and %s, want %s", tt.a, tt.b, tt.a.Both(tt.b), tt.b.Both(tt.a), tt.want)
		}
	}
}
