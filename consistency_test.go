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

func TestTheStricterConsistencyPromisesMore(t *testing.T) {
	order := []meridian.Consistency{
		{Level: meridian.Eventual}, {Level: meridian.Bounded, Bound: time.Second}, {Level: meridian.Bounded, Bound: time.Millisecond},
		{}, {Level: meridian.Global}, {Level: meridian.Strong},
	}
	for i, a := range order {
		for _, b := range order[:i] {
			if a.Stricter(b) != a || b.Stricter(a) != a {
				t.Errorf("%s and %s: %s", a, b, a.Stricter(b))
			}
		}
	}
}
