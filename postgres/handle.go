package postgres

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"meridian"
	"meridian/postgres/classify"
	"meridian/postgres/session"
)

// A mark is the handle of the transaction that a group may commit, and where in
// the group it is left. The zero mark is none.
type mark struct {
	handle    string
	where     whereMark
	since     meridian.Token // where the log was before it was sent, at the least
	completes bool           // see completes
}

// A whereMark is where a handle goes.
type whereMark byte

const (
	noMark    whereMark = iota
	markFirst           // before the first that the group runs, whose implicit transaction it names
	markEnd             // before the group's last Execute, which commits
	markAlone           // before the group, which commits the open block
)

// A markView is what is known of a group that goes to the primary.
type markView struct {
	Open       bool // a block is open, as far as is known
	Known      bool // and that is sure: the primary owes nothing
	Failed     bool // and it has failed
	Wrote      bool // something in it may have written
	Simple     bool // a Query or a function call, with no Sync
	Whole      bool // all of the group is here
	Loose      bool // an error before its last message may have PostgreSQL pass over what ends it
	Unsure     bool // it binds the statement without a name, which is not answered for yet: the handle's would take its place
	Statements []*classify.Verdict
	Since      meridian.Token // where the log is, at the least
}

// A markDecision says where the handle goes, and what is known afterwards.
type markDecision struct {
	Where       whereMark
	Why         string
	Open, Wrote bool // a block may be open, in which something may have written
}

// decideMark finds the place in which a handle is in the transaction that it
// names and nobody sees it: never before a block's first statement, which may
// set the isolation level; never before what may not run in a transaction with
// others; and never where nothing writes, as it would make that wait for the
// disk.
func decideMark(v markView) markDecision {
	d := markDecision{Open: v.Open, Wrote: v.Wrote}
	ends, handles, others := 0, 0, 0
	for _, s := range v.Statements {
		switch {
		case s == nil:
			others, d.Wrote, d.Open = others+1, true, true
		case s.Block == classify.Begin:
			d.Open = true
			others++
		case s.Block == classify.End:
			d.Open = !s.Foldable // AND CHAIN
			if ends++; !s.Commits {
				others++
			}
		case s.Block != classify.NoBlock, s.Count != 1 && !s.Handle:
			d.Open = d.Open || s.Block == classify.Scripted
			d.Wrote = d.Wrote || s.Writes
			others++
		case s.Writes:
			d.Wrote = true
			if handles++; !s.Handle || v.Simple && s.Copies {
				others++
			}
		}
	}
	n := len(v.Statements)
	last := n > 0 && v.Statements[n-1] != nil && v.Statements[n-1].Commits
	wrote := d.Wrote
	d.Wrote = d.Wrote && d.Open
	switch {
	case n == 0 || !v.Whole:
		d.Why = "no whole group"
	case v.Loose:
		d.Why = "what ends it may be passed over" // and a Sync behind it would end that
	case v.Known && v.Failed:
		d.Why = "its block has failed"
	case v.Unsure:
		d.Why = "what it binds may not be there"
	case ends == 1 && last && !wrote:
		d.Why = "nothing was written"
	case ends == 1 && last && n == 1 && (v.Simple || !v.Known):
		d.Where, d.Why = markAlone, "it commits the block"
	case ends == 1 && last && !v.Simple:
		d.Where, d.Why = markEnd, "its last statement commits"
	case v.Open || d.Open || ends > 0:
		d.Why = "it does not commit"
	case handles+others == 0:
		d.Why = "nothing writes"
	case others > 0:
		d.Why = "a statement that runs in no transaction with others"
	default:
		d.Where, d.Why = markFirst, "a transaction of its own"
	}
	return d
}

// marks gives a session's transactions their handles. What it knows of the
// block is only a guess while the primary owes replies.
type marks struct {
	off         bool // negative control, and for measuring: no handle is left
	open, wrote bool
}

// next returns the mark of a group.
func (m *marks) next(v markView) mark {
	if m.off {
		return mark{}
	}
	d := decideMark(v)
	m.open, m.wrote = d.Open, d.Wrote
	if d.Where == noMark {
		return mark{}
	}
	return mark{handle: newHandle(v.Since.LSN), where: d.Where, since: v.Since, completes: completes(v, d.Where)}
}

// unsure notes that more was sent of a group that got its mark, or none.
func (m *marks) unsure() { m.wrote = true }

// newHandle returns a name that no other transaction has. It tells where the log
// was, at the least, before it was sent.
func newHandle(since meridian.LSN) string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return handleOf(since, binary.BigEndian.Uint64(b[:]))
}

func handleOf(since meridian.LSN, random uint64) string {
	return fmt.Sprintf("%016x%016x", uint64(since), random)
}

// markView collects what decides on the mark of the group at hand. The caller
// holds c.mu; folded says that the BEGIN goes with it.
func (c *client) markView(folded bool) markView {
	u := c.main
	// Who writes in the primary's own region is lost with it, unless it is a
	// function, whose caller's token names the write.
	if c.marks.off = c.p.noHandles || u.backend != nil && c.env == nil; c.marks.off {
		return markView{}
	}
	if u.tracker.Quiet() {
		c.marks.open = u.tracker.Status != 'I'
		c.marks.wrote = c.marks.wrote && c.marks.open
	}
	v := markView{Open: c.marks.open || folded, Known: u.tracker.Quiet(), Failed: u.tracker.Status == 'E', Wrote: c.marks.wrote, Whole: c.group.Ended, Since: c.p.history(c.p.watch.known().served)}
	v.Loose = u.tracker.Loose() || len(c.group.Messages) > 1 && c.group.Messages[len(c.group.Messages)-1].Kind != 'S'
	var parsed *session.Statement
	for _, m := range c.group.Messages {
		switch {
		case m.Kind == 'P':
			parsed = m.Stmt
		case m.Kind == 'B' && m.Stmt != nil && m.Stmt != parsed && m.Stmt.Name == "":
			v.Unsure = v.Unsure || !c.state.Has(m.Stmt)
		case m.Kind == 'Q' || m.Kind == 'F':
			v.Simple = true
			v.Statements = append(v.Statements, c.state.Resolve(m.Verdict))
		case m.Kind == 'E':
			v.Statements = append(v.Statements, c.state.Resolve(m.Verdict))
		}
	}
	return v
}

// encode appends a group's messages, and its mark. What runs nothing and comes before
// the mark ends as it would without: in a block that has failed after all a Close
// succeeds, and the mark does not.
func (u *upstream) encode(messages []session.Message, k mark) {
	simple, first, last := false, -1, -1
	for i, m := range messages {
		simple = simple || m.Kind == 'Q'
		if first < 0 && (m.Kind == 'E' || m.Kind == 'Q' || m.Kind == 'F') {
			first = i
		}
		if m.Kind == 'E' {
			last = i
		}
	}
	if k.where == markAlone {
		u.out = u.tracker.EmitAlone(u.out, k.handle)
	}
	for i, m := range messages {
		if k.where == markFirst && i == first || k.where == markEnd && i == last {
			u.out = u.tracker.Emit(u.out, k.handle)
		}
		u.out = u.tracker.Encode(u.out, m)
	}
	if k.where == markFirst && simple {
		u.out = u.tracker.Guard(u.out)
	}
}
