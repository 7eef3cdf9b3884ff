package store

import "slices"

// A seating is what DecideSeats goes by. Members have names here.
type seating struct {
	self   string   // who decides: it leads
	votes  []string // who votes
	learn  []string // who learns
	wanted []string // who should vote; none: nobody says
	failed int      // how often the step before was refused
}

// seatPatience is how often a step is tried before another is: ten seconds.
const seatPatience = 20

// A step changes one seat.
type step struct {
	do  string // add, promote, remove, yield or ""
	who string
	why string
}

// decideSeats says which one change brings the members nearer to those that are
// wanted. A newcomer learns first, and gets its vote when it has the log; where
// two come, the first waits for the second, so that the time with an even number
// of votes is short. A seat is given up once its successor votes. etcd refuses
// what would cost the majority; then another change is tried.
func decideSeats(s seating) step {
	missing := func(have ...[]string) (out []string) {
		for _, w := range s.wanted {
			if !slices.Contains(slices.Concat(have...), w) {
				out = append(out, w)
			}
		}
		return out
	}
	if len(s.wanted) == 0 {
		return step{why: "nobody says who should vote"}
	}
	for _, l := range s.learn {
		if !slices.Contains(s.wanted, l) {
			return step{"remove", l, l + " learns, and is not wanted any more"}
		}
	}
	leaves := slices.DeleteFunc(slices.Clone(s.votes), func(v string) bool { return slices.Contains(s.wanted, v) })
	others := slices.DeleteFunc(slices.Clone(leaves), func(v string) bool { return v == s.self })
	if over := s.failed - seatPatience; over > 0 && over%2 == 1 && len(others) > 0 {
		who := others[over/2%len(others)]
		return step{"remove", who, who + " should not vote, and nothing else could be done first"}
	}
	if out := missing(s.votes, s.learn); len(out) > 0 {
		return step{"add", out[0], out[0] + " should vote: it learns first"}
	}
	if out := missing(s.votes); len(out) > 0 {
		return step{"promote", out[0], out[0] + " learns, and should vote"}
	}
	switch {
	case len(others) > 0:
		return step{"remove", others[0], others[0] + " should not vote"}
	case len(leaves) > 0:
		return step{"yield", s.wanted[0], s.self + " leads, and should not vote"}
	}
	return step{why: "those vote who should"}
}
