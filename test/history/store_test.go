package history_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/test/history"
)

func us(n int) time.Duration { return time.Duration(n) * time.Microsecond }

// A bug is what the store of a test does wrong.
type bug string

const (
	dirtyRead    bug = "it shows what failed"
	halfWrite    bug = "it shows transactions half done"
	lostAppend   bug = "it forgets what it acknowledged"
	twice        bug = "it executes an append twice"
	oldSession   bug = "a session reads from a replica that is behind it"
	fractured    bug = "a transaction reads two snapshots"
	twoUpdates   bug = "two transactions append to the same snapshot"
	twoReplicas  bug = "two replicas apply in different orders"
	staleForAll  bug = "reads are old, though each session sees its own"
	reordered    bug = "writes take effect before those that were acknowledged"
	backwardRead bug = "a session's reads go back in time"
)

// A store executes transactions one after another, each at some moment between
// its call and its return. versions[n] is its state after n of them.
type store struct {
	r        *rand.Rand
	bug      bug
	versions []map[string][]int64
	half     map[string][]int64 // the newest one before its transaction was done
	now      int
	next     int64
	free     []int       // when each session may call again
	wrote    map[int]int // by session: the version after its last transaction
	h        []history.Txn
}

const sessions, keys = 5, 3

// simulate returns a history of n transactions, and a last one that reads all.
func simulate(r *rand.Rand, n int, b bug) []history.Txn {
	s := &store{r: r, bug: b, versions: []map[string][]int64{{}}, free: make([]int, sessions), wrote: map[int]int{}}
	for range n {
		s.step()
	}
	last := history.Txn{Process: sessions, Call: us(s.now + 1000), Return: us(s.now + 1001), Outcome: history.OK}
	for k := range keys {
		key := fmt.Sprint("k", k)
		last.Ops = append(last.Ops, history.Op{Key: key, List: s.top()[key]})
	}
	s.h = append(s.h, last)
	slices.SortStableFunc(s.h, func(a, b history.Txn) int { return int(a.Call - b.Call) })
	return s.h
}

func (s *store) top() map[string][]int64 { return s.versions[len(s.versions)-1] }

// step executes one transaction at the next moment.
func (s *store) step() {
	s.now += 1 + s.r.IntN(10)
	p := s.r.IntN(sessions)
	call := max(s.free[p]+1, s.now-s.r.IntN(20))
	s.now = max(s.now, call)
	t := history.Txn{Process: p, Call: us(call), Return: us(s.now + s.r.IntN(20)), Outcome: history.OK}
	s.free[p] = int(t.Return / time.Microsecond)
	effect := true
	switch s.r.IntN(12) {
	case 0:
		t.Outcome, effect = history.Failed, false
	case 1:
		t.Outcome, effect = history.Unknown, s.r.IntN(2) == 0
	}
	hit := s.bug != "" && s.r.IntN(4) == 0
	from := s.snapshot(p, hit)
	after := clone(s.top())
	var first map[string][]int64 // after the first append
	for range 1 + s.r.IntN(4) {
		key := fmt.Sprint("k", s.r.IntN(keys))
		if s.r.IntN(2) == 0 || s.bug == twoUpdates {
			t.Ops = append(t.Ops, history.Op{Key: key, List: slices.Clone(from[key])})
			if hit && s.bug == fractured {
				from = clone(s.versions[max(0, len(s.versions)-2)])
			}
			if s.bug != twoUpdates {
				continue
			}
		}
		s.next++
		t.Ops = append(t.Ops, history.Op{Append: true, Key: key, Value: s.next})
		from[key], after[key] = append(from[key], s.next), append(after[key], s.next)
		if hit && s.bug == twice {
			after[key] = append(after[key], s.next)
		}
		if first == nil {
			first = clone(after)
		}
	}
	if effect && first != nil {
		s.half = first
	}
	s.commit(p, t, after, effect, hit)
}

