package openapi

import (
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/pb33f/go-yaml"
)

// get returns the value of a key, or nil. The node may be nil or no mapping.
func get(n *yaml.Node, key string) *yaml.Node {
	for k, v := range entries(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// entries yields the keys and values of a mapping in the order of the file.
func entries(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		n = unalias(n)
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], unalias(n.Content[i+1])) {
				return
			}
		}
	}
}

// list returns the elements of a sequence, or a scalar as the only one.
func list(n *yaml.Node) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.ScalarNode:
		return []*yaml.Node{n}
	}
	return n.Content
}

func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

func unalias(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// mapping follows a reference and returns the mapping that it leads to. For
// anything else it notes a mistake and returns nil.
func (r *reader) mapping(n *yaml.Node, what string) *yaml.Node {
	if n == nil {
		return nil
	}
	to := r.deref(n)
	if to == nil || to.Kind != yaml.MappingNode {
		r.fail(n, fmt.Sprintf("%s is %s", what, describe(to)), "an object")
		return nil
	}
	return to
}

// deref follows references within the file: #/components/NAME. It returns nil
// where a reference leads nowhere or round in a circle.
func (r *reader) deref(n *yaml.Node) *yaml.Node {
	n = unalias(n)
	for range 16 {
		ref := text(get(n, "$ref"))
		if ref == "" {
			return n
		}
		n = r.at(ref)
	}
	return nil
}

// at returns the node of a JSON pointer in a URI fragment (RFC 6901).
func (r *reader) at(ref string) *yaml.Node {
	pointer, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	n := r.root
	for part := range strings.SplitSeq(pointer, "/") {
		if p, err := url.PathUnescape(part); err == nil {
			part = p
		}
		n = get(n, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return n
}

func describe(n *yaml.Node) string {
	switch {
	case n == nil:
		return "a reference that leads nowhere"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Tag == "!!null":
		return "empty"
	}
	return fmt.Sprintf("%.60q", n.Value)
}
