package postgres

import (
	"fmt"
	"slices"

	"meridian"
)

// Where two primaries are lost one after the other, and the second with all that it
// had done, the history goes on from before its timeline: it passes that over.

// skipped returns the fork at which the history passed a timeline over. Nothing that
// was written on that is part of the history.
func skipped(forks []Fork, timeline uint32) (Fork, bool) {
	if slices.ContainsFunc(forks, func(f Fork) bool { return f.Timeline == timeline }) {
		return Fork{}, false
	}
	i := slices.IndexFunc(forks, func(f Fork) bool { return f.Timeline < timeline && timeline < f.next() })
	if i < 0 {
		return Fork{}, false
	}
	return forks[i], true
}

// decideSkipped says it of a token of a timeline that the history passed over at f:
// whoever promoted next had nothing of it.
func decideSkipped(t meridian.Token, f Fork) meridian.Fate {
	fresh := meridian.Token{Database: t.Database, System: t.System, Timeline: f.next(), LSN: f.LSN}
	over := fmt.Sprintf("the history went from timeline %d to %d at %s, past timeline %d", f.Timeline, f.next(), f.LSN, t.Timeline)
	if t.Handle == "" {
		return meridian.Fate{Is: meridian.ReadOnly, Why: over + ", and its bearer wrote nothing", Fresh: fresh}
	}
	return meridian.Fate{Is: meridian.Lost, Why: fmt.Sprintf("write %s is lost with an old primary: %s", t.Handle, over), Fresh: fresh}
}
