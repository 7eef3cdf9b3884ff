package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/test/history"
)

// A record is all that is known of an episode when it is over.
type record struct {
	plan     plan
	lists    []history.Txn // the last one reads all keys, if the end was seen
	accesses []history.Access
	entries  []history.Entry
	seen     bool    // the end was read: the last of lists, and there
	there    []int64 // the ledger's ids at the end
	errors   map[string]int
	durable  bool // what was acknowledged is in another region, too, and outlives the primary's
	// wrong is what did not come back after all was healed, in words.
	wrong []string
}

// A verdict says what no world may do, and what else was seen.
type verdict struct {
	whole      bool // the world can go on
	violations []string
	notes      []string
}

// moveErrors are what a planned move may cost a client: a conflict, which it
// would have had without, and the end of a session that cannot move.
var moveErrors = []string{"40001", "40P01", "57P01"}

const registerPatience = 5 * time.Second

// judge compares an episode with what is promised.
func judge(r record) (v verdict) {
	v.whole = r.seen
	v.violations = append(v.violations, r.wrong...)
	fault := func(format string, args ...any) { v.violations = append(v.violations, fmt.Sprintf(format, args...)) }
	note := func(format string, args ...any) { v.notes = append(v.notes, fmt.Sprintf(format, args...)) }

	reigns, overlaps := history.Writers(r.entries)
	for _, o := range overlaps {
		fault("two primaries: %s", o)
	}
	mayLose := !r.durable && len(reigns) > 1 && r.plan.unplanned()
	if r.seen {
		r.judgeLedger(reigns, fault, note)
		if r.judgeLists(mayLose, fault, note) > 0 {
			mayLose = true
		}
	}

	var losses []history.Loss
	if mayLose {
		losses = r.plan.losses()
	}
	l := history.Registers(r.accesses, losses, registerPatience)
	if len(l.Broken) > 0 {
		fault("not linearizable: %s", strings.Join(l.Broken, ", "))
	}
	if len(l.Undecided) > 0 {
		note("not decided whether linearizable: %s", strings.Join(l.Undecided, ", "))
	}

	for _, code := range slices.Sorted(maps.Keys(r.errors)) {
		if len(r.plan) > 0 && r.plan.only(switchover) && !slices.Contains(moveErrors, code) {
			fault("a planned move cost %d errors %s", r.errors[code], code)
		}
		note("%s×%d", code, r.errors[code])
	}
	return v
}

// losses are the times after the faults that may take the primary away.
func (p plan) losses() (out []history.Loss) {
	for _, e := range p {
		if (plan{e}).unplanned() && !e.heal {
			out = append(out, history.Loss{From: e.at, To: history.Never})
		}
	}
	return out
}

func (r record) judgeLedger(reigns []history.Reign, fault, note func(string, ...any)) {
	l := history.Once(r.entries, r.there)
	for _, id := range l.Twice {
		fault("executed twice: the insert of %d", id)
	}
	for _, e := range l.Revived {
		fault("reported as failed, and done: the insert of %d through %s at %v", e.ID, e.Region, e.Call)
	}
	for _, id := range l.Strange {
		fault("nobody inserted %d", id)
	}
	for _, e := range l.Lost {
		switch {
		case r.durable || !r.plan.unplanned():
			fault("acknowledged and lost: the insert of %d through %s at %v, in term %d", e.ID, e.Region, e.Return, e.Term)
		case e.Term == reigns[len(reigns)-1].Term:
			fault("lost by the primary that acknowledged it and is one still: the insert of %d through %s at %v", e.ID, e.Region, e.Return)
		}
	}
	note("%d inserts acknowledged, %d lost, %d of unknown outcome (%d done), longest pause %v", l.Acknowledged, len(l.Lost), l.Appeared+l.Vanished, l.Appeared, pauseOf(r.entries).Round(time.Millisecond))
	var terms []string
	for _, w := range reigns {
		terms = append(terms, fmt.Sprintf("%d of %s (%d acknowledged, %v to %v)", w.Term, w.Writer, w.Acks, w.First.Round(time.Millisecond), w.Last.Round(time.Millisecond)))
	}
	if len(terms) > 1 {
		note("terms %s", strings.Join(terms, ", "))
	}
}

