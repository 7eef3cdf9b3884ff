package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/test/history"
)

// quiet is an episode in which all went well: three inserts in two terms, two
// transactions and a last look, a register.
func quiet() record {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	lists, err := history.Parse(`
		p1@a 0..10 ok: append x 1; append y 2
		p2@b 20..30 ok: read x [1]
		p2@b 40..50 ok: append x 3
		p0@a 900..910 ok: read x [1 3]; read y [2]`)
	if err != nil {
		panic(err)
	}
	return record{
		plan:  plan{{at: ms(5), fault: switchover, a: 1}},
		lists: lists,
		accesses: []history.Access{
			{Key: "r", Write: true, Value: 4, Call: ms(0), Return: ms(9), Outcome: history.OK},
			{Key: "r", Value: 4, Call: ms(10), Return: ms(11), Outcome: history.OK},
		},
		entries: []history.Entry{
			{ID: 5, Call: ms(0), Return: ms(1), Outcome: history.OK, Writer: "a", Term: 1},
			{ID: 6, Call: ms(2), Return: ms(3), Outcome: history.OK, Writer: "a", Term: 1},
			{ID: 7, Call: ms(8), Return: ms(9), Outcome: history.OK, Writer: "b", Term: 2},
		},
		there:  []int64{5, 6, 7},
		seen:   true,
		errors: map[string]int{"40001": 3},
	}
}

func TestAQuietEpisodeIsGood(t *testing.T) {
	if v := judge(quiet()); len(v.violations) > 0 || !v.whole {
		t.Errorf("%q", v.violations)
	}
}

// TestEachBrokenPromiseIsAViolation is the negative control of the judge.
func TestEachBrokenPromiseIsAViolation(t *testing.T) {
	lost := plan{{at: 4 * time.Millisecond, fault: kill}}
	for want, spoil := range map[string]func(*record){
		"not whole":                              func(r *record) { r.wrong = []string{"the world is not whole"} },
		"lost: the insert of 6":                  func(r *record) { r.there = []int64{5, 7} },
		"acknowledged and lost: the insert of 6": func(r *record) { r.plan, r.durable, r.there = lost, true, []int64{5, 7} },
		"acknowledged and lost: 2":               func(r *record) { r.plan, r.durable, r.lists[3].Ops = lost, true, nil },
		"is one still":                           func(r *record) { r.plan, r.there = lost, []int64{5, 6} },
		"executed twice":                         func(r *record) { r.there = append(r.there, 7) },
		"nobody inserted":                        func(r *record) { r.there = append(r.there, 99) },
		"reported as failed, and done":           func(r *record) { r.entries[1].Outcome = history.Failed },
		"two primaries":                          func(r *record) { r.entries[0].Writer = "b" },
		"not linearizable":                       func(r *record) { r.accesses[1].Value = 0 },
		"2 transactions on lists":                func(r *record) { r.lists[3].Ops = nil },
		"G-single-process":                       func(r *record) { r.lists[1].Process, r.lists[1].Ops[0].List = 1, nil },
		"G1a":                                    func(r *record) { r.lists[0].Outcome = history.Failed },
		"-realtime":                              func(r *record) { r.lists[3].Ops[0].List = []int64{3, 1}; r.lists[1].Ops = nil },
		"half of it":                             func(r *record) { r.lists[3].Ops = r.lists[3].Ops[:1] },
		"cost 2 errors 08007":                    func(r *record) { r.errors["08007"] = 2 },
	} {
		r := quiet()
		spoil(&r)
		v := judge(r)
		if !slices.ContainsFunc(v.violations, func(x string) bool { return strings.Contains(x, want) }) {
			t.Errorf("want a violation with %q, found %q", want, v.violations)
		}
	}
}

// TestWhatALostPrimaryMayTakeWithIt: asynchronous replication loses the end of
// the old primary's log, whole transactions, and those who saw them saw them.
func TestWhatALostPrimaryMayTakeWithIt(t *testing.T) {
	r := quiet()
	r.plan = plan{{at: 4 * time.Millisecond, fault: kill}}
	r.there = []int64{5, 7}                // 6 was the last of term 1
	r.lists[3].Ops[0].List = []int64{1}    // 3 is gone
	r.lists[1].Ops[0].List = []int64{1, 3} // though somebody saw it
	r.lists[1].Call, r.lists[1].Return = 60*time.Millisecond, 70*time.Millisecond
	r.accesses[1].Value = 0 // and the write of 4 is gone too
	if v := judge(r); len(v.violations) > 0 {
		t.Errorf("%q", v.violations)
	}
	r.plan = plan{{fault: switchover}}
	if v := judge(r); len(v.violations) < 3 {
		t.Errorf("a planned move may lose nothing: %q", v.violations)
	}
}

