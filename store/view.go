package store

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// An Entry is one key with its value. Rev is the store's revision that last
// set it.
type Entry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
	Rev   int64  `json:"rev"`
}

// A View is the whole store at one revision. It never changes; the bytes that
// it hands out must not be changed either. The zero View is empty.
type View struct {
	cluster uint64
	rev     int64
	entries []Entry // in order of their keys
}

// Rev is the revision of the view: 0 if nothing is known yet.
func (v *View) Rev() int64 { return v.rev }

// Len is how many keys there are.
func (v *View) Len() int { return len(v.entries) }

// Get returns the entry of a key.
func (v *View) Get(key string) (Entry, bool) {
	i, ok := v.find(key)
	if !ok {
		return Entry{}, false
	}
	return v.entries[i], true
}

// Prefix returns the entries whose keys begin with p, in order.
func (v *View) Prefix(p string) []Entry {
	from, _ := v.find(p)
	n := sort.Search(len(v.entries)-from, func(i int) bool {
		return !strings.HasPrefix(v.entries[from+i].Key, p)
	})
	return v.entries[from : from+n : from+n]
}

func (v *View) find(key string) (int, bool) {
	return slices.BinarySearchFunc(v.entries, key, func(e Entry, k string) int { return cmp.Compare(e.Key, k) })
}

// A change leads from one view to a newer one. Whole says that it holds all
// entries and nothing of the older view remains.
type change struct {
	Cluster uint64   `json:"cluster"`
	Rev     int64    `json:"rev"`
	Whole   bool     `json:"whole,omitempty"`
	Set     []Entry  `json:"set,omitempty"`
	Gone    []string `json:"gone,omitempty"`
}

// whole returns the change that leads to v from anywhere.
func (v *View) whole() change {
	return change{Cluster: v.cluster, Rev: v.rev, Whole: true, Set: v.entries}
}

// since returns the change that leads from old to v.
func (v *View) since(old *View) change {
	if old.cluster != v.cluster {
		return v.whole()
	}
	c := change{Cluster: v.cluster, Rev: v.rev}
	for _, e := range v.entries {
		if was, ok := old.Get(e.Key); !ok || was.Rev != e.Rev {
			c.Set = append(c.Set, e)
		}
	}
	for _, e := range old.entries {
		if _, ok := v.find(e.Key); !ok {
			c.Gone = append(c.Gone, e.Key)
		}
	}
	return c
}

// apply returns the view after c, and whether that is news. Nothing older than
// v counts as news, unless it is of another cluster: then it must be whole.
func (v *View) apply(c change) (*View, bool) {
	switch {
	case c.Cluster != v.cluster && !c.Whole, c.Cluster == v.cluster && c.Rev <= v.rev:
		return v, false
	case c.Whole:
		return newView(c.Cluster, c.Rev, slices.Clone(c.Set)), true
	}
	byKey := make(map[string]Entry, len(v.entries)+len(c.Set))
	for _, e := range v.entries {
		byKey[e.Key] = e
	}
	for _, key := range c.Gone {
		delete(byKey, key)
	}
	for _, e := range c.Set {
		byKey[e.Key] = e
	}
	entries := make([]Entry, 0, len(byKey))
	for _, e := range byKey {
		entries = append(entries, e)
	}
	return newView(c.Cluster, c.Rev, entries), true
}

func newView(cluster uint64, rev int64, entries []Entry) *View {
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return &View{cluster: cluster, rev: rev, entries: entries}
}