// pauseOf returns the longest time in which nothing was acknowledged.
func pauseOf(entries []history.Entry) (longest time.Duration) {
	var acks []time.Duration
	for _, e := range entries {
		if e.Outcome == history.OK && e.Note != atEnd {
			acks = append(acks, e.Return)
		}
	}
	slices.Sort(acks)
	for i := 1; i < len(acks); i++ {
		longest = max(longest, acks[i]-acks[i-1])
	}
	return longest
}

// judgeLists returns how many acknowledged transactions are lost. If some may
// be, so may those that nobody was told of, and whoever saw them. Documented,
// and no violation, are of asynchronous standbys that two readers see two
// writes in different orders (Long Fork), and of snapshot isolation that two
// writers each miss what the other one wrote.
func (r record) judgeLists(mayLose bool, fault, note func(string, ...any)) (lost int) {
	h, lost, torn := settle(r.lists)
	for _, t := range torn {
		fault("half of it is lost: %s", t)
	}
	if lost > 0 && (r.durable || !r.plan.unplanned()) {
		fault("acknowledged and lost: %d transactions on lists", lost)
	}
	if lost == 0 && !mayLose {
		h = r.lists
	}
	note("%d transactions on lists, %d lost", len(r.lists), lost)
	tolerated := map[string]int{}
	look := func(h []history.Txn, o history.Options, documented ...string) {
		for _, a := range history.List(h, o) {
			if slices.ContainsFunc(documented, func(name string) bool { return strings.HasPrefix(a.Name, name) }) {
				tolerated[a.Name]++
				continue
			}
			fault("%s: %s%s", a.Name, a.Text, cited(h, a.Txns))
		}
	}
	look(h, history.Options{Process: true}, history.Nonadjacent, history.G2)
	look(writers(h), history.Options{Realtime: true}, history.G2)
	for _, name := range slices.Sorted(maps.Keys(tolerated)) {
		note("%s×%d, as documented", name, tolerated[name])
	}
	return lost
}

// cited writes out the transactions of an anomaly.
func cited(h []history.Txn, txns []int) string {
	var b strings.Builder
	for _, i := range txns {
		fmt.Fprintf(&b, "\n    T%d %s", i+1, h[i])
	}
	return b.String()
}

// writers returns the transactions that append something, which ran on the
// primary and saw all that was acknowledged before, and the last one.
func writers(h []history.Txn) []history.Txn {
	last := len(h) - 1
	n := -1
	return slices.DeleteFunc(slices.Clone(h), func(t history.Txn) bool {
		n++
		return n != last && !slices.ContainsFunc(t.Ops, func(o history.Op) bool { return o.Append })
	})
}

// settle takes out what the last transaction's reads show to be lost: the
// transactions whose appends are not there, and what only read of them: what
// failed was nowhere to be read. torn are those of which some appends are there
// and some are not.
func settle(h []history.Txn) (kept []history.Txn, lost int, torn []history.Txn) {
	if len(h) == 0 {
		return nil, 0, nil
	}
	type element struct {
		key   string
		value int64
	}
	there := map[element]bool{}
	for _, o := range h[len(h)-1].Ops {
		for _, v := range o.List {
			there[element{o.Key, v}] = true
		}
	}
	was := map[element]bool{} // at some time, on some primary
	for _, t := range h {
		for _, o := range t.Ops {
			if o.Append && t.Outcome != history.Failed {
				was[element{o.Key, o.Value}] = true
			}
		}
	}
	for _, t := range h {
		here, gone, saw := 0, 0, false
		for _, o := range t.Ops {
			switch {
			case o.Append && there[element{o.Key, o.Value}]:
				here++
			case o.Append:
				gone++
			}
			saw = saw || slices.ContainsFunc(o.List, func(v int64) bool { return was[element{o.Key, v}] && !there[element{o.Key, v}] })
		}
		switch {
		case t.Outcome == history.Failed: // says nothing, and its appends must not be there
			kept = append(kept, t)
		case here > 0 && gone > 0:
			torn, kept = append(torn, t), append(kept, t)
		case gone > 0 && t.Outcome == history.OK:
			lost++
		case gone > 0: // it never happened
		case here == 0 && saw:
		default:
			kept = append(kept, t)
		}
	}
	return kept, lost, torn
}
