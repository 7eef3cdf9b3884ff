package postgres

import (
	"meridian"
	"meridian/postgres/classify"
)

// A place is where a transaction block is open.
type place byte

const (
	nowhere  place = iota // no block is open
	onNear                // a READ ONLY block, on the local standby
	onMain                // on the primary
	deferred              // BEGIN was answered and not yet sent
)

// A routeView is what is known when a group of messages asks for a backend.
type routeView struct {
	Here    bool   // this region is the primary's: one PostgreSQL for all
	Lapsed  bool   // and has no right to act as that now: it reads as a standby would
	Pinned  string // why the session must stay on the primary, or ""
	Busy    bool   // the primary owes replies: whatever follows keeps its order there
	Block   place
	Movable bool // the READ ONLY block can be opened again on the primary
	Failed  bool // the block on the standby has failed
	Lazy    bool // the session wants its blocks to stay on the standby until they write
	Began   bool // the block on the standby is such a block

	Verdict  *classify.Verdict // on the group: the strictest of its statements; nil if it runs none
	Single   bool              // the group is that one statement
	Alone    bool              // or that one text of several
	Opens    bool              // it opens a block, or sets something, and its end has not come
	Mode     meridian.Consistency
	Reads    bool // it reads data: Mode matters
	Sets     bool // it changes Mode for what follows
	Oversize bool // more than is held
}

// What to do with a group.
const (
	toNear  = "run on the standby"
	toMain  = "run on the primary"
	doMove  = "move the block to the primary"
	doFold  = "answer BEGIN, send it with what follows"
	doEmpty = "answer the end of a block that held nothing"
	doFail  = "refuse"
)

// A routeDecision says what to do with a group, and why.
type routeDecision struct{ Do, Why string }

const whyStrong = "strong: it runs on the primary"

// route decides where a group of messages runs.
func route(v routeView) routeDecision {
	switch {
	case v.Here && !v.Lapsed && v.Block != onNear:
		return routeDecision{toMain, "this region is the primary's"}
	case v.Block == deferred && v.Single && v.Verdict.Block == classify.End && v.Verdict.Foldable:
		return routeDecision{doEmpty, "the block held nothing"}
	case v.Block == deferred, v.Block == onMain:
		return routeDecision{toMain, "its block is there"}
	case v.Busy:
		return routeDecision{toMain, "statements before it are there"}
	case v.Block == onNear && v.Failed:
		return routeDecision{toNear, "its block has failed there"}
	case v.Block == onNear && v.Began:
		return inLazy(v)
	case v.Block == onNear:
		return inReadOnly(v)
	case v.Pinned != "":
		return routeDecision{toMain, "pinned: " + v.Pinned}
	case v.Oversize:
		return routeDecision{toMain, "a group larger than is held"}
	case v.Verdict == nil:
		return routeDecision{toNear, "it runs nothing"}
	case v.Opens && (!v.Single || !v.Verdict.Foldable):
		return routeDecision{toMain, whyOpens}
	case v.Opens:
		return routeDecision{doFold, whyOpens}
	case v.Mode.Level == meridian.Strong && v.Single && v.Verdict.ReadOnly && v.Verdict.Foldable:
		return routeDecision{doFold, whyStrong}
	case v.Mode.Level == meridian.Strong && (v.Reads || v.Verdict.ReadOnly):
		return routeDecision{toMain, whyStrong}
	case v.Verdict.Where != classify.Primary:
		return routeDecision{toNear, v.Verdict.Why}
	case v.Lazy && v.Single && v.Verdict.Lazy && v.Mode.Level != meridian.Strong:
		return routeDecision{toNear, whyLazy}
	case v.Single && v.Verdict.Block == classify.Begin && v.Verdict.Foldable:
		return routeDecision{doFold, v.Verdict.Why}
	}
	return routeDecision{toMain, v.Verdict.Why}
}

// whyOpens: what a standby has answered of a group cannot be taken back, and
// whatever may follow in it must find the block open, and undo the setting if it
// fails.
const whyOpens = "it opens a block or sets something, and more of its group may follow"

const whyLazy = "lazy: the block stays on the standby until it writes"

// inLazy routes within a lazy block that has not written: plain reads stay on
// the standby, all else takes the block to the primary.
func inLazy(v routeView) routeDecision {
	strong := v.Mode.Level == meridian.Strong && v.Reads
	switch {
	case v.Verdict == nil, v.Verdict.Block == classify.End, v.Verdict.Where == classify.Standby && v.Verdict.Plain && !strong:
		return routeDecision{toNear, whyLazy}
	case strong:
		return routeDecision{doMove, whyStrong}
	}
	return routeDecision{doMove, v.Verdict.Why}
}

// inReadOnly routes within a READ ONLY block on the standby. A write fails
// there as it would on the primary.
func inReadOnly(v routeView) routeDecision {
	why := whyStrong
	switch strong := v.Mode.Level == meridian.Strong && v.Reads; {
	case v.Verdict == nil, v.Verdict.Where != classify.Primary && !strong, v.Verdict.Alike && v.Alone:
		return routeDecision{toNear, "its block is there"}
	case v.Verdict.Where == classify.Primary:
		why = v.Verdict.Why
	}
	if v.Movable {
		return routeDecision{doMove, why}
	}
	return routeDecision{doFail, why}
}
