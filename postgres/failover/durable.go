package failover

import (
	"fmt"
	"slices"
	"strings"

	"meridian"
)

// Among names the regions that count, in the order of the config, with commas
// between them; "" leaves it to the config.
type Among string

// AmongOf returns regions as an Among.
func AmongOf(regions []meridian.Region) Among {
	var names []string
	for _, r := range regions {
		names = append(names, string(r))
	}
	return Among(strings.Join(names, ","))
}

// Regions returns a's regions, or those of the config if a leaves it to them.
func (a Among) Regions(config []meridian.Region) (out []meridian.Region) {
	if a == "" {
		return config
	}
	for name := range strings.SplitSeq(string(a), ",") {
		out = append(out, meridian.Region(name))
	}
	return out
}

// A Rule is what a commit must satisfy to be acknowledged: a durability, and
// the regions among which it counts.
type Rule struct {
	meridian.Durability
	Of Among
}

// A Promise is what the record says of durability. Now, among Of, holds for
// every commit that was acknowledged. While it changes the holder acknowledges
// only what satisfies Next, among NextOf, too; once that holds for all that came
// before it writes Next as Now, and only then goes by that alone. A region that
// joins or leaves changes Of in this way, so that no standby ever counts by
// other regions than the commits did.
type Promise struct {
	Now    meridian.Durability  `json:"now"`
	Of     Among                `json:"of,omitempty"`
	Next   *meridian.Durability `json:"next,omitempty"`
	NextOf Among                `json:"next_of,omitempty"`
}

// Rules returns what a commit must satisfy to be acknowledged.
func (p Promise) Rules() []Rule {
	if p.Next == nil {
		return []Rule{{p.Now, p.Of}}
	}
	return []Rule{{p.Now, p.Of}, {*p.Next, p.NextOf}}
}

// Ask returns the promise after an operator asked for d.
func (p Promise) Ask(d meridian.Durability) Promise { return p.Become(Rule{d, p.Of}) }

// Become returns the promise on its way to r.
func (p Promise) Become(r Rule) Promise {
	if r == (Rule{p.Now, p.Of}) { // which has held all the time
		return Promise{Now: p.Now, Of: p.Of}
	}
	return Promise{Now: p.Now, Of: p.Of, Next: &r.Durability, NextOf: r.Of}
}

// Kept returns the promise once Next holds for all that was acknowledged.
func (p Promise) Kept() Promise { return Promise{Now: *p.Next, Of: p.NextOf} }

// Equal reports whether p and q say the same.
func (p Promise) Equal(q Promise) bool { return slices.Equal(p.Rules(), q.Rules()) }

func (p Promise) String() string {
	switch {
	case p.Next == nil:
		return p.Now.String()
	case p.NextOf != p.Of:
		return fmt.Sprintf("%s, becoming %s among %s", p.Now, *p.Next, strings.ReplaceAll(string(p.NextOf), ",", ", "))
	}
	return p.Now.String() + ", becoming " + p.Next.String()
}

// A Quorum is who must have a commit on its disk, beside the primary, before
// the commit is acknowledged: Need of Of.
type Quorum struct {
	Need int
	Of   []meridian.Region
}

// QuorumOf returns what d wants while holder is the primary. Need is 0 where d
// waits for nobody.
//
// Of Sync, each acknowledged commit is in that region and in one more: where
// the region is the primary's itself, in any other.
func QuorumOf(d meridian.Durability, holder meridian.Region, regions []meridian.Region) Quorum {
	others := slices.DeleteFunc(slices.Clone(regions), func(r meridian.Region) bool { return r == holder })
	switch {
	case d.Quorum:
		return Quorum{len(regions) / 2, others} // with the holder, a majority
	case d.Sync != "" && d.Sync != holder:
		return Quorum{1, []meridian.Region{d.Sync}}
	case d.Sync != "":
		return Quorum{1, others}
	}
	return Quorum{}
}

// Confirmed returns the highest position that q has on its disks, from what
// each region is known to have.
func (q Quorum) Confirmed(flushed map[meridian.Region]meridian.LSN) meridian.LSN {
	var at []meridian.LSN
	for _, r := range q.Of {
		at = append(at, flushed[r])
	}
	if q.Need == 0 || q.Need > len(at) {
		return 0
	}
	slices.Sort(at)
	return at[len(at)-q.Need]
}

// String names q as PostgreSQL's synchronous_standby_names would, for people.
func (q Quorum) String() string {
	var names []string
	for _, r := range q.Of {
		names = append(names, string(r))
	}
	return fmt.Sprintf("%d of %s", q.Need, strings.Join(names, ", "))
}

// answers returns how many of q's regions must have reported so that at least
// one of them has each commit that q confirmed, and how many did.
func (q Quorum) answers(reports []Report, term uint64) (want, got int) {
	for _, p := range reports {
		if p.Term == term && slices.Contains(q.Of, p.Region) {
			got++
		}
	}
	if q.Need == 0 {
		return 0, got
	}
	return len(q.Of) - q.Need + 1, got
}

// represented says why the reports of a term may all lack a commit that was
// acknowledged, or "". durable says that they are known not to. Of a promise
// that changes, Now held for each.
func (v View) represented(term uint64) (durable bool, why string) {
	d := v.Record.Promise.Now
	q := QuorumOf(d, v.Record.Region, v.Regions)
	if want, got := q.answers(v.Reports, term); got < want {
		return false, fmt.Sprintf("durability is %s, and of the %d regions that commits waited for %d reported, %d are needed", d, len(q.Of), got, want)
	}
	return q.Need > 0, ""
}
