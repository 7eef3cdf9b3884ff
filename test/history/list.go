package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Options says which orders must hold beside those that the data shows.
type Options struct {
	// Process: a session sees what it did and saw before.
	Process bool
	// Realtime: everybody sees what was answered before they asked.
	Realtime bool
}

// An Anomaly is something that a correct database does not do.
type Anomaly struct {
	// Name is Elle's, or one of the names below. -process or -realtime at its
	// end: the cycle needs such an edge.
	Name string
	Text string // what was seen; T3 is the third transaction of the history
	Txns []int  // the transactions' indices
}

// The names of what a history shows without any cycle.
const (
	Malformed    = "malformed"          // the history itself appends a value twice
	Internal     = "internal"           // a transaction misses what it did or saw itself
	Duplicate    = "duplicate"          // an append was executed twice
	Phantom      = "phantom"            // a value that nobody appended
	G1a          = "G1a"                // a read of what failed
	G1b          = "G1b"                // a read of what a transaction had not finished
	Incompatible = "incompatible-order" // two reads that do not continue each other
	LostUpdate   = "lost-update"        // two appends that followed the same read
)

// The names of cycles, from the worst.
const (
	G0          = "G0"            // of writes alone
	G1c         = "G1c"           // of writes, and reads of them
	GSingle     = "G-single"      // with one read that missed a write
	Nonadjacent = "G-nonadjacent" // with several, none after another: Long Fork is one
	G2          = "G2-item"       // with several, two in a row: write skew is one
)

// An element is a value in a list; it has one writer.
type element struct {
	key   string
	value int64
}

// A sight is a list that a committed transaction read, without what it had
// appended itself.
type sight struct {
	txn  int
	key  string
	list []int64
}

type lists struct {
	h       []Txn
	writer  map[element]int
	final   map[element]bool // its transaction's last append to the key
	sights  []sight
	order   map[string][]int64 // of the appends to a key, as far as anybody saw
	out     []Anomaly
	noted   map[string]bool
	graph   *graph
	written map[string][]element // by key, in the order of the history
}

// List returns the anomalies in a history of lists, the same ones in the same
// order for the same history. None means: there is an order of its
// transactions that explains all that was read, as far as List can tell, which
// is: exactly, for what the reads show of the order of appends.
func List(h []Txn, o Options) []Anomaly {
	l := &lists{h: h, writer: map[element]int{}, final: map[element]bool{}, order: map[string][]int64{},
		noted: map[string]bool{}, graph: newGraph(len(h)), written: map[string][]element{}}
	l.index()
	for i := range h {
		if h[i].Outcome == OK {
			l.look(i)
		}
	}
	l.arrange()
	l.updates()
	l.depend()
	if o.Process {
		l.processes()
	}
	if o.Realtime {
		l.realtime()
	}
	return append(l.out, l.graph.cycles(o)...)
}

// note keeps one anomaly of a name for each transaction and key.
func (l *lists) note(name, key, text string, txns ...int) {
	id := fmt.Sprint(name, key, txns)
	if !l.noted[id] {
		l.noted[id] = true
		l.out = append(l.out, Anomaly{name, text, txns})
	}
}

// index finds the writer of each element.
func (l *lists) index() {
	for i, t := range l.h {
		last := map[string]element{}
		for _, o := range t.Ops {
			if !o.Append {
				continue
			}
			e := element{o.Key, o.Value}
			if w, twice := l.writer[e]; twice {
				l.note(Malformed, o.Key, fmt.Sprintf("T%d and T%d both append %d to %s", w+1, i+1, e.value, e.key), w, i)
				continue
			}
			l.writer[e], last[o.Key] = i, e
			l.written[o.Key] = append(l.written[o.Key], e)
		}
		for _, e := range last {
			l.final[e] = true
		}
	}
}

// look judges what one transaction read, by itself.
func (l *lists) look(i int) {
	own, seen := map[string][]int64{}, map[string][]int64{}
	known := map[string]bool{}
	for _, o := range l.h[i].Ops {
		if o.Append {
			own[o.Key], seen[o.Key] = append(own[o.Key], o.Value), append(seen[o.Key], o.Value)
			continue
		}
		if known[o.Key] && !slices.Equal(o.List, seen[o.Key]) || !hasSuffix(o.List, own[o.Key]) {
			l.note(Internal, o.Key, fmt.Sprintf("T%d reads %s as %d, and had %d itself", i+1, o.Key, o.List, seen[o.Key]), i)
		}
		known[o.Key], seen[o.Key] = true, slices.Clone(o.List)
		list := o.List
		if hasSuffix(list, own[o.Key]) {
			list = list[:len(list)-len(own[o.Key])]
		}
		l.see(sight{i, o.Key, list})
	}
}

func hasSuffix(list, end []int64) bool {
	return len(list) >= len(end) && slices.Equal(list[len(list)-len(end):], end)
}

// see judges one read.
func (l *lists) see(s sight) {
	have := map[int64]bool{}
	for n, v := range s.list {
		w, known := l.writer[element{s.key, v}]
		switch {
		case have[v]:
			l.note(Duplicate, s.key, fmt.Sprintf("T%d reads %s as %d: %d is there twice", s.txn+1, s.key, s.list, v), s.txn)
		case !known:
			l.note(Phantom, s.key, fmt.Sprintf("T%d reads %d in %s, which nobody appended", s.txn+1, v, s.key), s.txn)
		case l.h[w].Outcome.never():
			l.note(G1a, s.key, fmt.Sprintf("T%d reads %d in %s, which T%d failed to append", s.txn+1, v, s.key, w+1), s.txn, w)
		case n == len(s.list)-1 && w != s.txn && !l.final[element{s.key, v}]:
			l.note(G1b, s.key, fmt.Sprintf("T%d reads %s up to %d, after which T%d appended more", s.txn+1, s.key, v, w+1), s.txn, w)
		}
		have[v] = true
	}
	l.sights = append(l.sights, s)
}

