package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxValues bounds the values of one file, each counted as often as aliases
// repeat it, and maxErrors the mistakes that are told of it.
const maxValues, maxErrors = 50_000, 100

// A decoder fills values from YAML nodes. It never stops at the first mistake.
type decoder struct {
	file   string
	errs   Errors
	where  map[string]position // of each value that was given, by its path
	names  map[string]position // of each key, by the same
	values int                 // decoded so far
	read   int                 // errs of decoding, before check

	elsewhere bool // what paths lead to is on other machines
}

// fail records a mistake at p. A p without a line means the key of its path.
// What is said of a place first stands: a value that cannot be read is not
// also out of range.
func (d *decoder) fail(p position, found, expected string) {
	if p.line == 0 {
		p = d.at(position{1, 1, p.key}, "")
	}
	e := &Error{File: d.file, Line: p.line, Column: p.column, Key: p.key, Found: found, Expected: expected}
	if !slices.ContainsFunc(d.errs[:d.read], e.same) && len(d.errs) < maxErrors {
		d.errs = append(d.errs, e)
	}
}

// missing records that the key sub of p was not given, or as nothing.
func (d *decoder) missing(p position, sub, expected string) {
	if p.line == 0 {
		p = d.at(position{1, 1, p.key}, "")
	}
	path := strings.Trim(p.key+"."+sub, ".")
	w, given := d.where[path]
	switch {
	case d.broken(p.key) || given && d.broken(w.key):
	case given:
		d.fail(w, "found nothing", expected)
	default:
		d.fail(position{p.line, p.column, path}, "missing", expected)
	}
}

// broken reports whether the value of that key could not be read: then
// nothing more is said of what it lacks.
func (d *decoder) broken(key string) bool {
	return slices.ContainsFunc(d.errs[:d.read], func(e *Error) bool { return e.Key == key })
}

// at returns where the first of the keys subs of p stands that was given, or
// p if none was.
func (d *decoder) at(p position, subs ...string) position {
	for _, sub := range subs {
		if w, ok := d.where[strings.Trim(p.key+"."+sub, ".")]; ok {
			return w
		}
	}
	return p
}

// says reports whether the key sub of p was given.
func (d *decoder) says(p position, sub string) bool {
	_, given := d.where[strings.Trim(p.key+"."+sub, ".")]
	return given
}

// A field is one key that a struct allows.
type field struct {
	key, list      string // list is the long form: a list with one element
	def, doc, want string
	index          int
}

func fieldsOf(t reflect.Type) (fs []field) {
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if key := tag.Get("key"); key != "" && key != "-" {
			fs = append(fs, field{key, tag.Get("list"), tag.Get("default"), tag.Get("doc"), tag.Get("want"), i})
		}
	}
	return fs
}

// defaults fills v, a struct, with the defaults of its tags, and of the
// structs that it holds by value.
func defaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		if fv.Kind() == reflect.Struct && fv.Type() != addrType && fv.Type() != addrPortType {
			defaults(fv)
		}
		if f.def != "" && fv.IsZero() {
			if err := setScalar(fv, f.def); err != nil {
				panic("config: default of " + f.key + ": " + err.Error())
			}
		}
	}
}

// object decodes a mapping into v, a struct.
func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	defaults(v)
	d.setPos(v, at(n, path))
	fs := fieldsOf(v.Type())
	d.pairs(n, path, func(k, val *yaml.Node, path string) {
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == k.Value || f.list == k.Value })
		switch {
		case i < 0:
			d.unknown(k, path, fs)
		case fs[i].key == k.Value:
			d.value(val, v.Field(fs[i].index), path, fs[i].want)
		default:
			d.only(k, val, v, fs[i])
		}
	})
}

// only decodes the long form of a key, such as databases for database: a list,
// which has one element for now.
func (d *decoder) only(k, n *yaml.Node, v reflect.Value, f field) {
	n = resolve(n)
	switch short, both := d.where[f.key]; {
	case both:
		d.fail(at(k, f.list), fmt.Sprintf("%s stands on line %d already", f.key, short.line), "one of the two")
	case n.Kind != yaml.SequenceNode:
		d.fail(at(n, f.list), "found "+describe(n), "a list with one element")
	case len(n.Content) == 0:
		d.fail(at(n, f.list), "found an empty list", "one element")
	case len(n.Content) > 1:
		d.fail(at(n.Content[1], f.list), "a second element", "one, for now")
	default:
		path := f.list + "[0]"
		d.value(n.Content[0], v.Field(f.index), path, f.want)
	}
	d.where[f.key] = at(n, f.list)
	if w, ok := d.where[f.list+"[0]"]; ok {
		d.where[f.key] = w
	}
}

// setPos records where v stands in the file, where v has a field for it.
func (d *decoder) setPos(v reflect.Value, p position) {
	if f, ok := v.Type().FieldByName("pos"); ok && f.Type == posType {
		reflect.NewAt(posType, v.FieldByIndex(f.Index).Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(p))
	}
}

// pairs calls f for each key of a mapping, and fails on anything else and on
// a key that stands twice.
func (d *decoder) pairs(n *yaml.Node, path string, f func(k, v *yaml.Node, path string)) {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(at(n, path), "found "+describe(n), "keys and values")
		return
	}
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), n.Content[i+1]
		if !d.isKey(k, path) || !d.count(k, path) {
			continue
		}
		sub := strings.TrimPrefix(path+"."+k.Value, ".")
		if twin := first[k.Value]; twin != nil {
			d.fail(at(k, sub), fmt.Sprintf("%q stands twice, first on line %d", k.Value, twin.Line), "each name once")
			continue
		}
		first[k.Value] = k
		d.names[sub] = at(k, sub)
		f(k, v, sub)
	}
}

// isKey reports whether k can be a key, and fails if not.
func (d *decoder) isKey(k *yaml.Node, path string) bool {
	switch {
	case k.Kind != yaml.ScalarNode || k.Tag == "!!null":
		d.fail(at(k, path), "found "+describe(k)+" as a key", "a name")
	case k.Tag == "!!merge":
		d.fail(at(k, path), "found a merge key", "the keys themselves: << is not part of YAML 1.2")
	default:
		return true
	}
	return false
}

// count reports whether one more value may be decoded. It fails once, at the
// value that is too many: aliases of aliases can make a short file huge.
func (d *decoder) count(n *yaml.Node, path string) bool {
	if d.values++; d.values == maxValues+1 {
		d.fail(at(n, path), fmt.Sprintf("more than %d values, with what aliases repeat", maxValues), "a smaller file")
	}
	return d.values <= maxValues
}
