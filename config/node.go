package config

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// describe says what n is, in a few words.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch {
	case n.Tag == "!!null":
		return "nothing"
	case !plain(n):
		return "the tag " + n.Tag
	}
	return short(n.Value)
}

// plain reports whether a scalar is what it looks like: no tag of its own
// makes something else of it.
func plain(n *yaml.Node) bool {
	return slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp"}, n.Tag)
}

// short quotes s, or its beginning.
func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return strconv.Quote(string(r[:60])) + "..."
	}
	return strconv.Quote(s)
}
