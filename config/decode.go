package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"meridian"
)

// A decoder fills values from YAML nodes. It never stops at the first mistake.
type decoder struct {
	file  string
	errs  Errors
	where map[string]position // of each key that was given, by its path
}

// fail records a mistake at p. A p without a line means the key of its path.
func (d *decoder) fail(p position, found, expected string) {
	if p.line == 0 {
		p = d.at(position{1, 1, p.key}, "")
	}
	d.errs = append(d.errs, &Error{File: d.file, Line: p.line, Column: p.column, Key: p.key, Found: found, Expected: expected})
}

// at returns where the key sub of p stands, or p where it was not given.
func (d *decoder) at(p position, sub string) position {
	path := strings.Trim(p.key+"."+sub, ".")
	if w, ok := d.where[path]; ok {
		return w
	}
	return p
}

// A field is one key that a struct allows.
type field struct {
	key, def, doc, want, eg string
	index                   int
}

func fieldsOf(t reflect.Type) (fs []field) {
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if key := tag.Get("key"); key != "" && key != "-" {
			fs = append(fs, field{key, tag.Get("default"), tag.Get("doc"), tag.Get("want"), tag.Get("eg"), i})
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

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	addrType     = reflect.TypeFor[netip.Addr]()
	addrPortType = reflect.TypeFor[netip.AddrPort]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	valueType    = reflect.TypeFor[Value]()
	posType      = reflect.TypeFor[position]()
)

// object decodes a mapping into v, a struct.
func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	defaults(v)
	d.setPos(v, at(n, path))
	fs := fieldsOf(v.Type())
	d.pairs(n, path, func(k, val *yaml.Node, path string) {
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == k.Value })
		if i < 0 {
			d.unknown(k, path, fs)
			return
		}
		want := fs[i].want
		d.value(val, v.Field(fs[i].index), path, want)
	})
}

// setPos records where v stands in the file, where v has a field for it.
func (d *decoder) setPos(v reflect.Value, p position) {
	if f, ok := v.Type().FieldByName("pos"); ok && f.Type == posType {
		reflect.NewAt(posType, v.FieldByIndex(f.Index).Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(p))
	}
}

func (d *decoder) unknown(k *yaml.Node, path string, fs []field) {
	var keys []string
	for _, f := range fs {
		keys = append(keys, f.key)
	}
	want := "one of " + strings.Join(keys, ", ")
	if near := nearest(k.Value, keys); near != "" {
		want = fmt.Sprintf("%s, perhaps", near)
	}
	d.fail(at(k, path), "unknown key", want)
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
		k, v := n.Content[i], n.Content[i+1]
		sub := strings.TrimPrefix(path+"."+k.Value, ".")
		if twin := first[k.Value]; twin != nil {
			d.fail(at(k, sub), fmt.Sprintf("%q stands twice, first on line %d", k.Value, twin.Line), "each name once")
			continue
		}
		first[k.Value] = k
		d.where[sub] = at(k, sub)
		f(k, v, sub)
	}
}

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path, want string) {
	n = resolve(n)
	d.where[path] = at(n, path)
	switch t := v.Type(); {
	case t == valueType:
		d.envValue(n, v.Addr().Interface().(*Value), path)
	case t == reflect.TypeFor[[]Region]():
		d.regions(n, v.Addr().Interface().(*[]Region), path)
	case t == reflect.TypeFor[[]Function]():
		d.functions(n, v.Addr().Interface().(*[]Function), path)
	case t == reflect.TypeFor[[]Clients]():
		d.clients(n, v.Addr().Interface().(*[]Clients), path)
	case isScalar(t):
		d.scalar(n, v, path, want)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		d.value(n, v.Elem(), path, want)
	case t.Kind() == reflect.Struct:
		d.object(n, v, path)
	case t.Kind() == reflect.Slice:
		d.list(n, v, path, want)
	case t.Kind() == reflect.Map:
		d.dict(n, v, path, want)
	default:
		panic("config: no decoder for " + t.String())
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path, want string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(at(n, path), "found "+describe(n), "a list")
		return
	}
	for i, item := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(item, e, fmt.Sprintf("%s[%d]", path, i), want)
		v.Set(reflect.Append(v, e))
	}
}

