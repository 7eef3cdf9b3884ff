package purge

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"meridian/edge/cache"
)

// remembered bounds the purges whose IDs an edge keeps. One that comes again
// after it was forgotten takes away what may be good: a miss, and no error.
const remembered = 16384

// Applied applies purges to one cache, each once, and remembers them.
type Applied struct {
	cache func(cache.Purge) int
	now   func() time.Time

	mu    sync.Mutex // guards what follows
	known map[string]*applied
	order []*applied // the oldest first
}

// An applied purge is one that is done, or that somebody is at.
type applied struct {
	id      string
	at      time.Time // when it arrived here
	done    chan struct{}
	objects int // once done
}

// NewApplied returns what applies purges by a function that removes objects and
// counts them.
func NewApplied(purge func(cache.Purge) int, now func() time.Time) *Applied {
	return &Applied{cache: purge, now: now, known: map[string]*applied{}}
}

// Apply makes sure that purges are done, and returns how many objects each
// removed, or made stale, when it was done.
func (a *Applied) Apply(ps []cache.Purge) []int {
	out := make([]int, len(ps))
	for i, p := range ps {
		d, first := a.enter(p.ID)
		if first {
			d.objects = a.cache(p)
			close(d.done)
		}
		<-d.done
		out[i] = d.objects
	}
	return out
}

// Note says that a purge is done here already.
func (a *Applied) Note(id string) {
	if d, first := a.enter(id); first {
		close(d.done)
	}
}

// enter notes a purge, and reports whether it is new.
func (a *Applied) enter(id string) (_ *applied, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d, ok := a.known[id]; ok {
		return d, false
	}
	d := &applied{id: id, at: a.now(), done: make(chan struct{})}
	a.known[id] = d
	a.order = append(a.order, d)
	if len(a.order) > remembered {
		delete(a.known, a.order[0].id)
		a.order = a.order[1:]
	}
	return d, true
}

// How much of the newest purges one edge tells another with a request.
const (
	recentFor = Bound + 2*time.Second // after Bound, no edge serves what was purged
	recentMax = 24
	separator = ";" // after an ID
)

// Recent names the purges that this edge applied lately, with the milliseconds
// since then: what another edge is told that may not have heard of them, so
// that it does not answer with what is purged here already. It is "" mostly.
func (a *Applied) Recent() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	var out []string
	for i := len(a.order) - 1; i >= 0; i-- {
		d := a.order[i]
		age := now.Sub(d.at)
		if age > recentFor {
			break
		}
		ms := strconv.FormatInt(age.Milliseconds()+1, 10)
		if len(out) == recentMax { // stands for the older ones: no purge has this ID
			return strings.Join(append(out, "*"+separator+ms), " ")
		}
		out = append(out, d.id+separator+ms)
	}
	return strings.Join(out, " ")
}

// After returns what another edge's Recent asks of this one's answers: that the
// origin gave or confirmed them after the newest of those purges that are not
// done here. It is zero if all are.
func (a *Applied) After(recent string) (after time.Time) {
	if recent == "" {
		return after
	}
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for item := range strings.FieldsSeq(recent) {
		id, text, _ := strings.Cut(item, separator)
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > recentFor.Milliseconds() {
			ms = recentFor.Milliseconds()
		}
		d, ok := a.known[id]
		if ok && d.finished() {
			continue
		}
		if t := now.Add(-time.Duration(ms) * time.Millisecond); t.After(after) {
			after = t
		}
	}
	return after
}

func (d *applied) finished() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
