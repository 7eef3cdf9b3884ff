package backup

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"meridian"
	"meridian/postgres/instance"
)

// A Backup is one base backup, as its backup.json says.
type Backup struct {
	Name     string       `json:"name"`
	System   uint64       `json:"system,string"`
	Database string       `json:"database"`
	Region   string       `json:"region"` // whose copy it is
	Major    int          `json:"postgres"`
	Timeline uint32       `json:"timeline"`
	Start    meridian.LSN `json:"start"` // the log is needed from here on
	End      meridian.LSN `json:"end"`   // and at least up to here
	Segment  uint64       `json:"segment"`
	Began    time.Time    `json:"began"`
	Ended    time.Time    `json:"ended"`
	Bytes    int64        `json:"bytes"` // as stored
}

// gapPatience is how long a gap may be one that is being filled: regions send
// their files in order, but not all at the same pace.
const gapPatience = 10 * time.Minute

// due says whether a base backup is to be made now, and why.
func due(newest *Backup, gap bool, every time.Duration, now time.Time) (bool, string) {
	switch {
	case newest == nil:
		return true, "there is no base backup yet"
	case gap && now.Sub(newest.Ended) >= gapPatience:
		return true, "log is missing in the archive after the newest base backup"
	case now.Sub(newest.Ended) >= every:
		return true, fmt.Sprintf("the newest base backup is %v old", now.Sub(newest.Ended).Round(time.Second))
	}
	return false, fmt.Sprintf("the newest base backup is younger than %v", every)
}

// expired returns the backups beyond the newest keep, and from where on the log
// is needed by those that stay.
func expired(backups []Backup, keep int) (old []Backup, from meridian.LSN) {
	slices.SortFunc(backups, newestFirst)
	if len(backups) <= keep {
		return nil, 0
	}
	for _, b := range backups[:keep] {
		if from == 0 || b.Start < from {
			from = b.Start
		}
	}
	return backups[keep:], from
}

func newestFirst(a, b Backup) int {
	return cmp.Or(b.Ended.Compare(a.Ended), cmp.Compare(b.Name, a.Name))
}

// A way is how to get to a moment: the log of one timeline and its ancestors,
// on top of a base backup.
type way struct {
	Backup   Backup
	Timeline uint32
	Files    []logKey     // histories, and WAL files in order
	Until    meridian.LSN // as far as they go without a gap
	Why      string
}

// find chooses the way to a target: the newest base backup that had ended
// before it, and the newest timeline that comes from there.
func find(backups []Backup, files []logKey, turns map[uint32]map[uint32]meridian.LSN, to instance.Target) (way, error) {
	slices.SortFunc(backups, newestFirst)
	for _, b := range backups {
		if !to.Time.IsZero() && b.Ended.After(to.Time) || to.LSN != 0 && b.End > to.LSN {
			continue
		}
		p := lay(b, files, turns, to.Timeline)
		if p.Timeline == 0 {
			continue // it is not on the timeline asked for
		}
		if to.LSN > p.Until {
			return p, meridian.WithKind(meridian.NotFound, fmt.Errorf("%s is not in the archive: from base backup %s on timeline %d it reaches to %s", to.LSN, b.Name, p.Timeline, p.Until))
		}
		p.Why = fmt.Sprintf("base backup %s, then the log along timeline %d", b.Name, p.Timeline)
		return p, nil
	}
	if len(backups) == 0 {
		return way{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no base backup"))
	}
	oldest := backups[len(backups)-1]
	return way{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("no base backup leads there: the oldest of %d ended at %s, %s, on timeline %d",
		len(backups), oldest.Ended.UTC().Format(time.RFC3339), oldest.End, oldest.Timeline))
}

// lay returns the way from a base backup along a timeline, or if that is 0,
// along the newest that comes from it.
func lay(b Backup, files []logKey, turns map[uint32]map[uint32]meridian.LSN, along uint32) way {
	p := way{Backup: b, Until: b.End}
	for tl, left := range turns {
		if end, ok := left[b.Timeline]; ok && end >= b.End && tl > p.Timeline && (along == 0 || tl == along) {
			p.Timeline = tl
		}
	}
	if p.Timeline == 0 && (along == 0 || along == b.Timeline) {
		p.Timeline = b.Timeline
	}
	if p.Timeline == 0 {
		return p
	}
	best := map[meridian.LSN]logKey{}
	for _, f := range files {
		if len(f.File) != 24 {
			p.Files = append(p.Files, f)
			continue
		}
		tl, start, err := instance.SegmentOf(f.File, b.Segment)
		end, ancestor := turns[p.Timeline][tl]
		if err != nil || tl != p.Timeline && (!ancestor || start >= end) || start+meridian.LSN(b.Segment) <= b.Start {
			continue
		}
		if was, ok := best[start]; !ok || f.File > was.File || f.File == was.File && was.Partial {
			best[start] = f
		}
	}
	at := b.Start - b.Start%meridian.LSN(b.Segment)
	for f, ok := best[at]; ok; f, ok = best[at] {
		p.Files = append(p.Files, f)
		at += meridian.LSN(b.Segment)
		p.Until = max(p.Until, at)
		if f.Partial {
			break
		}
	}
	return p
}

// gapAfter reports whether log is missing between a base backup and the newest
// WAL file: a restore from it would end early.
func gapAfter(b Backup, files []logKey, turns map[uint32]map[uint32]meridian.LSN) bool {
	p := lay(b, files, turns, 0)
	for _, f := range files {
		tl, start, err := instance.SegmentOf(f.File, b.Segment)
		if err == nil && tl == p.Timeline && !f.Partial && start > p.Until {
			return true
		}
	}
	return false
}