func (d *decoder) dict(n *yaml.Node, v reflect.Value, path, want string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, path, func(k, val *yaml.Node, sub string) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(val, e, sub, want)
		v.SetMapIndex(reflect.ValueOf(k.Value), e)
	})
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path, want string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(at(n, path), "found "+describe(n), or(want, wantOf(v.Type())))
		return
	}
	if err := setScalar(v, n.Value); err != nil || n.Tag == "!!null" {
		d.fail(at(n, path), "found "+describe(n), or(want, wantOf(v.Type())))
	}
}

func (d *decoder) regions(n *yaml.Node, out *[]Region, path string) {
	d.pairs(n, path, func(k, v *yaml.Node, sub string) {
		r := Region{Name: meridian.Region(k.Value)}
		d.object(v, reflect.ValueOf(&r).Elem(), sub)
		r.pos = at(k, sub)
		*out = append(*out, r)
	})
}

func (d *decoder) functions(n *yaml.Node, out *[]Function, path string) {
	d.pairs(n, path, func(k, v *yaml.Node, sub string) {
		f := Function{Name: k.Value}
		d.object(v, reflect.ValueOf(&f).Elem(), sub)
		f.pos = at(k, sub)
		*out = append(*out, f)
	})
}

func (d *decoder) clients(n *yaml.Node, out *[]Clients, path string) {
	d.pairs(n, path, func(k, v *yaml.Node, sub string) {
		c := Clients{Place: meridian.Region(k.Value)}
		d.value(v, reflect.ValueOf(&c.Prefixes).Elem(), sub, "")
		*out = append(*out, c)
	})
}

func (d *decoder) envValue(n *yaml.Node, out *Value, path string) {
	out.pos = at(n, path)
	if n.Kind == yaml.ScalarNode {
		out.Text = n.Value
		return
	}
	var refs struct {
		File   string `key:"file"`
		Secret string `key:"secret"`
	}
	d.object(n, reflect.ValueOf(&refs).Elem(), path)
	out.File, out.Secret = refs.File, refs.Secret
	if (out.File == "") == (out.Secret == "") && n.Kind == yaml.MappingNode {
		d.fail(out.pos, "found "+describe(n), "a text, {file: PATH} or {secret: NAME}")
	}
}

func isScalar(t reflect.Type) bool {
	switch t {
	case addrType, addrPortType, prefixType:
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint16, reflect.Float64:
		return true
	}
	return false
}

func setScalar(v reflect.Value, s string) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = time.ParseDuration(s)
		if err == nil && *p < 0 {
			err = fmt.Errorf("negative")
		}
	case *Size:
		*p, err = ParseSize(s)
	case *netip.Addr:
		*p, err = netip.ParseAddr(s)
	case *netip.AddrPort:
		*p, err = netip.ParseAddrPort(s)
	case *netip.Prefix:
		*p, err = netip.ParsePrefix(s)
	default:
		return setBasic(v, s)
	}
	return err
}

func setBasic(v reflect.Value, s string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		v.SetBool(s == "true")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		v.SetInt(n)
		return err
	case reflect.Uint16:
		n, err := strconv.ParseUint(s, 10, 16)
		v.SetUint(n)
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		v.SetFloat(f)
		return err
	}
	return nil
}

func wantOf(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 10s"
	case t == sizeType:
		return "a size such as 128MiB"
	case t == addrType:
		return "an IP address"
	case t == addrPortType:
		return "an IP address and a port"
	case t == prefixType:
		return "a network such as 198.18.1.0/24"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Uint16:
		return "a port from 1 to 65535"
	case t.Kind() == reflect.String:
		return "a text"
	}
	return "a number"
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

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
	if n.Tag == "!!null" {
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

// nearest returns the key that s was probably meant to be, or "".
func nearest(s string, keys []string) string {
	best, most := "", 3
	for _, k := range keys {
		if n := distance(strings.ToLower(s), strings.ToLower(k)); n < most && n < len(k) {
			best, most = k, n
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
