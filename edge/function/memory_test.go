package function

import (
	"context"
	"strings"
	"testing"
	"time"
)

// greedy are scripts that try to make much of little: with what doubles, with the
// loops inside of the engine, and with values that say another size once they have
// been looked at. Some do no harm, and pass.
var greedy = map[string]string{
	"template literals":          "let s = 'x'; for (;;) s = `${s}${s}`",
	"texts added":                "let s = 'x'; for (;;) s = s + s",
	"texts of two bytes added":   "let s = '\\u1234'; for (;;) s = s + s",
	"texts concatenated":         "let s = 'x'; for (;;) s = s.concat(s)",
	"lists concatenated":         "let s = [1]; for (;;) s = s.concat(s)",
	"push spread":                "let s = [1]; for (;;) s.push(...s)",
	"push":                       "let s = [1]; for (;;) s.push({})",
	"objects":                    "let o = {}; for (let i = 0;; i++) o['k' + i] = {}",
	"map":                        "let o = new Map(); for (let i = 0;; i++) o.set(i, {})",
	"arrays":                     "let o = []; for (;;) o.push(new Array(65536))",
	"arrays filled":              "let o = []; for (;;) o.push(new Array(4096).fill(0))",
	"typed":                      "let o = []; for (;;) o.push(new Uint8Array(1 << 20))",
	"buffers":                    "let o = []; for (;;) o.push(Buffer.alloc(1 << 20))",
	"repeats":                    "let o = []; for (;;) o.push('x'.repeat(1 << 20))",
	"split":                      "return say('x'.repeat(1 << 20).split('').length)",
	"split2":                     "return say('x,'.repeat(1 << 19).split(',').length)",
	"match":                      "return say('x'.repeat(1 << 20).match(/./g).length)",
	"spread str":                 "return say([...'x'.repeat(1 << 20)].length)",
	"from str":                   "return say(Array.from('x'.repeat(1 << 20)).length)",
	"set str":                    "return say(new Set('x'.repeat(1 << 20)).size)",
	"normalize":                  "return say('\\ufdfa'.repeat(1 << 20).normalize('NFKD').length)",
	"replace empty":              "return say('x'.repeat(1 << 19).replace(/(?:)/g, 'yyyy').length)",
	"replace fn":                 "return say('x'.repeat(1 << 19).replace(/x/g, () => 'y'.repeat(1<<18)).length)",
	"encode":                     "return say(encodeURIComponent('\\u1234'.repeat(1 << 20)).length)",
	"json parse wide":            "return say(JSON.parse('[' + '0,'.repeat(1 << 19) + '0]').length)",
	"json parse objs":            "return say(JSON.parse('[' + '{},'.repeat(1 << 18) + '0]').length)",
	"json quote":                 "return say(JSON.stringify('\\u0001'.repeat(1 << 20)).length)",
	"json indent":                "let a = [1]; for (let i = 0; i < 400; i++) a = [a, a.length]; return say(JSON.stringify(a, null, 10).length)",
	"upper":                      "return say('\\u00df'.repeat(1 << 20).toUpperCase().length)",
	"querystring":                "return say(require('querystring').parse('a&'.repeat(1 << 19)))",
	"URLSearch":                  "return say(new URLSearchParams('a&'.repeat(1 << 19)))",
	"btoa":                       "return say(btoa(btoa(btoa('x'.repeat(1 << 20)))).length)",
	"hex":                        "return say(Buffer.alloc(1<<20).toString('hex').length)",
	"bufconcat":                  "let b = Buffer.alloc(1<<20); return say(Buffer.concat(Array(1000).fill(b)).length)",
	"buf json":                   "let b = Buffer.alloc(1<<20); return say(JSON.stringify(b).length)",
	"entries":                    "let o = {}; for (let i = 0; i < 3000; i++) o[i] = 1; let p = []; for (;;) p.push(Object.entries(o))",
	"deep recursion":             "const f = (n) => f(n + 1) + 1; return say(f(0))",
	"getter recursion":           "const o = { get x() { return this.x } }; return say(o.x)",
	"tostring recursion":         "const o = { toString() { return '' + this } }; return say(String(o))",
	"json recursion":             "const o = { toJSON() { return JSON.stringify(this) } }; return say(JSON.stringify(o))",
	"sort":                       "let a = []; for (let i = 0; i < 60000; i++) a.push(60000 - i); return say(a.sort().length)",
	"closures":                   "let f = () => 0; for (;;) { const g = f; f = () => g() }",
	"bind":                       "let f = () => 0; for (;;) f = f.bind(null)",
	"proxy chain":                "let p = {}; for (let i = 0; i < 5000; i++) p = new Proxy(p, {}); return say(p.x)",
	"proto chain":                "let p = {}; for (let i = 0; i < 20000; i++) p = Object.create(p); for (;;) p.x",
	"nested arr tostring":        "let a = []; for (let i = 0; i < 20000; i++) a = [a]; return say(String(a))",
	"symbol desc":                "let s = Symbol('x'.repeat(1 << 20)); return say(s.toString())",
	"errors":                     "let o = []; for (;;) o.push(new Error('x'))",
	"error chain":                "const f = (n) => { if (n) return f(n - 1); throw new Error('x') }; for (;;) { try { f(900) } catch (e) {} }",
	"promises all":               "let o = []; for (;;) o.push(Promise.resolve())",
	"promise then":               "for (;;) Promise.resolve().then(() => 0)",
	"generators":                 "function* g() { yield 1 } let o = []; for (;;) o.push(g())",
	"regexp big":                 "return say(new RegExp('a{1000}{1000}').test('x'))",
	"regexp many":                "let o = []; for (let i = 0;; i++) o.push(new RegExp('(a|b|c){1,' + (i % 900 + 2) + '}'))",
	"regexp catastrophic":        "return say(/(a+)+$/.test('a'.repeat(1 << 20) + '!'))",
	"regexp look":                "return say(/(?=(a+))\\1b/.test('a'.repeat(1 << 16)))",
	"padEnd nested":              "let o = []; for (;;) o.push('x'.padEnd(1 << 20, 'ab'))",
	"reverse":                    "let a = Array(4096).fill(0); for (;;) a.reverse()",
	"date":                       "for (;;) new Date(8.64e15).toISOString()",
	"toFixed":                    "for (;;) (1e20).toFixed(100)",
	"console":                    "for (;;) console.log('x'.repeat(10000))",
	"headers":                    "for (let i = 0;; i++) event.request.headers['h' + i] = { value: 'x'.repeat(1000) }",
	"huge return":                "event.request.headers.x = { value: 'x'.repeat(1 << 20) }; return event.request",
	"uri":                        "event.request.uri = '/' + 'x'.repeat(1 << 20); return event.request",
	"multivalue":                 "event.request.headers.x = { multiValue: Array(4096).fill({ value: 'y'.repeat(1000) }) }; return event.request",
	"escape":                     "return say(escape('\\u1234'.repeat(1 << 20)).length)",
	"raw":                        "return say(String.raw({ raw: Array(4096).fill('x'.repeat(100000)) }))",
	"fromCharCode":               "let o = Array(4096).fill(0x1234); let s = ''; for (;;) s += String.fromCharCode.apply(null, o)",
	"structured":                 "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say(structuredClone(a).length)",
	"inspect":                    "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say(require('util').inspect(a).length)",
	"replaceAll of array":        "return say('x'.repeat(1 << 19).replaceAll('x', ['y'.repeat(1 << 19)]))",
	"repeat lies":                "let i = 0; return say('x'.repeat({ valueOf() { return i++ ? 2 ** 30 : 1 } }))",
	"this lies":                  "let i = 0; return say(String.prototype.repeat.call({ toString() { return i++ ? 'x'.repeat(1 << 20) : 'x' } }, 1 << 20))",
	"length lies":                "let i = 0; return say(Array.from({ get length() { return i++ ? 1e9 : 1 } }).length)",
	"length lies 2":              "let i = 0; return say(Array.from({ length: { valueOf() { return i++ ? 1e9 : 1 } } }).length)",
	"length lies 3":              "let i = 0; return say(Array.from(new Proxy({}, { get() { return i++ > 3 ? 1e9 : 1 } })).length)",
	"concat many":                "const a = Array(4096).fill(0); return say([].concat.apply([], Array(4096).fill(a)).length)",
	"concat texts":               "const s = 'x'.repeat(1 << 20); return say(''.concat.apply('', Array(4096).fill(s)).length)",
	"join nested":                "const b = ['x'.repeat(1 << 19)]; return say(Array(4096).fill(b).join('').length)",
	"flatMap":                    "const a = Array(4096).fill(0); return say(a.flatMap(() => a).length)",
	"straight":                   "let s = 'x'.repeat(1000); " + strings.Repeat("s = s + s;", 60) + " return say(s.length)",
	"member plus":                "const o = { s: 'x' }; for (;;) o.s += o.s",
	"comma":                      "let s = 'x', t; for (;;) t = (s += s, s)",
	"typed slice":                "const b = new Uint8Array(1 << 20), o = []; for (;;) o.push(b.slice())",
	"buffer from":                "const s = 'x'.repeat(1 << 20), o = []; for (;;) o.push(Buffer.from(s))",
	"encoder":                    "const s = 'x'.repeat(1 << 20), o = [], e = new TextEncoder(); for (;;) o.push(e.encode(s))",
	"array buffer slice":         "const b = new ArrayBuffer(1 << 20), o = []; for (;;) o.push(b.slice(0))",
	"object spread":              "const a = {}; for (let i = 0; i < 5000; i++) a['k' + i] = 1; const o = []; for (;;) o.push({ ...a })",
	"Object.assign str":          "return say(Object.assign({}, 'x'.repeat(1 << 20)))",
	"Object.keys str":            "return say(Object.keys('x'.repeat(1 << 20)).length)",
	"spread str obj":             "return say({ ...'x'.repeat(1 << 20) })",
	"for in str":                 "let n = 0; for (const k in 'x'.repeat(1 << 20)) n++; return say(n)",
	"Object.entries str":         "return say(Object.entries('x'.repeat(1 << 20)).length)",
	"ownNames str":               "return say(Object.getOwnPropertyNames('x'.repeat(1 << 20)).length)",
	"Object.entries buf":         "return say(Object.entries(Buffer.alloc(1 << 20)).length)",
	"array of buf":               "return say(Array.from(Buffer.alloc(1 << 20)).length)",
	"spread buf":                 "return say([...Buffer.alloc(1 << 20)].length)",
	"array map call str":         "return say([].map.call('x'.repeat(1 << 20), (x) => x).length)",
	"slice call str":             "return say([].slice.call('x'.repeat(1 << 20)).length)",
	"buf join":                   "return say(Buffer.alloc(1 << 20).join().length)",
	"buf tostring arr":           "return say(new Uint8Array(1 << 20).toString().length)",
	"buf entries":                "return say(new Map(Buffer.alloc(1 << 20).entries()).size)",
	"groupBy":                    "return say(Object.groupBy('x'.repeat(1 << 20), (x) => x))",
	"Promise.all str":            "return Promise.all('x'.repeat(1 << 20))",
	"destructure str":            "const [a, ...b] = 'x'.repeat(1 << 20); return say(b.length)",
	"search":                     "return say('x'.repeat(1 << 20).search(/y/))",
	"exec loop":                  "const r = /x/g, s = 'x'.repeat(1 << 20), o = []; let m; while (m = r.exec(s)) o.push(m); return say(o.length)",
	"regex split sym":            "return say(/x/[Symbol.split]('x'.repeat(1 << 20)).length)",
	"regex match sym":            "return say(/x/g[Symbol.match]('x'.repeat(1 << 20)).length)",
	"regex replace sym":          "return say(/x/g[Symbol.replace]('x'.repeat(1 << 20), 'y'.repeat(1000)).length)",
	"date fmt":                   "let o = []; for (;;) o.push(new Date().toLocaleString())",
	"random bytes":               "const c = require('crypto'), o = []; for (;;) o.push(c.randomBytes(1 << 20))",
	"hash":                       "const c = require('crypto'), h = c.createHash('sha256'), s = 'x'.repeat(1 << 20); for (;;) h.update(s)",
	"decode":                     "return say(decodeURIComponent('%41'.repeat(300000)).length)",
	"qs stringify":               "return say(require('querystring').stringify({ a: Array(4096).fill('\\u1234'.repeat(1000)) }).length)",
	"btoa big":                   "const o = []; const s = 'x'.repeat(1 << 19); for (;;) o.push(btoa(s))",
	"lower":                      "const o = []; const s = '\\u0130'.repeat(1 << 19); for (;;) o.push(s.toLowerCase())",
	"trim slice":                 "const o = []; const s = 'x\\u1234'.repeat(1 << 18); for (;;) o.push(s.slice(1))",
	"regexp2 compile":            "return say(new RegExp('(?=x)(?:a{1,1000}){1,1000}').test('a'))",
	"error msg":                  "throw new Error('x'.repeat(1 << 20))",
	"return big obj":             "const h = {}; for (let i = 0; i < 20000; i++) h['a' + i] = { value: 'x' }; return { statusCode: 200, headers: h }",
	"json list":                  "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say(JSON.stringify(a, ['0', '1']))",
	"json fn":                    "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return say(JSON.stringify(a, (k, v) => v))",
	"json gap":                   "let a = Array(4096).fill(0); for (let i = 0; i < 400; i++) a = [a]; return say(JSON.stringify(a, null, 10).length)",
	"cwt":                        "const cf = require('cloudfront'); const a = Array(1000).fill(0), b = Array(1000).fill(a), c = Array(1000).fill(b); return say(cf.cwt.generateToken({ payload: { 1: c } }, { coseTag: 'MAC0', key: 'k' }))",
	"regexp long":                "return say(new RegExp('a'.repeat(1 << 20)).test('x'))",
	"regexp long 2":              "return say('x'.match('a'.repeat(1 << 20)))",
	"regexp long 3":              "return say(/x/.compile('a'.repeat(1 << 20)).test('x'))",
	"regexp alt":                 "return say(new RegExp('(a|b)*'.repeat(2000)).test('x'))",
	"regexp nest":                "return say(new RegExp('(((a{1,30}){1,30})'.repeat(5) + ')'.repeat(5)).test('x'))",
	"regexp2 rep":                "return say(new RegExp('(?=x)' + '(a{1,1000})'.repeat(1000)).test('x'))",
	"parseInt":                   "return say(parseInt('9'.repeat(1 << 20)))",
	"Number":                     "return say(Number('9'.repeat(1 << 20)))",
	"parseFloat":                 "return say(parseFloat('0.' + '9'.repeat(1 << 19)))",
	"collate":                    "return say('\u1234'.repeat(1 << 20).localeCompare('\u1234'.repeat(1 << 20)))",
	"date parse":                 "return say(Date.parse('1'.repeat(1 << 20)))",
	"radix":                      "return say((1e300).toString(2).length)",
	"from fn":                    "return say(Array.from({ length: 65536 }, () => Array(1000)).length)",
	"fromEntries":                "return say(Object.fromEntries('x'.repeat(1 << 20)))",
	"set of set":                 "let s = new Set([1, 2]); for (let i = 0; ; i++) s = new Set([...s, ...Array.from(s, (x) => x + i)])",
	"weak":                       "const w = new WeakMap(); for (;;) w.set({}, {})",
	"sym flood":                  "const o = {}; for (;;) o[Symbol()] = 1",
	"text of lists":              "const b = ['x'.repeat(1 << 19)]; let a = Array(4000).fill(b); return say('' + a)",
	"split sym":                  "return say('x'.repeat(1 << 20).split({ [Symbol.split](s) { return /(?:)/[Symbol.split](s) } }).length)",
	"headers from":               "const s = 'x'.repeat(1 << 20); for (let i = 0; i < 1000; i++) event.request.headers['h' + i] = { value: s }; return event.request",
	"cookies many":               "const s = 'x'.repeat(8000); for (let i = 0; i < 1000; i++) event.request.cookies['h' + i] = { value: s }; return event.request",
	"query many":                 "const s = '\u1234'.repeat(8000); for (let i = 0; i < 1000; i++) event.request.querystring['h' + i] = { value: s }; return event.request",
	"body wide":                  "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return { statusCode: 200, body: a }",
	"origin wide":                "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; const cf = require('cloudfront'); cf.updateRequestOrigin({ domainName: a }); return event.request",
	"lookbehind":                 "return say('x'.repeat(1 << 17).replace(/(?<=x)x/g, 'yy').length)",
	"regexp2 big":                "return say('x'.repeat(1 << 17).match(/(?<=x)x/g).length)",
	"unescape":                   "return say(require('querystring').unescape('%41'.repeat(300000)).length)",
	"texts in list":              "const o = []; for (let i = 0; ; i++) o.push('x'.repeat(4000) + i)",
	"substrings":                 "const s = 'x'.repeat(1 << 20), o = []; for (let i = 0; ; i++) o.push(s.substring(i))",
	"throw big":                  "throw 'x'.repeat(1 << 20)",
	"throw wide":                 "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; throw a",
	"reject wide":                "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return Promise.reject(a)",
	"getter event":               "Object.defineProperty(event.request, 'uri', { get() { for (;;) ; } }); return event.request",
	"keys of a proxy":            "return say(Object.keys(new Proxy(new Uint8Array(1 << 20), {})).length)",
	"entries of a proxy":         "return say(Object.entries(new Proxy(new String('x'.repeat(1 << 20)), {})).length)",
	"repeat by a computed name":  "return say('x'['rep' + event.request.uri.slice(1, 1) + 'eat'](2 ** 30))",
	"repeat by a name of a list": "return say('x'[['rep', 'eat'].join('')](2 ** 30))",
	"repeat by a name that lies": "let i = 0; const n = { toString() { return i++ ? 'rep' + 'eat' : 'x' } }; return say('x'[n](2 ** 30))",
	"repeat by a pattern":        "const k = ['rep', 'eat'].join(''), { [k]: f } = ''; const o = { toString() { return 'x'.concat('y') } }; o.f = f; return say(o.f(2 ** 30))",
	"a class by a computed name": "const g = [].map.constructor; return say(new ([]['const' + 'ructor'])(4e8).join(''))",
	"code by a computed name":    "return say((() => 0)['const' + 'ructor'](`return 'x'.${'rep' + 'eat'}(2 ** 30)`)())",
	"fill of what is no array":   "const o = JSON.parse('{' + '\"len' + 'gth\":1e9}'); o.f = [].fill; o.f(0); return say(o)",
	"a far end by Reflect":       "const a = []; Reflect.set(a, 'len' + 'gth', 2 ** 31); a.fill(0); return say(a)",
	"a far end by assign":        "const a = []; Object.assign(a, { ['len' + 'gth']: 2 ** 31 }); a.fill(0); return say(a)",
}

