// Package index finds what is stored by what a purge names: a path, the
// beginning of one, or a tag, without a look at all the rest.
package index

import (
	"strings"

	"github.com/tidwall/btree"
)

// An Index knows what stands under which paths and tags. Its owner guards it.
type Index[T comparable] struct {
	paths, tags map[string]map[T]struct{}
	order       btree.Set[string] // of paths
}

// New returns an empty index.
func New[T comparable]() *Index[T] {
	return &Index[T]{paths: map[string]map[T]struct{}{}, tags: map[string]map[T]struct{}{}}
}

// Add puts what is stored under its path and tags.
func (x *Index[T]) Add(t T, path string, tags []string) {
	if add(x.paths, path, t) {
		x.order.Insert(path)
	}
	for _, tag := range tags {
		add(x.tags, tag, t)
	}
}

// Remove undoes Add.
func (x *Index[T]) Remove(t T, path string, tags []string) {
	if remove(x.paths, path, t) {
		x.order.Delete(path)
	}
	for _, tag := range tags {
		remove(x.tags, tag, t)
	}
}

// Len returns how many paths and tags there are.
func (x *Index[T]) Len() int { return len(x.paths) + len(x.tags) }

// add reports whether it is the first under its name, and remove whether it was
// the last.
func add[T comparable](m map[string]map[T]struct{}, name string, t T) (first bool) {
	set := m[name]
	if first = set == nil; first {
		set = map[T]struct{}{}
		m[name] = set
	}
	set[t] = struct{}{}
	return first
}

func remove[T comparable](m map[string]map[T]struct{}, name string, t T) (last bool) {
	set := m[name]
	if set == nil {
		return false
	}
	if delete(set, t); len(set) == 0 {
		delete(m, name)
	}
	return len(set) == 0
}

// Find returns what stands under a path, or a tag, or else under all paths that
// begin with prefix, each at least once.
func (x *Index[T]) Find(path, tag, prefix string) (out []T) {
	switch {
	case path != "":
		return all(out, x.paths[path])
	case tag != "":
		return all(out, x.tags[tag])
	}
	x.order.Ascend(prefix, func(p string) bool {
		if !strings.HasPrefix(p, prefix) {
			return false
		}
		out = all(out, x.paths[p])
		return true
	})
	return out
}

func all[T comparable](out []T, set map[T]struct{}) []T {
	for t := range set {
		out = append(out, t)
	}
	return out
}
