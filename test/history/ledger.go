package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// An Entry is the insertion of an id into a ledger. No client inserts an id
// twice.
type Entry struct {
	ID      int64
	Region  string // whose proxy it was asked of
	Call    time.Duration
	Return  time.Duration // Never, if it was not answered
	Outcome Outcome
	// Writer is the node that acknowledged it, and Term counts the changes of
	// that office. Both are of what is OK alone.
	Writer string
	Term   int64
	Note   string // for people: the error, if there was one
}

// A Ledger is what the entries and the table at the end say together.
type Ledger struct {
	Acknowledged int
	Lost         []Entry // acknowledged, and not there
	Twice        []int64 // there more than once
	Revived      []Entry // failed, and there
	Strange      []int64 // there, and nobody inserted it
	Appeared     int     // not answered, and there
	Vanished     int     // not answered, and not there
}

// Once compares the entries with the ids that the table holds at the end.
func Once(entries []Entry, there []int64) (l Ledger) {
	count := map[int64]int{}
	for _, id := range there {
		if count[id]++; count[id] == 2 {
			l.Twice = append(l.Twice, id)
		}
	}
	known := map[int64]bool{}
	for _, e := range entries {
		known[e.ID] = true
		here := count[e.ID] > 0
		switch e.Outcome {
		case OK:
			l.Acknowledged++
			if !here {
				l.Lost = append(l.Lost, e)
			}
		case Failed, Undone:
			if here {
				l.Revived = append(l.Revived, e)
			}
		case Unknown:
			if here {
				l.Appeared++
			} else {
				l.Vanished++
			}
		}
	}
	for _, id := range there {
		if !known[id] {
			l.Strange = append(l.Strange, id)
		}
	}
	slices.Sort(l.Twice)
	slices.Sort(l.Strange)
	return l
}

// A Reign is a time for which one node is known to have acknowledged in one
// term.
type Reign struct {
	Writer string
	Term   int64
	Acks   int
	// It had begun by First, when its first answer had come, and had not ended
	// by Last, when the last of what it answered was asked.
	First, Last time.Duration
}

// Writers returns the reigns in the order of their first answers, and what
// shows two of them at once: one acknowledged what was asked after the other
// one's first answer, and the other way about; or terms went back.
func Writers(entries []Entry) (reigns []Reign, overlaps []string) {
	type office struct {
		writer string
		term   int64
	}
	at := map[office]int{}
	for _, e := range entries {
		if e.Outcome != OK {
			continue
		}
		i, known := at[office{e.Writer, e.Term}]
		if !known {
			i = len(reigns)
			at[office{e.Writer, e.Term}] = i
			reigns = append(reigns, Reign{Writer: e.Writer, Term: e.Term, First: e.Return, Last: e.Call})
		}
		r := &reigns[i]
		r.Acks++
		r.First, r.Last = min(r.First, e.Return), max(r.Last, e.Call)
	}
	slices.SortFunc(reigns, func(a, b Reign) int { return cmp.Compare(a.First, b.First) })
	for i, a := range reigns {
		for _, b := range reigns[i+1:] {
			switch {
			case a.First < b.Last && b.First < a.Last:
				overlaps = append(overlaps, fmt.Sprintf("%s acknowledged in term %d what was asked at %v, after %s had in term %d by %v", a.Writer, a.Term, a.Last, b.Writer, b.Term, b.First))
			case a.Term == b.Term:
				overlaps = append(overlaps, fmt.Sprintf("%s and %s both acknowledged in term %d", a.Writer, b.Writer, a.Term))
			case a.First < b.Last && b.Term < a.Term:
				overlaps = append(overlaps, fmt.Sprintf("%s acknowledged what was asked at %v, after term %d had begun by %v", b.Writer, b.Last, a.Term, a.First))
			}
		}
	}
	return reigns, overlaps
}