// TestAViolationKeepsTheLogsOfItsWorld, which is gone afterwards.
func TestAViolationKeepsTheLogsOfItsWorld(t *testing.T) {
	state, dir := t.TempDir(), filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(filepath.Join(state, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "log", "a.log"), []byte("said\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keepLogs(dir, state); err != nil {
		t.Fatal(err)
	}
	if got := lastWords(state); got != "  said\n" {
		t.Errorf("the last words are %q", got)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "log", "a.log")); string(got) != "said\n" {
		t.Errorf("kept %q: %v", got, err)
	}
}

// undone is an episode in which two writes went to a primary that was isolated.
// It did both, and others saw them there; its successor, of term 2, had neither
// and told their clients so with 40000.
func undone() record {
	r := quiet()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	r.plan = plan{{at: ms(12), fault: isolate}}
	var err error
	r.lists, err = history.Parse(`
		p1@a 0..10000 ok: append x 1; append y 2
		p2@b 20000..90000 undone: append x 3
		p3@a 30000..40000 ok: read x [1 3]
		p0@a 900000..910000 ok: read x [1]; read y [2]`)
	if err != nil {
		panic(err)
	}
	r.accesses = append(r.accesses,
		history.Access{Key: "r", Write: true, Value: 5, Call: ms(20), Return: ms(90), Outcome: history.Undone},
		history.Access{Key: "r", Value: 5, Call: ms(30), Return: ms(31), Outcome: history.OK},
		history.Access{Key: "r", Value: 4, Call: ms(80), Return: ms(81), Outcome: history.OK},
		history.Access{Key: "r", Value: 4, Call: ms(100), Return: ms(101), Outcome: history.OK})
	r.errors["40000"] = 2
	return r
}

// TestWhatWasUndoneMayHaveBeenSeen, on the primary that was lost, and nowhere
// else: nothing else was lost with it, which must not matter.
func TestWhatWasUndoneMayHaveBeenSeen(t *testing.T) {
	if v := judge(undone()); len(v.violations) > 0 {
		t.Errorf("%q", v.violations)
	}
	again := func(r *record) { r.accesses[5].Value = 5 }
	for name, c := range map[string]struct {
		spoil func(*record)
		want  []string
	}{
		"its client was told":          {again, []string{"not linearizable"}},
		"it is gone, and seen again":   {func(r *record) { r.accesses[2].Return = 150 * time.Millisecond; again(r) }, []string{"not linearizable"}},
		"it is there in the end":       {func(r *record) { r.lists[3].Ops[0].List = []int64{1, 3} }, []string{"G1a"}},
		"it failed for another reason": {func(r *record) { r.accesses[2].Outcome, r.lists[1].Outcome = history.Failed, history.Failed }, []string{"not linearizable", "G1a"}},
		"nobody wrote it":              {func(r *record) { r.lists[2].Ops[0].List = []int64{1, 9} }, []string{"phantom"}},
		"a write that saw it is there": {func(r *record) {
			r.lists[2].Ops = append(r.lists[2].Ops, history.Op{Append: true, Key: "y", Value: 7})
			r.lists[3].Ops[1].List = []int64{2, 7}
		}, []string{"phantom"}},
		"commits are held back, quorum": {func(r *record) { r.durable = true }, []string{"not linearizable", "G1a"}},
		"a move that was planned":       {func(r *record) { r.plan = plan{{fault: switchover, a: 1}} }, []string{"not linearizable", "G1a"}},
		"no other primary":              {func(r *record) { r.entries[2].Writer, r.entries[2].Term = "a", 1 }, []string{"not linearizable", "G1a"}},
	} {
		r := undone()
		c.spoil(&r)
		v := judge(r)
		for _, want := range c.want {
			if !slices.ContainsFunc(v.violations, func(x string) bool { return strings.Contains(x, want) }) {
				t.Errorf("%s: want a violation with %q, found %q", name, want, v.violations)
			}
		}
	}
}

func TestNothingIsSaidOfAnEndThatWasNotSeen(t *testing.T) {
	r := quiet()
	r.seen, r.there, r.lists, r.wrong = false, nil, r.lists[:3], []string{"the world is not whole"}
	if v := judge(r); len(v.violations) != 1 || v.whole {
		t.Errorf("%q", v.violations)
	}
}
