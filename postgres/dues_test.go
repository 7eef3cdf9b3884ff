package postgres

import (
	"strings"
	"testing"
)

// TestDues says for messages, and for the replies to them in capitals behind a dash,
// how many groups PostgreSQL owes in the end.
func TestDues(t *testing.T) {
	for _, c := range []struct {
		flow string
		owed int
	}{
		{"Q", 1}, {"Q -Z", 0}, {"P B E S", 1}, {"P B E S -1 -2 -C -Z", 0},
		{"P B E Q S", 2}, {"P B E Q S -1 -E", 1}, {"P B E Q S -1 -E -Z", 0}, // the Query is passed over
		{"P B E Q S -1 -2 -C -E", 2}, {"P B E Q S -1 -2 -C -E -Z", 1}, // its own error
		{"P B E -1 -E Q F", 0}, {"P B E -1 -E Q S", 1}, {"P B E -1 -E Q S -Z Q", 1},
		{"P B E Q -1 -E Q S -Z", 0}, {"Q P E S -E -Z", 1}, {"S Q -Z -E", 1},
		{"P B E S -1 -2 -G d c S", 1}, {"P B E S d c S -1 -2 -G -C", 1}, {"P B E S d c S -1 -2 -G -E", 1}, // COPY
		{"P B E S P B E d c S B S -E -Z -1 -2 -G -E -Z", 1}, {"Q Q d c P B E d c S -Z -G -C -Z -1 -2 -G -C -C", 1},
		{"Q d c c Q P B E S -G -C -G -E", 3},
		{"P B E d S -1 -2 -G -E", 1}, {"Q d S c Q -G -C -Z", 1}, {"Q d S -G -E -Z", 1}, {"Q d c Q -T -C -Z", 1},
	} {
		var d dues
		owed := 0
		for _, m := range strings.Fields(c.flow) {
			switch reply, isReply := strings.CutPrefix(m, "-"); {
			case isReply:
				owed -= d.came(reply[0])
				if reply == "Z" {
					owed--
				}
			case m == "d" || m == "c":
				owed -= d.data(m[0])
			case d.sent(m[0]):
				owed++
			}
		}
		if owed != c.owed {
			t.Errorf("%s: %d owed, want %d", c.flow, owed, c.owed)
		}
		n := 0
		for _, x := range d.all {
			if !x.data() {
				n++
			}
		}
		if n != owed {
			t.Errorf("%s: %d kept, want %d", c.flow, n, owed)
		}
	}
}
