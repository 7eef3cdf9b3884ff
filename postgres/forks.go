package postgres

import (
	"slices"

	"meridian"
)

// A Fork is where one timeline of the database ended and the next one began.
type Fork struct {
	Timeline uint32 // that ended
	LSN      meridian.LSN
	Next     uint32 `json:",omitempty"` // that began there
	Planned  bool   `json:",omitempty"` // nothing that was acknowledged came after it
}

// next returns the timeline that began at the fork. Old records do not say it.
func (f Fork) next() uint32 { return max(f.Next, f.Timeline+1) }

// settle returns the floor as far as it is part of the database's history, and
// whether that is all of it. A position past the end of its timeline, or on one
// that was passed over, went down with an old primary: nobody will ever reach it,
// so what the session may not miss is the end.
func settle(forks []Fork, floor meridian.Token) (meridian.Token, bool) {
	for _, f := range forks {
		if f.Timeline == floor.Timeline && floor.LSN > f.LSN {
			floor.LSN = f.LSN
			return floor, false
		}
	}
	if f, ok := skipped(forks, floor.Timeline); ok {
		floor.Timeline, floor.LSN = f.next(), f.LSN
		return floor, false
	}
	return floor, true
}

// endOf returns where a timeline ended that another one followed, which has come to
// now: at the latest there, if nobody has told of it yet, and as the newest move was.
func (p *Proxy) endOf(timeline uint32, now meridian.LSN) Fork {
	forks := p.deps.Forks()
	if i := slices.IndexFunc(forks, func(f Fork) bool { return f.Timeline == timeline }); i >= 0 {
		return forks[i]
	}
	return Fork{Timeline: timeline, LSN: now, Planned: p.deps.Handed != nil && p.deps.Handed()}
}

// system returns the database's, as a replica of this region says it.
func (p *Proxy) system() (id uint64) {
	for _, r := range p.replicas {
		if id = r.watch.known().served.System; id != 0 {
			break
		}
	}
	return id
}

// history returns settle's answer for the local database.
func (p *Proxy) history(floor meridian.Token) meridian.Token {
	if p.deps.Forks == nil || floor.IsZero() || floor.System != p.system() {
		return floor
	}
	known, whole := settle(p.deps.Forks(), floor)
	if whole {
		return floor
	}
	p.metrics.beyond.Inc()
	p.mu.Lock()
	first := p.lostTokens != floor
	p.lostTokens = floor
	p.mu.Unlock()
	if first {
		p.deps.Log.Warn("a token names a position that was lost with an old primary", "token", floor, "end", known.LSN)
	}
	return known
}
