package route

import "strings"

// A Match is a decision: which route, and why.
type Match struct {
	Index int    // into the keys that the table was made of; -1 for none
	Why   string // one of a closed set
}

// The reasons of a Match, by the kind of path that matched.
var (
	whyMethod = [...]string{"static path, exact method", "path with parameters, exact method", "greedy path, exact method"}
	whyAny    = [...]string{"static path, any method", "path with parameters, any method", "greedy path, any method"}
)

const (
	whyDefault  = "no other route matches"
	whyNoMethod = "no route: the path matches, the method does not"
	whyNoPath   = "no route: no path matches"
)

// Found reports whether there is a route.
func (m Match) Found() bool { return m.Index != none }

// Match selects the route of a request. The path is raw, without the query.
// It visits each node of the table at most twice, whatever the path, and
// allocates only to decode segments that are percent-encoded.
func (t *Table) Match(method, path string) Match {
	s := search{method: method}
	if rest, ok := strings.CutPrefix(path, "/"); ok {
		if m := s.full(&t.root, rest); m.Found() {
			return m
		}
		if m := s.greedy(&t.root, rest); m.Found() {
			return m
		}
	}
	switch {
	case t.fallback != none:
		return Match{t.fallback, whyDefault}
	case s.path:
		return Match{none, whyNoMethod}
	}
	return Match{none, whyNoPath}
}

type search struct {
	method string
	path   bool // some route has the path, whatever its method
}

// full searches below n for a route that matches rest segment by segment.
func (s *search) full(n *node, rest string) Match {
	seg, tail, more := strings.Cut(rest, "/")
	if child := n.static[decode(seg)]; child != nil {
		if m := s.step(child, tail, more); m.Found() {
			return m
		}
	}
	if n.param != nil && seg != "" {
		return s.step(n.param, tail, more)
	}
	return Match{Index: none}
}

func (s *search) step(n *node, tail string, more bool) Match {
	if more {
		return s.full(n, tail)
	}
	return s.pick(&n.leaf, n.kind)
}

// greedy searches below n for the longest path that a greedy segment ends.
// What a greedy segment takes is never empty: /{proxy+} does not match /.
func (s *search) greedy(n *node, rest string) Match {
	if seg, tail, more := strings.Cut(rest, "/"); more {
		if child := n.static[decode(seg)]; child != nil {
			if m := s.greedy(child, tail); m.Found() {
				return m
			}
		}
		if n.param != nil && seg != "" {
			if m := s.greedy(n.param, tail); m.Found() {
				return m
			}
		}
	}
	if rest == "" {
		return Match{Index: none}
	}
	return s.pick(&n.greedy, greedy)
}

func (s *search) pick(l *leaf, k kind) Match {
	if len(l.methods) == 0 {
		return Match{Index: none}
	}
	s.path = true
	if i := l.find(s.method); i != none {
		return Match{i, whyMethod[k]}
	}
	if i := l.find(Any); i != none {
		return Match{i, whyAny[k]}
	}
	return Match{Index: none}
}
