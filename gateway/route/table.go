package route

import (
	"fmt"
	"strings"
)

// A Table selects among routes. It is immutable.
type Table struct {
	keys     []Key
	root     node
	fallback int // index of $default, or none
}

const none = -1

// A node stands for a prefix of paths, segment by segment.
type node struct {
	static map[string]*node
	param  *node
	leaf   leaf // routes whose path ends here
	greedy leaf // routes whose path ends in a greedy segment after this node
	kind   kind // the least specific segment on the way here
}

// A leaf holds the routes of one path. Paths have few methods, so a list is
// searched faster than a map.
type leaf struct {
	methods []method
}

type method struct {
	name  string
	index int
}

// A Conflict says why a list of routes makes no table.
type Conflict struct {
	Index int // the route that is refused
	With  int // the earlier route that it conflicts with, or -1
	Why   string
}

func (c *Conflict) Error() string { return c.Why }

// New returns the table of keys. The error of a key that is no route, or that
// would match the same requests as an earlier one, is a *Conflict.
func New(keys []Key) (*Table, error) {
	t := &Table{keys: keys, fallback: none}
	for i, k := range keys {
		if why := k.check(); why != "" {
			return nil, &Conflict{Index: i, With: none, Why: why}
		}
		if with := t.add(i, k); with != none {
			why := fmt.Sprintf("route %s matches the same requests as %s: expected one of them", k, keys[with])
			if k.String() == keys[with].String() {
				why = fmt.Sprintf("route %s stands twice: expected it once", k)
			}
			return nil, &Conflict{Index: i, With: with, Why: why}
		}
	}
	return t, nil
}

// add enters a key and returns none, or the index of the key in its place.
func (t *Table) add(i int, k Key) int {
	if k.Path == Default {
		if t.fallback != none {
			return t.fallback
		}
		t.fallback = i
		return none
	}
	n, rest := &t.root, k.Path[1:]
	for more := true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		kind, name := parse(seg)
		switch kind {
		case greedy:
			return n.greedy.add(i, k.Method)
		case param:
			n = n.paramChild()
		case static:
			n = n.staticChild(name)
		}
	}
	return n.leaf.add(i, k.Method)
}

func (n *node) paramChild() *node {
	if n.param == nil {
		n.param = &node{kind: param}
	}
	return n.param
}

func (n *node) staticChild(name string) *node {
	if n.static == nil {
		n.static = map[string]*node{}
	}
	if n.static[name] == nil {
		n.static[name] = &node{kind: n.kind}
	}
	return n.static[name]
}

func (l *leaf) add(i int, name string) int {
	if with := l.find(name); with != none {
		return with
	}
	l.methods = append(l.methods, method{name, i})
	return none
}

func (l *leaf) find(name string) int {
	for _, m := range l.methods {
		if m.name == name {
			return m.index
		}
	}
	return none
}
