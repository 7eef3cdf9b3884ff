package waf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const injected = "1' UNION SELECT password FROM users--"

// What of a body is not looked at is nobody's fault, and what is looked at is.
func TestTheBeginningOfABodyIsJudgedAsABody(t *testing.T) {
	f := firewall(t, Config{})
	part := func(head string) string {
		return "--b7f\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n" + head
	}
	for _, tt := range []struct{ name, line, whole string }{
		{"JSON", "json x", `{"a": [{"b": "` + strings.Repeat("fine \\u00e9 ", 300) + `"}]}`},
		{"JSON of many", "json x", `{"a": [` + strings.Repeat(`{"b": 1, "c": null}, `, 90) + `7]}`},
		{"a form", "form x", "a=" + strings.Repeat("%c3%a9", 500)},
		{"a file", "file x", part(strings.Repeat("x", 5000)) + "\r\n--b7f--\r\n"},
		{"many files", "file x", strings.Repeat(part("x\r\n"), 30) + "--b7f--\r\n"},
	} {
		for _, at := range []int{len(tt.whole) / 3, len(tt.whole)/3 + 1, len(tt.whole)/3 + 2, len(tt.whole)/3 + 3} {
			r := sent(tt.line)
			r.Body, r.Cut = []byte(tt.whole)[:at], true
			if v := f.Judge(r); !v.Passes || len(v.Rules) > 0 {
				t.Errorf("%s, cut at %d: %+v", tt.name, at, v)
			}
			r.Cut = false
			if v := f.Judge(r); v.Passes && (tt.name == "JSON" || tt.name == "a file") { // the control: it is broken
				t.Errorf("%s, broken at %d: %+v", tt.name, at, v)
			}
		}
		attack := strings.Replace(strings.Replace(tt.whole, "fine", injected, 1), "é", injected, 1)
		if strings.HasPrefix(tt.whole, "--") {
			attack = strings.Replace(tt.whole, "a.jpg", "a.php", 1)
		} else if attack == tt.whole {
			attack = strings.NewReplacer("a=", "a="+escaped(injected), `[{`, `["`+injected+`", {`).Replace(tt.whole)
		}
		r := sent(tt.line)
		r.Body, r.Cut = []byte(attack)[:len(attack)/3], true
		if v := f.Judge(r); v.Passes {
			t.Errorf("%s, an attack in its beginning: %+v", tt.name, v)
		}
	}
}

