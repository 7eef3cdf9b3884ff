package limit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Unix(1_800_000_000, 0)

func TestALimitLetsABurstInAndThenItsRate(t *testing.T) {
	l := &Limit{Name: "l", Requests: 10, Per: time.Second, Burst: 5}
	table := NewTable(100, nil)
	k := l.KeyOf("a")
	for i := range 5 {
		if v := table.Allow(l, k, epoch); !v.Passes || v.Left != 4-i {
			t.Fatalf("request %d: %+v", i, v)
		}
	}
	v := table.Allow(l, k, epoch)
	if v.Passes || v.Again != 100*time.Millisecond || v.Full != 500*time.Millisecond || v.Why == "" {
		t.Errorf("one too many: %+v", v)
	}
	if v := table.Allow(l, l.KeyOf("b"), epoch); !v.Passes {
		t.Errorf("another client: %+v", v)
	}
	if v := table.Allow(l, k, epoch.Add(99*time.Millisecond)); v.Passes {
		t.Errorf("too early: %+v", v)
	}
	if v := table.Allow(l, k, epoch.Add(100*time.Millisecond)); !v.Passes {
		t.Errorf("in time: %+v", v)
	}
	if v := table.Allow(l, k, epoch.Add(time.Hour)); !v.Passes || v.Left != 4 {
		t.Errorf("after a rest: %+v", v)
	}
}

// A world is edges that tell each other what they let in, after a delay.
type world struct {
	tables []*Table
	delay  time.Duration
	mail   []letter
}

type letter struct {
	at   time.Time
	to   int
	uses []Use
}

func newWorld(edges int, delay time.Duration) *world {
	w := &world{delay: delay}
	for range edges {
		w.tables = append(w.tables, NewTable(100, func() int { return edges }))
	}
	return w
}

// tick has every edge tell the others, and hear what has come by now.
func (w *world) tick(now time.Time) {
	for i, t := range w.tables {
		uses := t.Take()
		for j := range w.tables {
			if len(uses) > 0 && j != i {
				w.mail = append(w.mail, letter{now.Add(w.delay), j, uses})
			}
		}
	}
	var later []letter
	for _, m := range w.mail {
		if m.at.After(now) {
			later = append(later, m)
			continue
		}
		w.tables[m.to].Hear(m.uses, now)
	}
	w.mail = later
}

// ask has one client ask every edge as often as it can, and returns how often
// it was let in.
func (w *world) ask(l *Limit, t time.Duration, tell bool) (passed int) {
	k := l.KeyOf("a")
	for at := time.Duration(0); at < t; at += time.Millisecond {
		now := epoch.Add(at)
		for _, table := range w.tables {
			for table.Allow(l, k, now).Passes {
				passed++
			}
		}
		if tell && at%(100*time.Millisecond) == 0 {
			w.tick(now)
		}
	}
	return passed
}

// 100 means 100, and not 100 at each edge: what a client of all edges gets stays
// within the bound of the package's doc. Control: edges that tell each other
// nothing exceed it.
func TestALimitIsTheWorldsNotAnEdges(t *testing.T) {
	const edges, link = 5, 110 * time.Millisecond // half of the longest measured round trip
	for _, l := range []*Limit{
		{Name: "fine", Requests: 100, Per: time.Second}, {Name: "small burst", Requests: 100, Per: time.Second, Burst: 5}, {Name: "slow", Requests: 60, Per: time.Minute, Burst: 10},
	} {
		const long = 60 * time.Second
		rate := float64(time.Second) / float64(l.interval())
		d, b := (link + 200*time.Millisecond).Seconds(), float64(l.burst())
		held := b/(2*edges) + 1
		bound := rate*long.Seconds() + b + (edges-1)*(b+rate*d+held)
		got := newWorld(edges, link).ask(l, long, true)
		alone := newWorld(1, link).ask(l, long, true)
		free := newWorld(edges, link).ask(l, long, false)
		t.Logf("%s: %d by one edge, %d by %d; bound %.0f; %d if they tell nothing", l.Name, alone, got, edges, bound, free)
		if float64(got) > bound || got < alone {
			t.Errorf("%s: %d were let in, of at most %.0f and at least %d", l.Name, got, bound, alone)
		}
		if float64(free) <= bound {
			t.Errorf("control, %s: edges that tell nothing let in %d, within %.0f", l.Name, free, bound)
		}
	}
}

// A flood of addresses takes no more memory, and does not wash away who is over
// its limit.
func TestAFloodOfClientsForgetsThoseWhoDidLeast(t *testing.T) {
	l := &Limit{Name: "l", Requests: 10, Per: time.Second}
	table := NewTable(1024, nil)
	size := len(table.sets) * ways
	bad := l.KeyOf("bad")
	for table.Allow(l, bad, epoch).Passes {
	}
	for i := range 100 * size {
		table.Allow(l, l.KeyOf(fmt.Sprint(i)), epoch)
	}
	if len(table.sets)*ways != size || table.Forgotten() == 0 {
		t.Errorf("%d slots, %d forgotten", len(table.sets)*ways, table.Forgotten())
	}
	if v := table.Allow(l, bad, epoch); v.Passes {
		t.Error("who was over its limit is let in again")
	}
	n := testing.AllocsPerRun(1000, func() { table.Allow(l, l.KeyOf("one more"), epoch) })
	if n > 4 { // the words of the refusal
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsToldIsHeard(t *testing.T) {
	uses := []Use{{Key{1}, 3, time.Second}, {Key{2}, 1, 1}}
	var b bytes.Buffer
	if err := WriteUses(&b, uses); err != nil {
		t.Fatal(err)
	}
	got, err := ReadUses(&b)
	if err != nil || len(got) != 2 || got[0] != uses[0] || got[1] != uses[1] {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzReadUses(f *testing.F) {
	var b bytes.Buffer
	WriteUses(&b, []Use{{Key{1}, 3, time.Second}})
	f.Add(b.Bytes())
	f.Add(make([]byte, useSize))
	f.Add(bytes.Repeat([]byte{0xff}, useSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		uses, err := ReadUses(bytes.NewReader(b))
		if err != nil {
			return
		}
		table := NewTable(10, nil)
		table.Hear(uses, epoch)
		for _, u := range uses {
			if d := time.Duration(u.Requests) * u.Interval; d <= 0 || d > maxDebt {
				t.Fatalf("%+v", u)
			}
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	l := &Limit{Name: "l", Requests: 1e9, Per: time.Second}
	table := NewTable(1<<16, nil)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		client := fmt.Sprint(rand.Int())
		for p.Next() {
			table.Allow(l, l.KeyOf(client), epoch)
		}
	})
}
