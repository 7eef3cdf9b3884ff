package function

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// TestLanguageOfTheRuntime has each script answer with a text of what it found.
func TestLanguageOfTheRuntime(t *testing.T) {
	for name, test := range map[string]struct{ code, want string }{
		"import":        {"import c from 'crypto';\nimport { createHash } from 'crypto';\nimport * as q from 'querystring';\nfunction handler() { return say(c.createHash('md5').update('a').digest('hex') + createHash('sha1').update('').digest('base64url').length + q.parse('a=1&a=2&b=%20').a.length) }", "0cc175b9c0f1b6a831c399e269772661272"},
		"require":       {`var c = require('crypto'); function handler() { return say(c.createHmac('sha256', 'k').update('a').update(Buffer.from('b')).digest('base64')) }`, "dHW7EZ/pt0zAr1AUpJ2AqyO9Gsgph+dpbNwkIohlRDY="},
		"digest":        {`const c = require('crypto'); function handler() { const d = c.createHash('sha256').update('').digest(); return say(Buffer.isBuffer(d) + ' ' + d.length + ' ' + d.toString('hex').slice(0, 4)) }`, "true 32 e3b0"},
		"Buffer":        {`function handler() { const b = Buffer.concat([Buffer.from('h\u00e9'), Buffer.from('//8', 'base64'), Buffer.alloc(1, 7)]); return say(b.toString('hex') + b.slice(0, 3).toString() + b.readUInt16BE(0) + JSON.stringify(b.toJSON()) + b.indexOf('\u00e9') + b.equals(Buffer.from(b))) }`, `68c3a9ffff07hé26819{"type":"Buffer","data":[104,195,169,255,255,7]}1true`},
		"atob":          {`function handler() { return say(atob(btoa('a\u00ff')).charCodeAt(1) + String.fromCharCode.apply(null, new TextEncoder().encode('hi')) + new TextDecoder().decode(new Uint8Array([104, 105]))) }`, "255hihi"},
		"async":         {`const later = async (x) => { await null; return x; }; async function handler() { const [a, b] = await Promise.all([later(1), later(2)]); let s = ''; for await (const x of [later(3)]) s += x; return say(a + b + s) }`, "33"},
		"syntax":        {"class A { #x = 1; get x() { return this.#x } static s = 2 }\nfunction handler() { const { a, ...rest } = { a: 1, b: 2 }; let n = null; n ??= 5; return say(`${new A().x}${A.s}${rest.b}${n?.y ?? 'z'}${[...'ab'].at(-1)}${'x'.replaceAll('x', 'y')}${'2024-05'.match(/(?<y>\\d+)/).groups.y}${2 ** 3}`) }", "122zby20248"},
		"errors":        {`class E extends Error { constructor(m) { super(m); this.name = 'E' } } function handler() { try { throw new E('m') } catch (e) { return say(e.name + e.message + (e instanceof E)) } }`, "Emtrue"},
		"time":          {`function handler() { const a = Date.now(); for (let i = 0; i < 1000; i++); return say(String(a === Date.now() && a === new Date().getTime()) + a) }`, "true1700000000123"},
		"prototypes":    {`String.prototype.shout = function () { return this + '!' }; globalThis.left = (globalThis.left || 0) + 1; var n = 0; function handler() { return say('a'.shout() + globalThis.left + ++n) }`, "a!11"},
		"forbidden":     {`function handler() { const out = [typeof setTimeout, typeof process, typeof fetch, typeof XMLHttpRequest]; for (const f of [() => eval('1'), () => Function('1'), () => new Function('1'), () => (() => 1).constructor('1'), () => Object.getPrototypeOf(async function () {}).constructor('1'), () => require('fs')]) { try { f(); out.push('ran') } catch (e) { out.push('no') } } return say(out.join()) }`, "undefined,undefined,undefined,undefined,no,no,no,no,no,no"},
		"key-value":     {"import cf from 'cloudfront';\nconst kvs = cf.kvs('some-id');\nasync function handler() { let miss; try { await kvs.get('none') } catch (e) { miss = 'threw' } return say([await kvs.get('k'), (await kvs.get('j', { format: 'json' })).a, await kvs.exists('none'), (await kvs.meta()).keyCount, miss].join()) }", "v,1,false,2,threw"},
		"edge location": {"import cf from 'cloudfront';\nfunction handler() { return say(JSON.stringify(cf.edgeLocation)) }", `{"name":"DUB","serverIp":"127.0.0.1","region":"eu-west-1"}`},
		"raw query":     {`function handler(event) { return say(event.request.rawQueryString()) }`, "b=1&a=%zz"},
		"instanceof": {`class List extends Array { last() { return this[this.length - 1] } }
			function handler() { return say([[] instanceof Array, new Array(3) instanceof Array, new List(1, 2).last(), new List() instanceof List, new List() instanceof Array, [] instanceof List,
				new Uint8Array(1) instanceof Uint8Array, new Uint8Array(1) instanceof Uint16Array, Buffer.from('a') instanceof Uint8Array, Buffer.from(new ArrayBuffer(3)).length, new ArrayBuffer(1) instanceof ArrayBuffer,
				say instanceof Function, 5 instanceof Array, null instanceof Function].map(String).join()) }`, "true,true,2,true,true,false,true,false,true,3,true,true,false,false"},
		"properties of characters": {`const word = /^[\p{L}\p{N}_-]+$/u; function handler() { return say([word.test('é9_'), 'a1é'.replace(/\P{L}/gu, ''), /\p{Script=Greek}/u.test('α'), new RegExp("\\p{Uppercase_Letter}\"", 'u').test('É"'), /p{L}/.test('p{L}'), 'x/y'.split(/[/]/).length].join()) }`, "true,aé,true,true,true,2"},
		"patterns":                 {`function handler() { const host = ({ headers: { host: h = 'x' } = {} } = {}) => h, sum = (a = 1, [b, c = 3] = [0]) => a + b + c; return say(host() + host({ headers: { host: 'y' } }) + sum()) }`, "xy4"},
		"new Buffer":               {`function handler() { return say([new Buffer('u:p').toString('base64'), new Buffer('dTpw', 'base64'), new Buffer(3).length, new Buffer([65, 66]), Buffer.from('abc').slice(1), Buffer.from('abc').map((c) => c + 1)].join()) }`, "dTpw,u:p,3,AB,bc,bcd"},
		"queries": {`const q = require('querystring'); function handler() { const o = q.parse('__proto__=1&hasOwnProperty=2&hasOwnProperty=3&a=%41%zz%4'); return say(JSON.stringify(o) + Object.keys(o) + JSON.stringify(q.parse()) + q.unescape('%C3%A9+%') ) }`,
			`{"__proto__":"1","hasOwnProperty":["2","3"],"a":"A%zz%4"}__proto__,hasOwnProperty,a{}é+%`},
		"encoders": {`function handler() { const to = new Uint8Array(5), r = new TextEncoder().encodeInto('aé😀', to), d = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }); return say([r.read, r.written, to.join('.'), d.decode(new Uint8Array([239, 187, 191])).length, d.fatal, d.ignoreBOM].join()) }`, "2,3,97.195.169.0.0,1,true,true"},
		"console":  {`function handler() { console.group('a'); console.dir({ a: 1 }); console.table([1]); console.groupEnd(); console.time('t'); console.timeEnd('t'); return say('said') }`, "said"},
		"event":    {`function handler(e) { const q = e.request.querystring, h = e.request.headers; return say([e.version, e.context.eventType, e.context.requestId, e.viewer.ip, q.b.value, q.a.value, h.host.value, h.accept.multiValue.length, e.request.cookies.c.value, String(h.cookie)].join()) }`, "1.0,viewer-request,req-1,198.51.100.7,1,%zz,api.example.test,2,3,undefined"},
	} {
		t.Run(name, func(t *testing.T) {
			e := function(t, test.code+"\nfunction say(text) { return { statusCode: 200, body: String(text) } }", store(map[string]string{"k": "v", "j": `{"a":1}`}), func(c *Config, _ *Deps) { c.Limits = patient })
			for range 2 { // nothing of the first run is in the second
				got := serve(t, e, get("/?b=1&a=%zz", "Accept", "text/html", "Accept", "*/*", "Cookie", "c=3"))
				if string(got.Response.Body) != test.want {
					t.Errorf("got  %s\nwant %s", got.Response.Body, test.want)
				}
			}
		})
	}
}

