package script

import (
	"testing"

	"github.com/dop251/goja"
)

// TestWhatGrowsIsHandedOver counts which expressions are handed to grown as a
// source runs, and that each means what it meant.
func TestWhatGrowsIsHandedOver(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   string // what it comes to
		calls  int
	}{
		{"let s = 'a', t = 'b'; s = s + t", "ab", 1},
		{"let s = 'a', t = 'b'; s += t", "ab", 1},
		{"let s = 'a', t = 'b'; s = `${s}-${t}`", "a-b", 1},
		{"let s = 'a', t = 'b'; s = `${s}-`", "a-", 0},
		{"let s = 'a'; s += '/index.html'", "a/index.html", 0},
		{"let s = 'a'; s = '<' + s + '>'", "<a>", 0},
		{"let s = 'a', t = 'b'; s = '<' + s + t + '>'", "<ab>", 1},
		{"const o = { s: 'a' }, i = { n: 0 }; o['s'] += o.s; let s = o.s + i.n++", "aa0", 1},
		{"let h = 7, s; for (const c of [1, 2]) h = (h * 31 + c) | 0; s = h", "6760", 0},
		{"let h = 7, x = 3, s; h ^= h + x; s = [10, 20][h + x - 16] ?? h", "10", 0},
		{"let h = 7; h += (h << 1) + (h << 4); let s = h", "133", 0},
		{"let s = [...'ab', ...'c'].join('')", "abc", 2},
		{"const f = (...a) => a.join(''); let s = f(...'ab')", "ab", 1},
		{"const o = { ...{ s: 'a' } }; let s = o.s", "a", 1},
		{"class A { s = 'a'; get t() { return this.s + this.s } } let s = new A().t", "aa", 1},
		{"let f = (x = 'a', y = x + x) => y; let s = f()", "aa", 1},
		{"let { a = 'x', b = a + a } = {}; let s = b", "xx", 1},
		{"function* g() { const x = 'a'; yield x + x } let s = [...g()][0]", "aa", 2},
		{"const tag = (t, ...v) => v.join(''), x = 'a', y = 'b'; let s = tag`${x}${y}`", "ab", 0},
		{"let s; switch ('ab') { case 'a' + 'b': s = 1 }", "1", 0},
		{"const o = { f: () => 'x' }, k = 'f'; let s = o[k]()", "x", 1},
		{"const o = { f: () => 'x' }, k = 'f'; let s = o?.[k]?.()", "x", 1},
		{"const o = { f: 'x' }, { ['f'.trim()]: v } = o; let s = v", "x", 1},
		{"const w = [1, 2], i = 1; let s = w[i - 1] * 2 + w[i] * w[i]", "6", 0},
		{"const w = [1, 2], i = 1; w[i] = 3; w[i]++; w[0] += w[i]; let s = w[0]", "5", 2},
		{"let a = null, b = 'y'; let s = a?.x + b", "undefinedy", 1},
	} {
		p, err := Compile("f.js", []byte(tt.source+"\nfunction handler() { return String(s) }"), 1<<20)
		if err != nil {
			t.Errorf("%s: %v", tt.source, err)
			continue
		}
		rt, calls := goja.New(), 0
		f, err := rt.RunProgram(p.Code)
		if err != nil {
			t.Fatal(err)
		}
		make, _ := goja.AssertFunction(f)
		grown := func(c goja.FunctionCall) goja.Value { calls++; return c.Argument(0) }
		undefined := goja.Undefined()
		h, err := make(undefined, undefined, undefined, undefined, rt.ToValue(grown))
		if err != nil {
			t.Errorf("%s: %v", tt.source, err)
			continue
		}
		handler, _ := goja.AssertFunction(h)
		if got, err := handler(undefined); err != nil || got.String() != tt.want || calls != tt.calls || p.Grows != (tt.calls > 0) {
			t.Errorf("%s: %v (%v), %d calls, grows %v; want %s, %d", tt.source, got, err, calls, p.Grows, tt.want, tt.calls)
		}
	}
}
