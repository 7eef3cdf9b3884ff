package main

import (
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

func TestNothingIsSaidOfAnEndThatWasNotSeen(t *testing.T) {
	r := quiet()
	r.seen, r.there, r.lists, r.wrong = false, nil, r.lists[:3], []string{"the world is not whole"}
	if v := judge(r); len(v.violations) != 1 || v.whole {
		t.Errorf("%q", v.violations)
	}
}
