package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Marshal writes f as a file that Load reads back to the same values. Paths
// are absolute in it, so it may stand anywhere.
func Marshal(f *File) ([]byte, error) {
	return yaml.Marshal(encode(reflect.ValueOf(f).Elem()))
}

// MarshalKeys writes what f says under some keys, as a part of a file; paths are
// as f has them. Of none it is empty. Parts of files with different keys, one
// after another, are a file.
func MarshalKeys(f *File, want func(key string) bool) ([]byte, error) {
	n, some := encode(reflect.ValueOf(f).Elem()), &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(n.Content); i += 2 {
		if want(n.Content[i].Value) {
			some.Content = append(some.Content, n.Content[i], n.Content[i+1])
		}
	}
	if len(some.Content) == 0 {
		return nil, nil
	}
	return yaml.Marshal(some)
}

// encode returns v as a YAML node, or nil where v says nothing.
func encode(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case []Region:
		return keyed(x, func(r Region) string { return string(r.Name) })
	case []Function:
		return keyed(x, func(f Function) string { return f.Name })
	case []Clients:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, c := range x {
			n.Content = append(n.Content, text(string(c.Place)), encode(reflect.ValueOf(c.Prefixes)))
		}
		return n
	case Value:
		return encodeEnv(x)
	case Selection:
		return encodeSelection(x)
	case Cache:
		return encodeCache(x)
	case ResponseHeaders:
		return encodeResponseHeaders(x)
	case OriginRequest:
		return encodeOriginRequest(x)
	case fmt.Stringer:
		if isScalar(v.Type()) {
			return text(x.String())
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return encode(v.Elem())
	case reflect.Struct:
		return encodeStruct(v)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, encode(v.Index(i)))
		}
		return n
	case reflect.Map:
		return encodeMap(v)
	case reflect.String:
		return text(v.String())
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface())}
}

func encodeStruct(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		if fv.IsZero() && f.def == "" {
			continue // with a default, absent is not zero
		}
		if sub := encode(fv); sub != nil {
			n.Content = append(n.Content, text(f.key), sub)
		}
	}
	return n
}

func encodeMap(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, k := range keys {
		n.Content = append(n.Content, text(k.String()), encode(v.MapIndex(k)))
	}
	return n
}

func encodeEnv(x Value) *yaml.Node {
	switch {
	case x.File != "":
		return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("file"), text(x.File)}}
	case x.Secret != "":
		return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("secret"), text(x.Secret)}}
	}
	return text(x.Text)
}

// keyed writes a list of named structs as a mapping, in its order.
func keyed[T any](items []T, name func(T) string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, item := range items {
		n.Content = append(n.Content, text(name(item)), encode(reflect.ValueOf(item)))
	}
	return n
}

// text returns a string node, quoted where YAML would read something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if _, err := strconv.ParseFloat(s, 64); err == nil || s == "" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
