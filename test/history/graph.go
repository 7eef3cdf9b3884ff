package history

import (
	"fmt"
	"slices"
	"strings"
)

// A kind is why one transaction comes before another.
type kind string

const (
	ww       kind = "ww" // it wrote what the other one replaced
	wr       kind = "wr" // it wrote what the other one read
	rw       kind = "rw" // it missed what the other one wrote
	process  kind = "process"
	realtime kind = "realtime"
)

type edge struct {
	to   int
	kind kind
	key  string
}

type graph struct{ out [][]edge }

func newGraph(n int) *graph { return &graph{make([][]edge, n)} }

// join draws e from each of a to each other of b.
func (g *graph) join(a, b []int, e edge) {
	for _, from := range a {
		for _, e.to = range b {
			if from != e.to && !slices.Contains(g.out[from], e) {
				g.out[from] = append(g.out[from], e)
			}
		}
	}
}

// cycles returns the shortest cycle of each shape in each knot of the graph:
// first those of the data alone, then those that need a session's order, then
// those that need the clock.
func (g *graph) cycles(o Options) (out []Anomaly) {
	out = g.search("", nil, "")
	extra := []kind{}
	if o.Process {
		extra = append(extra, process)
		out = append(out, g.search("-process", extra, process)...)
	}
	if o.Realtime {
		extra = append(extra, realtime)
		out = append(out, g.search("-realtime", extra, realtime)...)
	}
	return out
}

// A shape is one of the names of cycles, as a walk that begins with an edge of
// one kind and comes back.
type shape struct {
	name  string
	first kind
	allow []kind
	most  int                // rw edges in it
	fits  func(w state) bool // judges a walk that is back
}

var shapes = []shape{
	{G0, ww, []kind{ww}, 0, func(state) bool { return true }},
	{G1c, wr, []kind{ww, wr}, 0, func(state) bool { return true }},
	{GSingle, rw, []kind{ww, wr, rw}, 1, func(state) bool { return true }},
	{Nonadjacent, rw, []kind{ww, wr, rw}, 2, func(w state) bool { return w.rws == 2 && !w.adjacent && !w.last }},
	{G2, rw, []kind{ww, wr, rw}, 2, func(w state) bool { return w.rws == 2 && (w.adjacent || w.last) }},
}

// A state is where a walk is, and what of its way matters.
type state struct {
	at       int
	rws      int  // rw edges so far; 2 stands for more
	last     bool // the last edge is one
	adjacent bool // two followed each other
	needed   bool // the kind of edge that is needed was met
}

func (g *graph) search(suffix string, extra []kind, need kind) (out []Anomaly) {
	all := append([]kind{ww, wr, rw}, extra...)
	for _, knot := range g.knots(all) {
		for _, s := range shapes {
			if c := g.shortest(knot, s, extra, need); c != nil {
				out = append(out, g.anomaly(s.name+suffix, c))
			}
		}
	}
	return out
}

// shortest returns the shortest cycle of a shape within a knot.
func (g *graph) shortest(knot []int, s shape, extra []kind, need kind) (best []step) {
	inside := make(map[int]bool, len(knot))
	for _, n := range knot {
		inside[n] = true
	}
	allow := append(slices.Clone(s.allow), extra...)
	for _, from := range knot {
		for _, e := range g.out[from] {
			if e.kind != s.first || !inside[e.to] {
				continue
			}
			if c := g.back(from, e, s, allow, need, inside, len(best)); c != nil {
				best = c
			}
			if len(best) == 2 {
				return best
			}
		}
	}
	return best
}

// A step is an edge and where it begins.
type step struct {
	from int
	edge
}

// back walks breadth first from the end of e to its beginning, in fewer than
// limit steps in all (0: any number). A walk that crosses itself is none: one
// of its parts is a cycle as bad or worse, and is found for itself.
func (g *graph) back(from int, e edge, s shape, allow []kind, need kind, inside map[int]bool, limit int) []step {
	start, _ := state{needed: need == ""}.take(e, s, need)
	came := map[state]struct {
		before state
		step
	}{}
	seen := map[state]bool{start: true}
	level := []state{start}
	for n := 2; len(level) > 0 && (limit == 0 || n < limit); n++ {
		var next []state
		for _, w := range level {
			for _, x := range g.out[w.at] {
				to, ok := w.take(x, s, need)
				if !ok || seen[to] || !inside[x.to] || !slices.Contains(allow, x.kind) {
					continue
				}
				seen[to] = true
				came[to] = struct {
					before state
					step
				}{w, step{w.at, x}}
				switch {
				case to.at != from:
					next = append(next, to)
				case to.needed && s.fits(to):
					cycle := []step{{from, e}}
					for w := to; w != start; w = came[w].before {
						cycle = slices.Insert(cycle, 1, came[w].step)
					}
					return simple(cycle)
				}
			}
		}
		level = next
	}
	return nil
}

// simple returns the cycle if it comes to no transaction twice, else nil.
func simple(cycle []step) []step {
	seen := map[int]bool{}
	for _, s := range cycle {
		if seen[s.from] {
			return nil
		}
		seen[s.from] = true
	}
	return cycle
}

// take is the state after one more edge; it is not ok if the shape has no such
// walk.
func (w state) take(e edge, s shape, need kind) (state, bool) {
	w.at = e.to
	w.needed = w.needed || e.kind == need
	if e.kind != rw {
		w.last = false
		return w, true
	}
	if w.rws == s.most && s.most < 2 {
		return w, false
	}
	w.adjacent = w.adjacent || w.last
	w.rws, w.last = min(w.rws+1, 2), true
	return w, s.name != Nonadjacent || !w.adjacent
}

func (g *graph) anomaly(name string, cycle []step) Anomaly {
	a := Anomaly{Name: name}
	var b strings.Builder
	for _, s := range cycle {
		a.Txns = append(a.Txns, s.from)
		fmt.Fprintf(&b, "T%d -%s", s.from+1, s.kind)
		if s.key != "" {
			b.WriteString(" " + s.key)
		}
		b.WriteString("-> ")
	}
	fmt.Fprintf(&b, "T%d", cycle[0].from+1)
	a.Text = b.String()
	return a
}

// knots returns the strongly connected parts with more than one transaction
// (Tarjan: Depth-First Search and Linear Graph Algorithms, 1972).
func (g *graph) knots(kinds []kind) (out [][]int) {
	const unseen = -1
	index, low := make([]int, len(g.out)), make([]int, len(g.out))
	for i := range index {
		index[i] = unseen
	}
	var stack []int
	on := make([]bool, len(g.out))
	n := 0
	var visit func(int)
	visit = func(v int) {
		index[v], low[v] = n, n
		n++
		stack, on[v] = append(stack, v), true
		for _, e := range g.out[v] {
			switch {
			case !slices.Contains(kinds, e.kind):
			case index[e.to] == unseen:
				visit(e.to)
				low[v] = min(low[v], low[e.to])
			case on[e.to]:
				low[v] = min(low[v], index[e.to])
			}
		}
		if low[v] != index[v] {
			return
		}
		from := slices.Index(stack, v)
		knot := slices.Clone(stack[from:])
		for _, w := range knot {
			on[w] = false
		}
		if stack = stack[:from]; len(knot) > 1 {
			slices.Sort(knot)
			out = append(out, knot)
		}
	}
	for v := range g.out {
		if index[v] == unseen {
			visit(v)
		}
	}
	slices.SortFunc(out, func(a, b []int) int { return a[0] - b[0] })
	return out
}
