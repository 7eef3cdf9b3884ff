package main

import (
	"bytes"
	"regexp"
	"testing"
)

// Where a driver is installed its program runs here, too, by all three ways.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	t.Chdir("../..")
	r, err := newRig(t.Context(), options{rtt: 2e6, consistency: "session"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := runPrograms(t.Context(), r.ways, regexp.MustCompile("^(psycopg3|node-postgres)$")); err != nil {
		t.Error(err)
	}
}

// A case is wrong that is not as it is directly, or that no way may give.
func TestTranscripts(t *testing.T) {
	read := func(text string) transcript {
		tr := transcript{said: map[string]string{}, differs: map[string]string{}}
		tr.read(bytes.NewBufferString(text), "what the guide says")
		return tr
	}
	direct := read("== a\n1\n== b differs: the guide\n1\n== c differs: nobody says\n1\n== d\n!! never\n")
	got := read("== a\n2\n== b differs: the guide\n2\n== c differs: nobody says\n1\n== d\n!! never\n")
	for name, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got.wrong(name, direct) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	if direct.wrong("a", direct) {
		t.Error("a case is not like itself")
	}
	if out := unlike("1\n2\n3\n", "1\n5\n3\n"); out != "  directly: 2\n\n  so:       5\n\n" {
		t.Errorf("%q", out)
	}
}
