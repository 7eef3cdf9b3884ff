package function

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/dop251/goja"
)

// maxLists bounds the texts of one object of an event, before they are looked at.
const maxLists = 256 << 10

// lists decodes CloudFront's object of names and values. What is in multiValue
// counts, unless only value was changed: that is the first then.
func (v *vm) lists(x goja.Value, was []many, what string) ([]many, error) {
	if x == nil || goja.IsUndefined(x) || goja.IsNull(x) {
		return nil, nil
	}
	o, ok := x.(*goja.Object)
	if !ok {
		return nil, bad("%s is %s; expected an object", what, kindOf(x))
	}
	var out []many
	size := 0
	for _, name := range o.Keys() {
		m := many{name: name}
		if x := o.Get(name); x == nil || goja.IsUndefined(x) { // as JSON has it: it is not there
			continue
		}
		e, ok := o.Get(name).(*goja.Object)
		if !ok {
			return nil, bad("%s[%q] is %s; expected an object with a value", what, name, kindOf(o.Get(name)))
		}
		each := []*goja.Object{e}
		if all, ok := e.Get("multiValue").(*goja.Object); ok && v.length(all) > 0 {
			if each, ok = v.objects(all); !ok {
				return nil, bad("%s[%q].multiValue: expected a list of objects with a value", what, name)
			}
		}
		for _, one := range each {
			value := one.Get("value")
			if value == nil || goja.IsUndefined(value) || goja.IsNull(value) {
				return nil, bad("%s[%q] has no value", what, name)
			}
			m.values = append(m.values, value.String())
			attr := ""
			if given(one, "attributes") {
				attr = one.Get("attributes").String()
			}
			m.attrs = append(m.attrs, attr)
			v.alive()
			if size += len(name) + len(m.values[len(m.values)-1]) + len(attr); size > maxLists {
				return nil, bad("%s has more than %d bytes", what, maxLists)
			}
		}
		if first := e.Get("value"); len(m.values) > 1 && given(e, "value") && slices.ContainsFunc(was, func(w many) bool { return w.name == name && slices.Equal(w.values, m.values) }) {
			m.values[0] = first.String()
		}
		out = append(out, m)
	}
	return out, nil
}

// objects returns the elements of a list of objects.
func (v *vm) objects(list *goja.Object) (out []*goja.Object, ok bool) {
	n := v.length(list)
	if n > 1000 {
		return nil, false
	}
	for i := range n {
		o, ok := list.Get(fmt.Sprint(i)).(*goja.Object)
		if !ok {
			return nil, false
		}
		out = append(out, o)
	}
	return out, true
}

// same reports whether what a function left is what it was given.
func same(left, given []many) bool {
	return slices.EqualFunc(left, ordered(given), func(x, y many) bool {
		return x.name == y.name && slices.Equal(x.values, y.values) && slices.Equal(x.attrs, y.attrs)
	})
}

// index returns the whole number that a name is as a key of an object, or -1.
func index(name string) int64 {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != name {
		return -1
	}
	return int64(n)
}
