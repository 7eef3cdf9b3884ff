package main

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantilesAreBoundsAtMostNinePercentAbove(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(20*time.Millisecond))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		exact, got := all[int(q*float64(len(all)))-1], h.quantile(q)
		if got < exact || float64(got) > 1.0906*float64(exact)+float64(2*time.Microsecond) {
			t.Errorf("quantile %v is %v, want %v", q, got, exact)
		}
	}
	if empty := new(histogram).quantile(0.5); empty != 0 {
		t.Errorf("quantile of nothing is %v", empty)
	}
}

func TestReportNamesWhatFailedAndWhere(t *testing.T) {
	r := newReport()
	r.add("read", "sa-east-1", 12*time.Millisecond, nil)
	for range shownErrors + 5 {
		r.add("read", "sa-east-1", time.Millisecond, errors.New("it is stale"))
	}
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"read at sa-east-1: it is stale", "and 5 more errors", "12.0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, &out)
		}
	}
	if r.failures() != shownErrors+5 {
		t.Errorf("%d failures", r.failures())
	}
}
