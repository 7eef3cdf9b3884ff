package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Reference returns the commented default: every key, what it means, and its
// default or an example. `meridian config` prints it.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Meridian's file: every key, with its default or an example.\n# Paths are relative to this file. Times: 500ms, 10s, 5m. Sizes: 128MiB, 10MB.\n")
	b.WriteString("# yaml-language-server: $schema=meridian.schema.json\n")
	reference(&b, reflect.TypeFor[File](), "")
	return b.String()
}

// names says what stands for the name in a mapping that users name themselves.
var names = map[string]string{"regions": "us-east-1", "functions": "hello", "secrets": "jwt", "authorizers": "main"}

func reference(b *strings.Builder, t reflect.Type, indent string) {
	for _, f := range fieldsOf(t) {
		ft := t.Field(f.index).Type
		if indent == "" {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "%s# %s\n", indent, f.doc)
		inner, list := structOf(ft)
		switch {
		case inner == nil:
			fmt.Fprintf(b, "%s# %s: %s\n", indent, f.key, or(f.def, or(f.eg, zeroOf(ft))))
		case names[f.key] != "":
			fmt.Fprintf(b, "%s# %s:\n%s#   %s:\n", indent, f.key, indent, names[f.key])
			referenceIn(b, inner, indent, "#     ")
		case list:
			fmt.Fprintf(b, "%s# %s:\n", indent, f.key)
			referenceIn(b, inner, indent, "#   - ")
		default:
			fmt.Fprintf(b, "%s# %s:\n", indent, f.key)
			referenceIn(b, inner, indent, "#   ")
		}
	}
}

// referenceIn writes the keys of a struct below a key, all commented out.
func referenceIn(b *strings.Builder, t reflect.Type, indent, prefix string) {
	for _, f := range fieldsOf(t) {
		ft := t.Field(f.index).Type
		if inner, _ := structOf(ft); inner != nil && inner != valueStruct {
			fmt.Fprintf(b, "%s%s%s:  # %s\n", indent, prefix, f.key, f.doc)
			prefix = strings.ReplaceAll(prefix, "-", " ")
			referenceIn(b, inner, indent, prefix+"  ")
			continue
		}
		fmt.Fprintf(b, "%s%s%s: %s  # %s\n", indent, prefix, f.key, or(f.def, or(f.eg, zeroOf(ft))), f.doc)
		prefix = strings.ReplaceAll(prefix, "-", " ")
	}
}

var valueStruct = reflect.TypeFor[Value]()

// structOf returns the struct that a field holds, by value, pointer, list or
// map, and whether as a list.
func structOf(t reflect.Type) (inner reflect.Type, list bool) {
	switch {
	case isScalar(t) || t == reflect.TypeFor[[]Clients]():
		return nil, false
	case t.Kind() == reflect.Struct:
		return t, false
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Map:
		inner, _ = structOf(t.Elem())
		if inner == valueStruct {
			return nil, false
		}
		return inner, false
	case t.Kind() == reflect.Slice:
		inner, _ = structOf(t.Elem())
		return inner, inner != nil
	}
	return nil, false
}

func zeroOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Slice:
		return "[]"
	case t.Kind() == reflect.Map:
		return "{}"
	case t.Kind() == reflect.Bool:
		return "false"
	case t.Kind() == reflect.String:
		return `""`
	case t == addrType || t == addrPortType:
		return `""`
	case t.Kind() == reflect.Pointer:
		return "0"
	}
	return "0"
}

// Schema returns a JSON Schema (2020-12) of the file, for editors.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[File]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Meridian"
	s["required"] = []string{"domain", "regions", "api"}
	return json.MarshalIndent(s, "", "  ")
}

func schemaOf(t reflect.Type) map[string]any {
	object := func(key string, of map[string]any) map[string]any { return map[string]any{"type": "object", key: of} }
	switch t {
	case reflect.TypeFor[[]Region](), reflect.TypeFor[[]Function]():
		return object("additionalProperties", schemaOf(t.Elem()))
	case reflect.TypeFor[[]Clients]():
		return object("additionalProperties", map[string]any{"type": "array", "items": map[string]any{"type": "string"}})
	case valueStruct:
		ref := map[string]any{"file": map[string]any{"type": "string"}, "secret": map[string]any{"type": "string"}}
		return map[string]any{"oneOf": []any{map[string]any{"type": []string{"string", "number", "boolean"}},
			map[string]any{"type": "object", "properties": ref, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}}}
	}
	switch {
	case isScalar(t):
		return map[string]any{"type": scalarType(t)}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case t.Kind() == reflect.Map:
		return object("additionalProperties", schemaOf(t.Elem()))
	}
	props := map[string]any{}
	for _, f := range fieldsOf(t) {
		p := schemaOf(t.Field(f.index).Type)
		p["description"] = f.doc
		if f.def != "" {
			p["default"] = f.def
		}
		props[f.key] = p
	}
	return map[string]any{"type": "object", "properties": props, "additionalProperties": false}
}

func scalarType(t reflect.Type) string {
	switch {
	case t == durationType || t == sizeType:
		return "string"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Uint16:
		return "integer"
	case t.Kind() == reflect.Float64:
		return "number"
	}
	return "string"
}
