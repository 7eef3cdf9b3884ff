package failover

import (
	"fmt"
	"slices"
	"time"

	"meridian"
)

// Times of the lease. The largest round trip between regions that is known is
// 420 ms: the lease is seven of them.
const (
	Lease  = 3 * time.Second        // how long a holder may act after it sent a renewal
	Drift  = 250 * time.Millisecond // what clocks may differ by in that time; a successor waits it longer
	Renew  = 750 * time.Millisecond // between renewals
	Muster = time.Second            // how long a recruit waits for the reports of all, before a majority will do
)

// A Record says who takes the writes.
type Record struct {
	Region meridian.Region `json:"region"`
	Term   uint64          `json:"term"`  // counts holders; never goes back
	Count  uint64          `json:"count"` // of renewals in this term: it makes each a new revision
	// Took is the term in which Region took the writes, if it raised its term
	// since; 0: Term. Who follows it in a term from that on follows the same log.
	Took uint64 `json:"took,omitempty"`
	// Gate is the position that Region must have replayed before it opens, in
	// a planned move; 0 in any other.
	Gate meridian.LSN    `json:"gate,omitempty"`
	From meridian.Region `json:"from,omitempty"` // the holder before, in a planned move
	Mark Mark            `json:"mark,omitzero"`  // of Region, in a planned move
	// Seen are moments by the other regions' clocks, before the record was sent:
	// who finds its own there counts from it.
	Seen map[meridian.Region]Mark `json:"seen,omitempty"`
	// Promise is in the record so that whoever takes it, by compare-and-set,
	// has seen which commits were acknowledged.
	Promise Promise `json:"promise,omitzero"`
}

// A Mark is a moment by the clock of a move's successor, which it told the
// holder before that one handed the record over. What was marked before the
// record was sent was marked before anybody received it: the successor may act
// for Lease after its mark as after a renewal, and need not renew before it
// opens.
type Mark struct {
	Move string        `json:"move,omitempty"` // the move's ID
	Boot string        `json:"boot"`           // of whose clock it is: another start of the node has no right from it
	At   time.Duration `json:"at"`             // by CLOCK_BOOTTIME
}

// A Report is a standby's answer to the call for a term.
type Report struct {
	Region   meridian.Region `json:"region"`
	Term     uint64          `json:"term"` // that it pledged
	Timeline uint32          `json:"timeline"`
	Flushed  meridian.LSN    `json:"flushed"`
}

// A Pledge is a term below which a region follows nobody. It is told where a
// Report cannot be given, as of a database that is being copied, and counts as
// none: it says nothing of what is lost.
type Pledge struct {
	Region meridian.Region `json:"region"`
	Term   uint64          `json:"term"`
}

// A Move is what an operator asked for.
type Move struct {
	ID    string          `json:"id"`
	To    meridian.Region `json:"to"`
	Force bool            `json:"force"` // without the holder's consent
	// Wait, if it is not 0, gives the move up rather than to end a session that
	// cannot move, and is how long it waits for those to end.
	Wait time.Duration `json:"wait,omitempty"`
	// Term is that of the record when it was asked: a later record answers it.
	Term uint64 `json:"term"`
}

// A State is what the node's own PostgreSQL is.
type State string

// The states.
const (
	Primary State = "primary"
	Standby State = "standby"
	Stopped State = "stopped" // or starting, or not known
)

// A View is what a node knows when it decides.
type View struct {
	Self    meridian.Region
	Regions []meridian.Region // that count, as the record's promise says, in the config's order
	Witness meridian.Region   // breaks the tie of an even number of regions; "" if there is none
	Record  Record
	Age     time.Duration // since the newest renewal was received here, or since this node's mark in it
	State   State
	Lacks   string        // what is done to a standby's data, which are not there yet, for people; "" if they are
	Pledged uint64        // the highest term that this node pledged
	Follows uint64        // the term whose holder this standby streams from; 0: nobody's
	Since   time.Duration // since it did
	Reports []Report
	Pledges []Pledge
	Lag     time.Duration // how far this standby was behind when it last heard of the primary; < 0: unknown
	MaxLoss time.Duration // more than this is for a person to decide
	Move    *Move
	Alive   map[meridian.Region]bool // who answers, as this node sees it
}

// An Action is what a node does next.
type Action string