// commit makes a transaction's writes the newest version.
func (s *store) commit(p int, t history.Txn, after map[string][]int64, effect, hit bool) {
	switch {
	case hit && s.bug == lostAppend && t.Outcome == history.OK:
		effect = false
	case hit && s.bug == dirtyRead && t.Outcome == history.Failed:
		effect = true
	}
	if effect {
		if hit && s.bug == reordered {
			for key, list := range after { // before the last one that was there
				if was := len(s.top()[key]); was > 0 && len(list) > was {
					after[key] = append(append(slices.Clone(list[:was-1]), list[was:]...), list[was-1])
				}
			}
		}
		s.versions = append(s.versions, after)
		s.wrote[p] = len(s.versions) - 1
	}
	s.h = append(s.h, t)
}

// snapshot is what a transaction reads from.
func (s *store) snapshot(p int, hit bool) map[string][]int64 {
	top := len(s.versions) - 1
	if !hit {
		return clone(s.versions[top])
	}
	switch s.bug {
	case halfWrite:
		if s.half != nil {
			return clone(s.half)
		}
	case oldSession:
		top = max(0, s.wrote[p]-1)
	case twoUpdates:
		top = max(0, top-1)
	case staleForAll:
		top = max(s.wrote[p], top-3)
	case backwardRead:
		top = s.r.IntN(top + 1)
	case twoReplicas: // that of one half of the sessions has not the newest but one
		if top >= 2 && p%2 == 0 {
			return without(s.versions[top], s.versions[top-1], s.versions[top-2])
		}
	}
	return clone(s.versions[top])
}

// without returns now less what came between the versions was and then.
func without(now, was, then map[string][]int64) map[string][]int64 {
	out := clone(now)
	for key := range out {
		skipped := was[key][len(then[key]):]
		out[key] = slices.DeleteFunc(out[key], func(v int64) bool { return slices.Contains(skipped, v) })
	}
	return out
}

func clone(m map[string][]int64) map[string][]int64 {
	out := map[string][]int64{}
	for k, v := range m {
		out[k] = slices.Clone(v)
	}
	return out
}

var all = history.Options{Process: true, Realtime: true}

// FuzzCorrectStorePasses: whatever a store does that executes one transaction
// after another, in time, is found to be without fault.
func FuzzCorrectStorePasses(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, byte(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, n byte) {
		h := simulate(rand.New(rand.NewPCG(seed, 1)), int(n), "")
		if got := history.List(h, all); len(got) > 0 {
			t.Fatalf("seed %d: %v in\n%s", seed, got, history.Format(h))
		}
	})
}

// TestBugsOfAStoreAreFound is the negative control: each bug is found under a
// name that fits it, and those that only some options can see, only by those.
func TestBugsOfAStoreAreFound(t *testing.T) {
	for b, want := range map[bug]struct {
		name    string
		options history.Options
	}{
		dirtyRead:    {history.G1a, history.Options{}},
		halfWrite:    {history.G1b, history.Options{}},
		lostAppend:   {"-realtime", all},
		twice:        {history.Duplicate, history.Options{}},
		oldSession:   {history.GSingle + "-process", history.Options{Process: true}},
		fractured:    {history.GSingle, history.Options{}},
		twoUpdates:   {history.LostUpdate, history.Options{}},
		twoReplicas:  {history.Incompatible, history.Options{}},
		staleForAll:  {"-realtime", all},
		reordered:    {history.Incompatible, history.Options{}},
		backwardRead: {history.GSingle + "-process", history.Options{Process: true}},
	} {
		t.Run(string(b), func(t *testing.T) {
			found := map[string]int{}
			const tries = 40
			for seed := range uint64(tries) {
				h := simulate(rand.New(rand.NewPCG(seed, 2)), 100, b)
				for _, a := range history.List(h, want.options) {
					found[a.Name]++
				}
			}
			n := 0
			for name, times := range found {
				if strings.Contains(name, want.name) {
					n += times
				}
			}
			if n < tries/2 {
				t.Errorf("%s was found %d times in %d histories; found: %v", want.name, n, tries, found)
			}
		})
	}
}

// TestLargeHistoriesAreJudgedInTime: an episode has some thousands.
func TestLargeHistoriesAreJudgedInTime(t *testing.T) {
	h := simulate(rand.New(rand.NewPCG(1, 3)), 5000, "")
	began := time.Now()
	if got := history.List(h, all); len(got) > 0 {
		t.Fatal(got)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%d transactions took %v", len(h), took)
	}
}
