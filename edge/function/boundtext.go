package function

import (
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

func textLength(x goja.Value) int64 {
	if s, ok := x.(goja.String); ok {
		return int64(s.Length())
	}
	return int64(len(x.String()))
}

// patterns bounds an expression that is made of a text.
func patterns(v *vm, c *goja.FunctionCall) {
	if len(c.Arguments) == 0 {
		return
	}
	if o, ok := c.Arguments[0].(*goja.Object); ok && o.ClassName() == "RegExp" {
		return
	}
	if v.settle(&c.Arguments[0]); textLength(c.Arguments[0]) > maxPattern {
		v.tooMuch("a regular expression")
	}
}

// grown is given each value that may be a text made of two others, with 1 each that
// is spread, and with 2 each name that is computed.
func (v *vm) grown(c goja.FunctionCall) goja.Value {
	x := c.Argument(0)
	switch s, isText := x.(goja.String); {
	case c.Argument(1).ToInteger() == 1:
		v.whole(x)
	case len(c.Arguments) > 1:
		return v.named(x)
	case isText:
		v.counts(int64(s.Length()))
	}
	return x
}

// counts bounds a text that was made. How many are is left to the time: a page is
// made of thousands of pieces, and what is copied for that is let go at once.
func (v *vm) counts(n int64) {
	if n > maxText {
		v.tooMuch("a text")
	}
}

// settle makes a text of what stands for one.
func (v *vm) settle(x *goja.Value) {
	if _, isObject := (*x).(*goja.Object); isObject {
		*x = (*x).ToString()
	}
}

func nothing(*vm, *goja.FunctionCall) {}

// grows bounds the text that a call made.
func grows(v *vm, c *goja.FunctionCall) {
	if s, ok := c.This.(goja.String); ok {
		v.counts(int64(s.Length()))
	}
}

func repeats(v *vm, c *goja.FunctionCall) {
	v.settle(&c.This)
	n, size := v.settleNumber(c, 0), textLength(c.This)
	if n > 0 && size > maxText/n {
		v.tooMuch("repeat")
	}
	v.charge(max(n, 0)*size, "repeat")
}

func pads(v *vm, c *goja.FunctionCall) {
	n := v.settleNumber(c, 0)
	if n > maxText {
		v.tooMuch("pad")
	}
	v.charge(max(n, 0), "pad")
}

// replaces bounds what a replacement may become: one that stands at each place
// where the text is found, or, where an expression decides on that, at every
// place, and each $ in it for the whole text.
func replaces(v *vm, c *goja.FunctionCall) {
	v.settle(&c.This)
	n := textLength(c.This)
	at, isObject := c.Argument(0).(*goja.Object)
	if isObject && n > maxSearched {
		v.tooMuch("replace")
	}
	if len(c.Arguments) < 2 {
		return
	}
	if f, ok := goja.AssertFunction(c.Arguments[1]); ok {
		c.Arguments[1] = v.rt.ToValue(v.replacing(f))
		return
	}
	v.settle(&c.Arguments[1])
	with := c.Arguments[1].String()
	size, places := int64(len(with)), n
	if strings.Contains(with, "$") {
		size += n * int64(strings.Count(with, "$"))
	}
	if !isObject {
		at := c.Argument(0).String()
		places = int64(strings.Count(c.This.String(), at))
	} else if at.ClassName() != "RegExp" { // it may be made a text, or say by itself how it replaces
		places = n
	}
	if places > 0 && size > 16*maxText/places {
		v.tooMuch("replace")
	}
}

// replacing is a function that says what stands for each match, and may not say
// too much in all.
func (v *vm) replacing(f goja.Callable) func(goja.FunctionCall) goja.Value {
	size := int64(0)
	return func(c goja.FunctionCall) goja.Value {
		v.alive()
		x := v.call(f, c.This, c.Arguments...)
		v.settle(&x)
		if size += textLength(x); size > maxText {
			v.tooMuch("replace")
		}
		return x
	}
}

// splits bounds the pieces of a text.
func splits(v *vm, c *goja.FunctionCall) {
	v.settle(&c.This)
	n := textLength(c.This)
	by, isObject := c.Argument(0).(*goja.Object)
	switch {
	case goja.IsUndefined(c.Argument(0)):
	case isObject && by.ClassName() == "RegExp":
		searches(v, c)
	default:
		v.settle(&c.Arguments[0])
		if sep := c.Arguments[0].String(); sep != "" {
			n = int64(strings.Count(c.This.String(), sep))
		}
		if n > maxItems {
			v.tooMuch("split")
		}
	}
}

// searches bounds the text in which each match becomes a value.
func searches(v *vm, c *goja.FunctionCall) {
	if v.settle(&c.This); textLength(c.This) > maxSearched {
		v.tooMuch("a text that is searched")
	}
	patterns(v, c)
}

// addsUp bounds a text that is made of several.
func addsUp(v *vm, c *goja.FunctionCall) {
	v.settle(&c.This)
	size := textLength(c.This)
	for i := range c.Arguments {
		v.settle(&c.Arguments[i])
		if size += textLength(c.Arguments[i]); size > maxText {
			v.tooMuch("concat")
		}
	}
	v.counts(size)
}

// raws bounds what String.raw makes of a list of texts.
func raws(v *vm, c *goja.FunctionCall) {
	o, ok := c.Argument(0).(*goja.Object)
	if !ok {
		return
	}
	list, ok := o.Get("raw").(*goja.Object)
	if !ok {
		return
	}
	total := int64(0)
	for _, a := range c.Arguments[1:] {
		total += textLength(a)
	}
	for i := range v.length(list) {
		if total += textLength(list.Get(strconv.FormatInt(i, 10))); total > maxText {
			v.tooMuch("raw")
		}
	}
}

// patterned bounds the expression that a text is searched with.
func patterned(v *vm, c *goja.FunctionCall) {
	v.settle(&c.This)
	patterns(v, c)
}

// collates bounds texts that are compared as people sort them.
func collates(v *vm, c *goja.FunctionCall) {
	if v.settle(&c.This); len(c.Arguments) > 0 {
		v.settle(&c.Arguments[0])
	}
	if textLength(c.This)+textLength(c.Argument(0)) > maxSearched {
		v.tooMuch("localeCompare")
	}
}

// normalizes bounds a text of which each character may become eighteen.
func normalizes(v *vm, c *goja.FunctionCall) {
	if v.settle(&c.This); textLength(c.This) > maxItems {
		v.tooMuch("normalize")
	}
}

func isText(x goja.Value) bool { _, ok := x.(goja.String); return ok }