// The actions.
const (
	Wait    Action = "wait"
	Hold    Action = "renew"   // renew the lease
	Raise   Action = "raise"   // renew it in a term above every pledge
	Hand    Action = "hand"    // hand the record over, in a planned move
	Refuse  Action = "refuse"  // refuse a planned move
	Recruit Action = "recruit" // pledge the next term and report
	Tell    Action = "tell"    // report again for the term that is pledged
	Own     Action = "own"     // tell the term that is pledged, without a report
	Take    Action = "take"    // take the record
	Promote Action = "promote" // make the standby the primary: the record is ours
	Follow  Action = "follow"  // follow the record's holder in its term
	Rejoin  Action = "rejoin"  // give up being the primary, and follow
	Vote    Action = "vote"    // as the witness, say that a term's call is right
)

// A Decision is an action and its reason.
type Decision struct {
	Do   Action
	Who  meridian.Region // to hand to, or to follow
	Term uint64          // to raise to, to recruit or to take
	Why  string
}

// Decide says what the node of v does next.
func Decide(v View) Decision {
	if v.Record.Region == v.Self {
		return v.holder()
	}
	if v.State == Primary {
		return Decision{Rejoin, v.Record.Region, v.Record.Term, fmt.Sprintf("%s holds term %d", v.Record.Region, v.Record.Term)}
	}
	if v.expired() {
		return v.successor()
	}
	switch {
	case v.Pledged > v.Record.Term && !v.reported(v.Pledged) && !slices.Contains(v.Pledges, Pledge{v.Self, v.Pledged}):
		return Decision{Own, v.Self, v.Pledged, fmt.Sprintf("%s pledged term %d and could not report, and %s renews term %d: it must go above", v.Self, v.Pledged, v.Record.Region, v.Record.Term)}
	case v.Pledged > v.Record.Term:
		return Decision{Wait, v.Record.Region, v.Record.Term, fmt.Sprintf("%s pledged term %d, and %s renews term %d: it must go above", v.Self, v.Pledged, v.Record.Region, v.Record.Term)}
	case v.Follows < v.Record.Term:
		return Decision{Follow, v.Record.Region, v.Record.Term, fmt.Sprintf("%s holds term %d", v.Record.Region, v.Record.Term)}
	}
	return Decision{Wait, v.Record.Region, v.Record.Term, fmt.Sprintf("%s renewed term %d %v ago", v.Record.Region, v.Record.Term, v.Age.Round(time.Millisecond))}
}

// holder decides for the node that holds the record.
func (v View) holder() Decision {
	term := v.Record.Term
	if top := max(v.topReport(), v.topPledge()); top > term && v.State == Primary {
		return Decision{Raise, v.Self, top + 1, fmt.Sprintf("standbys pledged term %d while %s held term %d", top, v.Self, term)}
	}
	if m := v.Move; m != nil && m.To != v.Self && m.Term == term && v.State == Primary {
		if v.Alive[m.To] || m.Force {
			return Decision{Hand, m.To, term + 1, fmt.Sprintf("an operator moves the primary to %s", m.To)}
		}
		return Decision{Refuse, m.To, term, fmt.Sprintf("%s does not answer %s", m.To, v.Self)}
	}
	if v.State == Standby {
		return Decision{Promote, v.Self, term, fmt.Sprintf("%s holds term %d and is a standby still", v.Self, term)}
	}
	return Decision{Hold, v.Self, term, fmt.Sprintf("%s holds term %d", v.Self, term)}
}

// expired reports whether the holder may no longer act, as seen from here.
func (v View) expired() bool { return v.Age >= Lease+Drift }

