package ledger

import (
	"fmt"
	"time"

	"meridian"
)

// A Do is what becomes of a request that has a key: a label for metrics, too.
type Do string

// What is done.
const (
	Run      Do = "run"      // its function gets the event
	Replay   Do = "replay"   // it is answered as the first execution was
	Wait     Do = "wait"     // the first execution is under way: look again
	Busy     Do = "busy"     // the same, and there is no time to wait
	Mismatch Do = "mismatch" // the key was used for another request
	Spent    Do = "spent"    // it was executed, and its answer was not kept
	Unknown  Do = "unknown"  // nobody knows what became of the first execution
	Take     Do = "take"     // the first execution wrote nothing, and will not: ask for its claim
	Spoiled  Do = "spoiled"  // the same, and it may have had effects elsewhere, so it is not executed again
)

// A View is what Decide goes by.
type View struct {
	Mine   bool            // this request has the claim
	Same   bool            // it is the request that the claim was made for
	Region meridian.Region // that has the claim
	Done   bool            // the execution was answered
	Kept   bool            // and the answer is kept
	Over   bool            // the execution's time has passed
	Gone   bool            // the region that has the claim is lost, as the map says
	Clean  bool            // nothing that may write was sent for it, and from Take on nothing is
	Again  bool            // what wrote nothing may be executed again, whatever it did elsewhere
	Left   time.Duration   // that this request may still wait
}

// A Decision says what becomes of a request, and why.
type Decision struct {
	Do  Do
	Why string
}

// Decide says what becomes of a request that has a key. It runs only with the
// claim, and whoever else has that is never doubted: a second execution is worse
// than none.
func Decide(v View) Decision {
	switch {
	case v.Mine:
		return Decision{Run, "no request with its key was executed before"}
	case !v.Same:
		return Decision{Mismatch, "its key was used for another request before, which had another query, content or cookies"}
	case v.Done && v.Kept:
		return Decision{Replay, fmt.Sprintf("it was executed in %s, and is answered as it was then", v.Region)}
	case v.Done:
		return Decision{Spent, fmt.Sprintf("it was executed in %s, and its answer was too large to be kept", v.Region)}
	case v.Clean && v.Again && (v.Over || v.Gone):
		return Decision{Take, fmt.Sprintf("%s began to execute it and %s, before anything was written", v.Region, v.ending())}
	case v.Clean && v.Over:
		return Decision{Spoiled, fmt.Sprintf("%s began to execute it and did not say how that ended; nothing was written to the database, and what it did elsewhere is not known", v.Region)}
	case v.Over:
		return Decision{Unknown, fmt.Sprintf("%s began to execute it and did not say how that ended; it may have been executed", v.Region)}
	case v.Left <= 0:
		return Decision{Busy, fmt.Sprintf("%s is executing it", v.Region)}
	}
	return Decision{Wait, fmt.Sprintf("%s is executing it", v.Region)}
}

func (v View) ending() string {
	if v.Gone {
		return "was lost"
	}
	return "did not say how that ended"
}

// Of returns the view of a request that has found an entry. What the entry does
// not tell, Gone and Again, is the caller's to add.
func (e Entry) Of(print Print, left time.Duration) View {
	return View{Mine: e.Mine, Same: e.Print == print, Region: e.Region, Done: e.Done, Kept: e.Answer != nil, Over: e.Over, Clean: e.Clean, Left: left}
}
