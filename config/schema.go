package config

import (
	"encoding/json"
	"reflect"
)

// A schema is a JSON Schema, or a part of one.
type schema map[string]any

// Schema returns a JSON Schema (2020-12) of the file, for editors. What it
// refuses, Load refuses too; the reverse does not hold.
func Schema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[File]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Meridian"
	s["required"] = []string{"regions"}
	s["allOf"] = []schema{eitherOf("domain", "domains"), eitherOf("api", "apis")}
	s["not"] = schema{"required": []string{"database", "databases"}}
	return json.MarshalIndent(s, "", "  ")
}

func eitherOf(a, b string) schema {
	return schema{"oneOf": []schema{{"required": []string{a}}, {"required": []string{b}}}}
}

func schemaOf(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[[]Region](), reflect.TypeFor[[]Function]():
		return byName(orNull(schemaOf(t.Elem())))
	case reflect.TypeFor[[]Clients]():
		return byName(schema{"type": "array", "items": schema{"type": "string"}})
	case selectionType:
		return selectionSchema()
	case cacheType:
		return schema{"oneOf": []schema{{"type": "string"}, structSchema(reflect.TypeFor[CachePolicy]())}}
	case responseHeadersType:
		return schema{"oneOf": []schema{{"type": "string"}, structSchema(reflect.TypeFor[ResponseHeadersPolicy]())}}
	case originRequestType:
		return schema{"oneOf": []schema{{"type": "string"}, structSchema(reflect.TypeFor[OriginRequestPolicy]())}}
	case valueType:
		refs := schema{"file": schema{"type": "string"}, "secret": schema{"type": "string"}}
		return schema{"oneOf": []schema{
			{"type": []string{"string", "number", "boolean"}},
			{"type": "object", "properties": refs, "additionalProperties": false, "minProperties": 1, "maxProperties": 1},
		}}
	}
	switch {
	case isScalar(t):
		return scalarSchema(t)
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t.Kind() == reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem())}
	case t.Kind() == reflect.Map:
		return byName(schemaOf(t.Elem()))
	}
	return structSchema(t)
}

func structSchema(t reflect.Type) schema {
	props := schema{}
	for _, f := range fieldsOf(t) {
		p := schemaOf(t.Field(f.index).Type)
		p["description"] = f.doc
		if f.def != "" {
			p["default"] = defaultOf(t.Field(f.index).Type, f.def)
		}
		props[f.key] = p
		if f.list != "" {
			props[f.list] = schema{"type": "array", "minItems": 1, "maxItems": 1, "items": p, "description": "The long form of " + f.key + ", with one element."}
		}
	}
	return schema{"type": "object", "properties": props, "additionalProperties": false}
}

func byName(of schema) schema { return schema{"type": "object", "additionalProperties": of} }

// orNull allows a name with nothing behind it, such as `eu-west-1:`.
func orNull(s schema) schema {
	s["type"] = []any{s["type"], "null"}
	return s
}

// defaultOf returns a default as JSON would have it.
func defaultOf(t reflect.Type, s string) any {
	v := reflect.New(t).Elem()
	if t == durationType || t == sizeType || setScalar(v, s) != nil {
		return s
	}
	return v.Interface()
}

func scalarSchema(t reflect.Type) schema {
	switch {
	case t == durationType:
		return schema{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$|^0$`}
	case t == sizeType:
		return schema{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ *([KMG]i?B|B)?$`, "minimum": 0}
	case t == durableType:
		one := func(key, pattern string) schema {
			value := schema{"type": "string", "pattern": pattern}
			return schema{"type": "object", "properties": schema{key: value}, "required": []string{key}, "additionalProperties": false}
		}
		return schema{"oneOf": []schema{
			{"type": "string", "pattern": `^(async|quorum|sync: *[^ :]+|rpo: *[0-9a-zµ.]+)$`},
			one("sync", "."), one("rpo", `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`),
		}}
	case t == reflect.TypeFor[Role]():
		return schema{"enum": []Role{RoleRegion, RoleEdge, RoleControl, RoleWitness, RoleStandby}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer"}
	case reflect.Uint16:
		return schema{"type": "integer", "minimum": 1, "maximum": 65535}
	case reflect.Float64:
		return schema{"type": "number"}
	}
	return schema{"type": "string"}
}