// successor decides for a standby whose primary let its lease expire.
func (v View) successor() Decision {
	next := v.Record.Term + 1
	lost := fmt.Sprintf("%s let term %d expire", v.Record.Region, v.Record.Term)
	forced := v.Move != nil && v.Move.Force && v.Move.Term == v.Record.Term
	wait := func(why string, args ...any) Decision {
		return Decision{Wait, v.Record.Region, next, lost + "; " + fmt.Sprintf(why, args...)}
	}
	switch {
	case v.State != Standby:
		return wait("%s has no running standby", v.Self)
	case v.Lacks != "": // to pledge would cut that off, and there is nothing to report
		return wait("PostgreSQL of %s %s", v.Self, v.Lacks)
	case !slices.Contains(v.Regions, v.Self): // it joins or leaves: commits did not wait for it
		return wait("%s does not count among %d regions", v.Self, len(v.Regions))
	}
	if v.Pledged < next {
		return Decision{Recruit, v.Self, next, lost}
	}
	if v.Pledged > next { // a holder that was never seen took a term and is gone
		next = v.Pledged
	}
	if !v.reported(next) { // its PostgreSQL was not up when it pledged, or the store had no leader
		return Decision{Tell, v.Self, next, fmt.Sprintf("%s; %s pledged term %d and has not reported", lost, v.Self, next)}
	}
	best, n := v.best(next)
	durable, lacks := v.represented(next)
	tied := v.Witness != "" && len(v.Regions)%2 == 0
	need, votes := len(v.Regions)/2+1, n
	if tied {
		votes += v.witnessed(next)
	}
	switch {
	case votes < need && !forced && tied:
		return wait("%d of %d regions and the witness reported, %d are needed", votes, len(v.Regions), need)
	case votes < need && !forced:
		return wait("%d of %d regions reported, %d are needed", n, len(v.Regions), need)
	case n < len(v.Regions)-1 && v.Since < Muster:
		return wait("%d regions reported, the others have %v", n, (Muster - v.Since).Round(time.Millisecond))
	case forced && v.Move.To != v.Self:
		return wait("an operator gives it to %s", v.Move.To)
	case forced:
		return Decision{Take, v.Self, next, lost + "; an operator gives it to " + string(v.Self)}
	case lacks != "":
		return wait("%s", lacks)
	case best.Region != v.Self:
		return wait("%s has the longest log, %d/%s", best.Region, best.Timeline, best.Flushed)
	case durable: // nothing that was acknowledged is missing, however old the log is
	case v.Lag < 0:
		return wait("how far %s is behind is not known: a person must decide", v.Self)
	case v.Lag > v.MaxLoss:
		return wait("%s was %v behind, more than %v may be lost without a person's word", v.Self, v.Lag.Round(time.Millisecond), v.MaxLoss)
	}
	return Decision{Take, v.Self, next, fmt.Sprintf("%s; %s has the longest log of %d, %d/%s", lost, v.Self, n, best.Timeline, best.Flushed)}
}

// reported reports whether this node's own report of a term is there.
func (v View) reported(term uint64) bool {
	return slices.ContainsFunc(v.Reports, func(p Report) bool { return p.Region == v.Self && p.Term == term })
}

// witnessed returns how many votes the witness gave to a term.
func (v View) witnessed(term uint64) (n int) {
	for _, p := range v.Reports {
		if p.Region == v.Witness && p.Term == term {
			n = 1
		}
	}
	return n
}

// DecideWitness says what the witness does next. It votes for the term that a
// region pledged, once it has itself not seen the holder renew for as long as a
// successor waits. It calls for no term, and takes none.
func DecideWitness(v View) Decision {
	holder, term := v.Record.Region, v.Record.Term
	call := v.topReport()
	switch {
	case holder == "":
		return Decision{Wait, "", 0, "nobody holds a term yet"}
	case !v.expired():
		return Decision{Wait, holder, term, fmt.Sprintf("%s renewed term %d %v ago", holder, term, v.Age.Round(time.Millisecond))}
	case call <= term:
		return Decision{Wait, holder, term, fmt.Sprintf("%s let term %d expire; no region pledged another yet", holder, term)}
	case v.witnessed(call) > 0:
		return Decision{Wait, holder, call, fmt.Sprintf("%s let term %d expire; the vote for term %d is given", holder, term, call)}
	}
	return Decision{Vote, v.Self, call, fmt.Sprintf("%s let term %d expire, and a region pledged term %d", holder, term, call)}
}

// best returns the most advanced report of a term, and how many there are. Of
// equals it is the first region of the config.
func (v View) best(term uint64) (best Report, n int) {
	for _, r := range v.Regions {
		for _, p := range v.Reports {
			if p.Region != r || p.Term != term {
				continue
			}
			n++
			if n == 1 || p.Timeline > best.Timeline || p.Timeline == best.Timeline && p.Flushed > best.Flushed {
				best = p
			}
		}
	}
	return best, n
}

// topReport returns the highest term that another region has reported for.
func (v View) topReport() (top uint64) {
	for _, p := range v.Reports {
		if p.Region != v.Self {
			top = max(top, p.Term)
		}
	}
	return top
}

// topPledge returns the highest term that another region has pledged and could
// not report for.
func (v View) topPledge() (top uint64) {
	for _, p := range v.Pledges {
		if p.Region != v.Self {
			top = max(top, p.Term)
		}
	}
	return top
}
