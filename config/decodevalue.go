package config

import (
	"fmt"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"

	"meridian"
)

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path, want string) {
	n = resolve(n)
	if !d.count(n, path) {
		return
	}
	d.where[path] = at(n, path)
	switch t := v.Type(); {
	case t == valueType:
		d.envValue(n, v.Addr().Interface().(*Value), path)
	case t == durableType && n.Kind == yaml.MappingNode:
		d.durability(n, v.Addr().Interface().(*meridian.Durability), path, want)
	case t == selectionType:
		d.selection(n, v.Addr().Interface().(*Selection), path)
	case t == cacheType:
		d.cachePolicy(n, v.Addr().Interface().(*Cache), path, want)
	case t == responseHeadersType:
		d.responseHeaders(n, v.Addr().Interface().(*ResponseHeaders), path, want)
	case t == originRequestType:
		d.originRequest(n, v.Addr().Interface().(*OriginRequest), path, want)
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
	if n.Tag == "!!null" || !plain(n) || setScalar(v, n.Value) != nil {
		d.fail(at(n, path), "found "+describe(n), or(want, wantOf(v.Type())))
	}
}

// foundOf says that both or neither of two keys were found.
func foundOf(a string, both bool, b string) string {
	if both {
		return fmt.Sprintf("found both %s and %s", a, b)
	}
	return fmt.Sprintf("found neither %s nor %s", a, b)
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
		c := Clients{Place: meridian.Region(k.Value), pos: at(k, sub)}
		d.value(v, reflect.ValueOf(&c.Prefixes).Elem(), sub, "")
		*out = append(*out, c)
	})
}

// durability decodes the forms that have a value of their own.
func (d *decoder) durability(n *yaml.Node, out *meridian.Durability, path, want string) {
	var of struct {
		Sync meridian.Region `key:"sync"`
		RPO  time.Duration   `key:"rpo" want:"a duration such as 250ms"`
	}
	d.object(n, reflect.ValueOf(&of).Elem(), path)
	_, sync := d.where[path+".sync"]
	_, rpo := d.where[path+".rpo"]
	switch {
	case sync == rpo && (sync || len(n.Content) == 0):
		d.fail(at(n, path), foundOf("sync", sync, "rpo"), want)
	case rpo && of.RPO == 0:
		d.fail(d.where[path+".rpo"], "rpo is nothing", "a duration such as 250ms")
	case sync && of.Sync == "":
		d.fail(d.where[path+".sync"], "sync is nothing", "a region of this file")
	}
	*out = meridian.Durability{Sync: of.Sync, RPO: of.RPO}
}

func (d *decoder) envValue(n *yaml.Node, out *Value, path string) {
	const want = "a text, {file: PATH} or {secret: NAME}"
	out.pos = at(n, path)
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null" && plain(n):
		out.Text = n.Value
		return
	case n.Kind != yaml.MappingNode:
		d.fail(out.pos, "found "+describe(n), want)
		return
	}
	var refs struct {
		File   string `key:"file"`
		Secret string `key:"secret"`
	}
	d.object(n, reflect.ValueOf(&refs).Elem(), path)
	out.File, out.Secret = refs.File, refs.Secret
	if (out.File == "") == (out.Secret == "") {
		d.fail(out.pos, foundOf("file", out.File != "", "secret"), want)
	}
}