// TestAFunctionVerifiesAToken is what most functions with crypto do.
func TestAFunctionVerifiesAToken(t *testing.T) {
	e := function(t, `
		const crypto = require('crypto');
		function handler(event) {
			const denied = { statusCode: 401, statusDescription: 'Unauthorized' };
			const q = event.request.querystring;
			if (!q.jwt) return denied;
			const parts = q.jwt.value.split('.');
			const sum = crypto.createHmac('sha256', 'secret').update(parts[0] + '.' + parts[1]).digest('base64url');
			if (parts.length !== 3 || sum !== parts[2]) return denied;
			const claims = JSON.parse(Buffer.from(parts[1], 'base64url'));
			if (claims.exp && Date.now() > claims.exp * 1000) return denied;
			delete q.jwt;
			return event.request;
		}`)
	sign := func(claims, key string) string {
		enc := base64.RawURLEncoding
		head := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString([]byte(claims))
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(head))
		return head + "." + enc.EncodeToString(m.Sum(nil))
	}
	if got := serve(t, e, get("/a?x=1&jwt="+sign(`{"exp":1700000100}`, "secret"))); got.Request == nil || got.Request.Query != "x=1" {
		t.Errorf("a good token: %+v", got)
	}
	for what, token := range map[string]string{"expired": sign(`{"exp":1699999999}`, "secret"), "of another key": sign(`{}`, "guess"), "no token": "x"} {
		if got := serve(t, e, get("/a?jwt="+token)); got.Response == nil || got.Response.Status != 401 {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestWhatAFunctionMayNotReturn(t *testing.T) {
	for body, why := range map[string]string{
		`return`:                                 "it returned nothing",
		`return 5`:                               "expected a request or a response",
		`return {}`:                              "neither a request",
		`r.uri = 'x'; return r`:                  "begins with /",
		`r.method = 'POST'; return r`:            "read-only",
		`r.headers.via = {value: 'x'}; return r`: "the header via is read-only",
		`r.headers['x-amz-cf-id'] = {value: 'x'}; return r`:                       "may not be set",
		`r.headers['meridian-identity'] = {value: 'x'}; return r`:                 "may not be set",
		`r.headers['x'] = {value: 'a\r\nb: c'}; return r`:                         "a value that no header has",
		`r.headers['a b'] = {value: 'x'}; return r`:                               "no header's name",
		`r.headers.x = 'x'; return r`:                                             "expected an object with a value",
		`r.cookies.x = {value: 'a\nb'}; return r`:                                 "a character that no header has",
		`return {statusCode: 99}`:                                                 "from 200 to 599",
		`return {statusCode: '2x'}`:                                               "from 200 to 599",
		`return {statusCode: 200, body: {encoding: 'base64', data: '*'}}`:         "not base64",
		`return {statusCode: 200, body: {encoding: 'gzip', data: ''}}`:            "expected text or base64",
		`return {statusCode: 200, cookies: {a: {value: '1', attributes: 'x\n'}}}`: "is no cookie",
	} {
		e := function(t, "function handler(event) { var r = event.request; "+body+" }")
		_, err := e.Serve(context.Background(), "f", get("/", "Via", "1.1 a"))
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestASourceThatCannotRunIsRefused(t *testing.T) {
	for code, why := range map[string]string{
		"var x = 1;":                                     "no handler",
		"function handler(event) {":                      "f.js:1:26",
		"nothing.there; function handler() {}":           "nothing is not defined",
		"import x from 'fs'; function handler() {}":      `Cannot find module "fs"`,
		"for (;;); function handler() {}":                "more time",
		"const r = /\\p{Emoji}/u; function handler() {}": `no property \p{Emoji} here`,
	} {
		_, err := New(Config{Functions: []Source{{Name: "f", File: "f.js", Code: []byte(code)}}}, Deps{})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", code, err)
		}
	}
	if _, err := New(Config{Functions: []Source{{Name: "f", File: "f.js", Code: []byte("function handler() {} //" + fmt.Sprintf("%10240d", 1))}}}, Deps{}); err == nil {
		t.Error("a source that is too large")
	}
}
