package failover

import (
	"fmt"
	"slices"
	"strings"

	"meridian"
)

// A Promise is what the record says of durability. Now holds for every commit
// that was acknowledged. While it changes the holder acknowledges only what
// satisfies Next, too; once that holds for all that came before it writes Next
// as Now, and only then goes by that alone.
type Promise struct {
	Now  meridian.Durability  `json:"now"`
	Next *meridian.Durability `json:"next,omitempty"`
}

// Modes returns what a commit must satisfy to be acknowledged.
func (p Promise) Modes() []meridian.Durability {
	if p.Next == nil {
		return []meridian.Durability{p.Now}
	}
	return []meridian.Durability{p.Now, *p.Next}
}

// Ask returns the promise after an operator asked for d.
func (p Promise) Ask(d meridian.Durability) Promise {
	if d == p.Now { // which has held all the time
		return Promise{Now: d}
	}
	return Promise{Now: p.Now, Next: &d}
}

func (p Promise) String() string {
	if p.Next == nil {
		return p.Now.String()
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
