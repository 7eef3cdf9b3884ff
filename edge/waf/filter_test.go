package waf

import (
	"slices"
	"strings"
	"testing"
)

// TestTheFilterHidesNothing: each expression finds the same in the corpora, in
// capitals and small letters, whether it is asked of all or of what may match.
func TestTheFilterHidesNothing(t *testing.T) {
	cfg := Config{Paranoia: 3, Body: 64 << 10, Detect: true}
	with := firewall(t, cfg)
	rules := directives(cfg)
	all, err := compile(strings.Replace(rules, preFilter+" On", preFilter+" Off", 1))
	if err != nil || !strings.Contains(rules, preFilter+" On") {
		t.Fatal(err)
	}
	without := &Firewall{cfg, all}
	found := 0
	for i, line := range append(corpus(t, "attacks"), corpus(t, "benign")...) {
		place, what, _ := strings.Cut(strings.TrimPrefix(line, "- "), " ")
		if i%2 == 1 && place != "path" && place != "header" {
			what = strings.ToUpper(what)
		}
		r := sent(place + " " + what)
		want, got := rulesOf(without, r, 1), rulesOf(with, r, 1)
		if !slices.Equal(got, want) { // of a broken body coraza does not find the same each time
			want, got = rulesOf(without, r, 60), rulesOf(with, r, 60)
		}
		if found += len(want); !slices.Equal(got, want) {
			t.Errorf("%s: %v with the filter, %v without", line, got, want)
		}
	}
	if found < 500 {
		t.Errorf("%d rules matched in all", found)
	}
}

// rulesOf returns the rules that match a request, in some of so many times.
func rulesOf(f *Firewall, r Request, times int) (all []int) {
	for range times {
		all = append(all, f.Judge(r).Rules...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// BenchmarkJudgeLarge is one text of 64 KiB.
func BenchmarkJudgeLarge(b *testing.B) {
	f := firewall(b, Config{})
	r := sent(`json {"a": "` + strings.Repeat("It's a fine day; where do we (all) go from here? ", 1320) + `"}`)
	for b.Loop() {
		f.Judge(r)
	}
}