func TestJSONIsShown(t *testing.T) {
	for _, tt := range []struct{ body, whole, cut string }{
		{`{"a": 1, "b": [1, "x", true, {"c": null}, 2.5e3, [], [7]]}`, `{"a":1,"b":["x",{"c":null},[],[]]}`, ""},
		{`"a"`, `"a"`, ""}, {` 12 `, `12`, ""}, {`[1,2]`, `[]`, ""},
		{`{"a": "b`, "", `{"a":"b"}`}, {`{"a": "b\u00e`, "", `{"a":"b"}`}, {`{"a": "b\`, "", `{"a":"b"}`}, {`{"a": "b\"`, "", `{"a":"b\""}`},
		{`{"a": 12`, "", `{"a":null}`}, {`{"a": tru`, "", `{"a":null}`}, {`{"a":`, "", `{"a":null}`}, {`{"a"`, "", `{"a":null}`}, {`{"a`, "", `{"a":null}`},
		{`{"a": 1,`, "", `{"a":1}`}, {`{`, "", `{}`}, {`["x", [`, "", `["x",[]]`}, {`["x",`, "", `["x"]`}, {`[1, {"b": ["c`, "", `[{"b":["c"]}]`},
		{`{"a": 1} x`, "", ""}, {`{"a" 1}`, "", ""}, {`{a: 1}`, "", ""}, {`{"a": 1,}`, "", ""}, {`[1,]`, "", ""}, {`[1}`, "", ""}, {`[,1]`, "", ""}, {`{"a": x, "b": 1}`, "", ""}, {`]`, "", ""}, {`{"a":1:2}`, "", ""}, {``, "", ""},
	} {
		for cut, want := range map[bool]string{false: tt.whole, true: tt.cut} {
			if want == "" && cut {
				want = tt.whole
			}
			if want == "" {
				want = tt.body
			}
			if got := string(reshaped([]byte(tt.body), cut)); got != want {
				t.Errorf("%s, cut %v: %s, want %s", tt.body, cut, got, want)
			}
		}
	}
}

// FuzzReshaped: JSON stays JSON with the same texts in the same order, wherever it
// is cut, and what is none is not made to be.
func FuzzReshaped(f *testing.F) {
	f.Add(`{"a": 1, "b": [1, "x\u00e9\"", true, {"c": null}], "d": {}}`, 20)
	f.Add(`[[["x"]], -1.5e3]`, 3)
	f.Add(`{"a": tru`, 9)
	f.Fuzz(func(t *testing.T, s string, at int) {
		whole := reshaped([]byte(s), false)
		if json.Valid([]byte(s)) != json.Valid(whole) {
			t.Fatalf("%q became %q", s, whole)
		}
		if !json.Valid([]byte(s)) {
			return
		}
		if got, want := texts(t, whole), texts(t, []byte(s)); !slices.Equal(got, want) {
			t.Fatalf("%q has %q, and of it became %q with %q", s, want, whole, got)
		}
		if at <= 0 || at >= len(s) || strings.TrimSpace(s[:at]) == "" {
			return
		}
		if part := reshaped([]byte(s[:at]), true); !json.Valid(part) {
			t.Fatalf("%q, cut at %d, became %q", s, at, part)
		}
	})
}

// texts returns the strings of a text of JSON, in their order.
func texts(t *testing.T, b []byte) (out []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(b)))
	for {
		tok, err := d.Token()
		if err != nil {
			return out
		}
		if s, ok := tok.(string); ok {
			out = append(out, s)
		}
	}
}

// More than the rules are asked of is refused, whatever it is: it could hide an
// attack, or cost a core for seconds. The control: as many as are looked at.
func TestWhatCannotBeLookedAtIsRefused(t *testing.T) {
	f, lets := firewall(t, Config{}), firewall(t, Config{Exclude: []int{200004, 200005, 200010, 200011}})
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, make := range map[string]func(n int) Request{
		"200004 a query": func(n int) Request { r := request("GET", "/search?"+many(n, "a%d=1&")); return r },
		"200005 a form":  func(n int) Request { r := sent("form x"); r.Body = []byte(many(n-1, "a%d=1&") + "z=1"); return r },
		"200005 JSON":    func(n int) Request { return sent("json {" + many(n-1, `"a%d":1,`) + `"z":1}`) },
		"200010 cookies": func(n int) Request { return sent("cookie " + many(n, "a%d=1; ")) },
		"200011 parts": func(n int) Request {
			r := sent("file x")
			r.Body = []byte(many(n, "--b7f\r\nContent-Disposition: form-data; name=f%d\r\n\r\nx\r\n") + "--b7f--\r\n")
			return r
		},
	} {
		most := maxAsked // of which each takes a part of a millisecond
		if strings.HasPrefix(name, "200010") {
			most = maxCookies
		}
		if v := f.Judge(make(most + 1)); v.Passes || len(v.Rules) != 1 || !strings.HasPrefix(name, fmt.Sprint(v.Rules[0])) {
			t.Errorf("%s, one more: %+v", name, v)
		}
		if strings.HasPrefix(name, "200005") || strings.HasPrefix(name, "200011") {
			continue // they take seconds
		}
		if v := f.Judge(make(most)); !v.Passes || len(v.Rules) > 0 {
			t.Errorf("%s, as many as are looked at: %+v", name, v)
		}
		if v := lets.Judge(make(most + 1)); !v.Passes {
			t.Errorf("%s, one more, where the rule is left out: %+v", name, v)
		}
	}
	list := sent("json [" + many(5000, "%d,") + "7]")
	if v := f.Judge(list); !v.Passes || len(v.Rules) > 0 {
		t.Errorf("a list of numbers: %+v", v)
	}
}
