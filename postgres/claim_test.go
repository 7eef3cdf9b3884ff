package postgres

import (
	"strings"
	"testing"

	"meridian"
)

// A claim counts only where it is surely part of the server's history.
func TestDecideClaim(t *testing.T) {
	claim := meridian.Token{Database: "conduit", System: 7, Timeline: 2, LSN: 0x50}
	fork := func(at meridian.LSN) []Fork { return []Fork{{Timeline: 1, LSN: 0x10}, {Timeline: 2, LSN: at}} }
	for _, tt := range []struct {
		name     string
		system   uint64
		timeline uint32
		forks    []Fork
		handed   bool
		holds    bool
		waits    bool
	}{
		{"the same primary", 7, 2, nil, false, true, false},
		{"a database that was made anew", 8, 2, nil, false, false, false},
		{"nobody knows which primary it is", 7, 0, fork(0x90), false, false, true},
		{"an old primary that has not heard of its end", 7, 1, nil, false, false, false},
		{"a successor that has it", 7, 3, fork(0x50), false, true, false},
		{"a successor that lacks it", 7, 3, fork(0x4f), false, false, false},
		{"a successor whose fork is not told yet", 7, 3, nil, false, false, true},
		{"a successor that was handed everything", 7, 3, nil, true, true, false},
		{"what came before was not handed to that one", 7, 4, nil, true, false, true},
		{"the fork is told, and counts for more than the hand-over", 7, 3, fork(0x4f), true, false, false},
		{"a successor whose history passed it over", 7, 4, []Fork{{Timeline: 1, LSN: 0x40, Next: 4}}, false, false, false},
		{"two failovers later", 7, 4, append(fork(0x60), Fork{Timeline: 3, LSN: 0x80}), false, true, false},
	} {
		v := decideClaim(claim, tt.system, tt.timeline, tt.forks, tt.handed)
		if v.Holds != tt.holds || v.Waits != tt.waits || v.Why == "" || strings.Contains(v.Why, "%!") {
			t.Errorf("%s: %+v, want holds %v, waits %v", tt.name, v, tt.holds, tt.waits)
		}
	}
}
