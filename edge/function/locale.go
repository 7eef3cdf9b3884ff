package function

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// Of what the language says in the words of a place, CloudFront's runtime has what
// njs has: dates say the same as without, and numbers, lists and objects have no
// toLocaleString. Node has the data of all languages, which are larger than the
// engine: here its numbers are written as in en-US, and others are refused.

// unlocalized makes a runtime as njs is.
func unlocalized(v *vm) {
	date := v.prototype("Date")
	for _, what := range []string{"String", "DateString", "TimeString"} {
		date.DefineDataProperty("toLocale"+what, date.Get("to"+what), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	for _, class := range []string{"Number", "Array", "Object"} {
		v.prototype(class).Delete("toLocaleString")
	}
}

// american makes numbers of a runtime like Node's, in one language.
func american(v *vm) {
	v.prototype("Number").DefineDataProperty("toLocaleString", v.rt.ToValue(func(c goja.FunctionCall) goja.Value {
		least, most, grouped := v.digitsOf(c.Argument(0), c.Argument(1))
		return v.rt.ToValue(enUS(c.This.ToFloat(), least, most, grouped))
	}), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

func (v *vm) prototype(class string) *goja.Object {
	return v.rt.Get(class).ToObject(v.rt).Get("prototype").ToObject(v.rt)
}

// digitsOf reads the arguments of Number.prototype.toLocaleString (ECMA-402,
// section 20.2.1): digits of the fraction at least and at most.
func (v *vm) digitsOf(locale, options goja.Value) (least, most int, grouped bool) {
	if tag := locale.String(); !goja.IsUndefined(locale) && tag != "en-US" && tag != "en" {
		v.throw("toLocaleString knows no language but en-US, found %q", oneLine(tag))
	}
	least, most, grouped = 0, -1, true
	if goja.IsUndefined(options) {
		return 0, 3, true
	}
	o := options.ToObject(v.rt)
	for _, name := range o.Keys() {
		switch x := o.Get(name); {
		case goja.IsUndefined(x):
		case name == "minimumFractionDigits":
			least = v.digit(name, x)
		case name == "maximumFractionDigits":
			most = v.digit(name, x)
		case name == "useGrouping":
			grouped = x.ToBoolean()
		default:
			v.throw("toLocaleString has minimumFractionDigits, maximumFractionDigits and useGrouping, found %q", oneLine(name))
		}
	}
	switch {
	case most < 0:
		most = max(least, 3)
	case least > most:
		panic(v.newError("RangeError", "maximumFractionDigits value is out of range."))
	}
	return least, most, grouped
}

func (v *vm) digit(name string, x goja.Value) int {
	n := x.ToFloat()
	if !(n >= 0 && n <= 100) {
		panic(v.newError("RangeError", name+" value is out of range."))
	}
	return int(n)
}

// enUS writes a number with a comma before each three digits. It is rounded as
// it would be written in full, halves away from zero.
func enUS(x float64, least, most int, grouped bool) string {
	sign := ""
	if math.Signbit(x) {
		sign = "-"
	}
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 0):
		return sign + "∞"
	}
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(math.Abs(x), 'f', -1, 64))
	whole, fraction, _ := strings.Cut(exact.FloatString(most), ".")
	for len(fraction) > least && strings.HasSuffix(fraction, "0") {
		fraction = fraction[:len(fraction)-1]
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	for i := len(whole) - 3; i > 0 && grouped; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return sign + whole + fraction
}
