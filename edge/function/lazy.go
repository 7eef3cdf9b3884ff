package function

import (
	"cmp"
	"slices"

	"github.com/dop251/goja"
)

// A lazy is an object of the event whose properties are made when a function
// first looks at it, each when it is asked for: most functions look at little. It
// implements goja.DynamicObject.
type lazy struct {
	fill    func() []many // what it has, in order
	one     func(*many) goja.Value
	touched bool

	names []string
	from  map[string]*many
	made  map[string]goja.Value
}

// later makes a lazy object.
func (v *vm) later(fill func() []many, one func(*many) goja.Value) *goja.Object {
	l := &lazy{fill: fill, one: one}
	o := v.rt.NewDynamicObject(l)
	v.lazies = append(v.lazies, lazyObject{o, l})
	return o
}

type lazyObject struct {
	*goja.Object
	lazy *lazy
}

// untouched reports whether a value is an object of the event that the function
// never looked at.
func (v *vm) untouched(x goja.Value) bool {
	o, ok := x.(*goja.Object)
	return ok && slices.ContainsFunc(v.lazies, func(l lazyObject) bool { return l.Object == o && !l.lazy.touched })
}

func (l *lazy) touch() {
	if l.touched {
		return
	}
	l.touched, l.from, l.made = true, map[string]*many{}, map[string]goja.Value{}
	list := ordered(l.fill())
	for i := range list {
		l.names = append(l.names, list[i].name)
		l.from[list[i].name] = &list[i]
	}
}

// Get implements goja.DynamicObject, as the others do.
func (l *lazy) Get(key string) goja.Value {
	l.touch()
	if x, ok := l.made[key]; ok {
		return x
	}
	m, ok := l.from[key]
	if !ok {
		return nil
	}
	x := l.one(m)
	l.made[key] = x
	return x
}

func (l *lazy) Set(key string, x goja.Value) bool {
	if !l.Has(key) {
		l.names = append(l.names, key)
	}
	l.made[key] = x
	return true
}

func (l *lazy) Has(key string) bool {
	l.touch()
	return slices.Contains(l.names, key)
}

func (l *lazy) Delete(key string) bool {
	l.touch()
	l.names = slices.DeleteFunc(l.names, func(name string) bool { return name == key })
	delete(l.made, key)
	delete(l.from, key)
	return true
}

func (l *lazy) Keys() []string {
	l.touch()
	return slices.Clone(l.names)
}

// ordered returns what is given in the order of an object's properties: whole
// numbers first (ECMAScript, OrdinaryOwnPropertyKeys).
func ordered(given []many) []many {
	if !slices.ContainsFunc(given, func(m many) bool { return index(m.name) >= 0 }) {
		return given
	}
	out := slices.Clone(given)
	slices.SortStableFunc(out, func(x, y many) int {
		i, j := index(x.name), index(y.name)
		switch {
		case i >= 0 && j >= 0:
			return cmp.Compare(i, j)
		case i >= 0:
			return -1
		case j >= 0:
			return 1
		}
		return 0
	})
	return out
}