// most is what one run may make, let go or not, whatever it does.
const most = 64 << 20

// TestNoRunMakesMoreThanItMay runs each, and a good run after it. As the control,
// some of them run without what bounds the language's own functions.
func TestNoRunMakesMoreThanItMay(t *testing.T) {
	for name, body := range greedy {
		t.Run(name, func(t *testing.T) {
			source := runaway(body)
			if strings.Contains(body, "structuredClone") {
				source += "; exports.handler = handler"
			}
			e := function(t, source)
			made, burnt := cost(func() {
				e.Serve(context.Background(), "f", get("/bad"))
				e.work.Wait() // of a run that was left
			})
			if made > most || burnt > time.Second {
				t.Errorf("it made %d MiB, and took %v of the processor", made>>20, burnt)
			}
			if _, err := e.Serve(context.Background(), "f", get("/good")); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
	for _, name := range []string{"match", "Object.keys str", "slice call str"} {
		e := function(t, runaway(greedy[name]), func(c *Config, _ *Deps) { c.Limits.Time = 300 * time.Millisecond }) // under the race detector 50 ms end before it has begun
		e.fns["f"].setup = nil
		made, _ := cost(func() {
			e.Serve(context.Background(), "f", get("/bad"))
			e.work.Wait()
		})
		if made <= most {
			t.Errorf("%s, unbounded: it made %d MiB", name, made>>20)
		}
	}
}

// TestWhatFunctionsMakeIsLetBe runs what real functions do of what is bounded.
func TestWhatFunctionsMakeIsLetBe(t *testing.T) {
	e := function(t, `function handler(event) {
		const r = event.request, words = Array.from({ length: 2000 }, (_, i) => 'word' + i);
		let page = '';
		for (const w of words) page += '<li>' + w + '</li>' + w;
		const marked = page.replace(/word1/g, (w) => '<b>' + w + '</b>').split('<li>').map((x) => x + ' ').join('');
		const b = Buffer.from(marked), copy = Buffer.concat([b, b]).slice(0, b.length), list = [...'abc', ...words.slice(0, 10)].concat(words);
		const o = { ...r.headers, ...JSON.parse(JSON.stringify({ words, n: 1 }, null, 2)) };
		const ok = r.uri === '/' && copy.equals(b) && list.length === 2013 && o.words.length === 2000 && new Set('aab').size === 2 && Object.entries('ab').length === 2 &&
			'a-b'.split(/-/).length === 2 && [...b.slice(0, 3)].length === 3 &&
			JSON.stringify({ a: 1, b: [{ a: 2, b: 3 }] }, ['b']) === '{"b":[{"b":3}]}' && 'ß'.normalize('NFD').concat('x', 1) === 'ßx1' && 'a'.localeCompare('b') < 0;
		return { statusCode: ok ? 200 : 500, body: marked.slice(0, 30) };
	}`, func(c *Config, _ *Deps) { c.Limits = patient })
	if got := serve(t, e, get("/")).Response; got.Status != 200 || string(got.Body) != "<b>word1</b>0 " && !strings.HasPrefix(string(got.Body), " word0</li>") {
		t.Errorf("%d %q", got.Status, got.Body)
	}
	e = function(t, `function handler(event) { return { statusCode: new RegExp('^(a|b)$').test('a') && /x/ instanceof RegExp && RegExp('y').exec('xy').index === 1 ? 200 : 500 } }`)
	if got := serve(t, e, get("/")).Response; got.Status != 200 {
		t.Errorf("expressions: %d", got.Status)
	}
}