// arrange finds the order of appends to each key: the longest that was read.
// What transactions read of their own appends counts as well.
func (l *lists) arrange() {
	longest := map[string]int{}
	for i, t := range l.h {
		for _, o := range t.Ops {
			if t.Outcome == OK && !o.Append && len(o.List) > len(l.order[o.Key]) {
				l.order[o.Key], longest[o.Key] = o.List, i
			}
		}
	}
	for i, t := range l.h {
		for _, o := range t.Ops {
			if t.Outcome == OK && !o.Append && !isPrefix(o.List, l.order[o.Key]) {
				l.note(Incompatible, o.Key, fmt.Sprintf("T%d reads %s as %d, T%d as %d", i+1, o.Key, o.List, longest[o.Key]+1, l.order[o.Key]), i, longest[o.Key])
			}
		}
	}
	l.sights = slices.DeleteFunc(l.sights, func(s sight) bool { return !isPrefix(s.list, l.order[s.key]) })
}

func isPrefix(a, b []int64) bool { return len(a) <= len(b) && slices.Equal(a, b[:len(a)]) }

// updates finds transactions that appended to what they had read, and had read
// the same.
func (l *lists) updates() {
	from := map[string][]int{}
	for i, t := range l.h {
		if t.Outcome != OK {
			continue
		}
		read := map[string]string{}
		for _, o := range t.Ops {
			version, was := read[o.Key]
			switch {
			case !o.Append && !was:
				read[o.Key] = fmt.Sprintf("%s as %d", o.Key, o.List)
			case o.Append && !was:
				read[o.Key] = "" // blind
			case o.Append && version != "" && !slices.Contains(from[version], i):
				from[version] = append(from[version], i)
			}
		}
	}
	for _, version := range slices.Sorted(maps.Keys(from)) {
		if who := from[version]; len(who) > 1 {
			l.note(LostUpdate, version, fmt.Sprintf("%s read %s, and then appended to it", names(who), version), who...)
		}
	}
}

func names(txns []int) string {
	var out []string
	for _, t := range txns {
		out = append(out, fmt.Sprintf("T%d", t+1))
	}
	return strings.Join(out, " and ")
}

// depend draws the edges that the order of appends gives. What was committed
// and never seen comes after all that was.
func (l *lists) depend() {
	unseen := map[string][]int{}
	for key, all := range l.written {
		for _, e := range all {
			if t := l.writer[e]; l.h[t].Outcome == OK && !slices.Contains(l.order[key], e.value) && !slices.Contains(unseen[key], t) {
				unseen[key] = append(unseen[key], t)
			}
		}
	}
	writer := func(key string, n int) []int { // of the n-th element of key
		if n < 0 {
			return nil
		}
		if n == len(l.order[key]) {
			return unseen[key]
		}
		if w, ok := l.writer[element{key, l.order[key][n]}]; ok && !l.h[w].Outcome.never() {
			return []int{w}
		}
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(l.written)) {
		for n := range len(l.order[key]) + 1 {
			l.graph.join(writer(key, n-1), writer(key, n), edge{kind: ww, key: key})
		}
	}
	for _, s := range l.sights {
		l.graph.join(writer(s.key, len(s.list)-1), []int{s.txn}, edge{kind: wr, key: s.key})
		l.graph.join([]int{s.txn}, writer(s.key, len(s.list)), edge{kind: rw, key: s.key})
	}
}

// processes draws an edge from each transaction that a session was told of to
// the session's next ones, up to the next that it was told of. Of what was not
// answered the session may see nothing.
func (l *lists) processes() {
	last := map[int]int{}
	for _, i := range l.byCall() {
		t := l.h[i]
		if before, ok := last[t.Process]; ok && !t.Outcome.never() {
			l.graph.join([]int{before}, []int{i}, edge{kind: process})
		}
		if t.Outcome == OK {
			last[t.Process] = i
		}
	}
}

// realtime draws an edge from each transaction that was answered to those that
// were called later, leaving out what follows from others.
func (l *lists) realtime() {
	type event struct {
		at   int64
		back bool
		txn  int
	}
	var events []event
	for _, i := range l.byCall() {
		if l.h[i].Outcome.never() {
			continue
		}
		events = append(events, event{int64(l.h[i].Call), false, i})
		if l.h[i].Outcome == OK {
			events = append(events, event{int64(l.h[i].Return), true, i})
		}
	}
	// At the same instant calls come first: the two overlap.
	slices.SortStableFunc(events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(rank(a.back), rank(b.back)))
	})
	var done []int // answered, and before no other that is answered
	before := map[int][]int{}
	for _, e := range events {
		if !e.back {
			before[e.txn] = slices.Clone(done)
			l.graph.join(done, []int{e.txn}, edge{kind: realtime})
			continue
		}
		done = slices.DeleteFunc(done, func(d int) bool { return slices.Contains(before[e.txn], d) })
		done = append(done, e.txn)
	}
}

func rank(back bool) int {
	if back {
		return 1
	}
	return 0
}

// byCall returns the indices of the transactions in the order of their calls.
func (l *lists) byCall() []int {
	order := make([]int, len(l.h))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(l.h[a].Call, l.h[b].Call) })
	return order
}
