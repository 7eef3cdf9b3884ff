package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestTheSameSeedDrawsTheSamePlan(t *testing.T) {
	different := 0
	for seed := range uint64(50) {
		one, two := draw(dice(7, seed), planned, 6*time.Second), draw(dice(7, seed), planned, 6*time.Second)
		if one.String() != two.String() || len(one) == 0 {
			t.Fatalf("%d: %s, and then %s", seed, one, two)
		}
		if one.String() != draw(dice(8, seed), planned, 6*time.Second).String() {
			different++
		}
	}
	if different < 45 {
		t.Errorf("another seed draws another plan in only %d of 50 episodes", different)
	}
}

func TestAPlanLosesOneRegionAtATimeAndHealsIt(t *testing.T) {
	all := append(slices.Clone(planned), unplanned...)
	met := map[fault]bool{}
	for seed := range uint64(500) {
		away := 0
		for _, e := range draw(dice(seed, 1), all, 6*time.Second) {
			met[e.fault] = true
			switch e.fault {
			case down, pause, sleep, kill, freeze, isolate:
				if away++; e.heal {
					away -= 2
				}
			case oneWay:
				if e.a == e.b || max(e.a, e.b) > 2 {
					t.Fatalf("seed %d: no such link: %s", seed, e)
				}
			case cut, slow:
				if e.a >= e.b || e.b > 2 {
					t.Fatalf("seed %d: no such link: %s", seed, e)
				}
			}
			if away < 0 || away > 1 {
				t.Fatalf("seed %d: %s", seed, draw(dice(seed, 1), all, 6*time.Second))
			}
		}
		if away != 0 {
			t.Fatalf("seed %d: a region stays away: %s", seed, draw(dice(seed, 1), all, 6*time.Second))
		}
	}
	if len(met) != len(all) {
		t.Errorf("met only %v", met)
	}
}

func TestFaultsAreReadAndMistakesNamed(t *testing.T) {
	if got, err := parseFaults("planned,kill"); err != nil || len(got) != len(planned)+1 {
		t.Errorf("%v %v", got, err)
	}
	if got, err := parseFaults("none"); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := parseFaults("down,flood"); err == nil {
		t.Error("flood is no fault")
	}
	if got := draw(rand.New(rand.NewPCG(1, 1)), nil, time.Second); got != nil {
		t.Errorf("no faults, and yet %s", got)
	}
}
