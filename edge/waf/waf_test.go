package waf

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"testing"
)

func request(method, target string) Request {
	return Request{
		Method: method, Target: target, Proto: "HTTP/2.0", Host: "api.example.test", Client: netip.MustParseAddrPort("192.0.2.1:1234"),
		Header: http.Header{"User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"}},
	}
}

func firewall(t testing.TB, cfg Config) *Firewall {
	t.Helper()
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAttacksAreFound(t *testing.T) {
	f := firewall(t, Config{})
	json := func(body string) Request {
		r := request("POST", "/articles")
		r.Header.Set("Content-Type", "application/json")
		r.Body = []byte(body)
		return r
	}
	scanner := request("GET", "/")
	scanner.Header.Set("User-Agent", "sqlmap/1.7")
	for name, r := range map[string]Request{
		"SQL": request("GET", "/articles?id=1%27%20OR%20%271%27=%271%27--"), "a script": request("GET", "/?q=%3Cscript%3Ealert(1)%3C/script%3E"),
		"a file": request("GET", "/?f=../../../../etc/passwd"), "a shell": request("GET", "/?c=;cat%20/etc/shadow"), "a scanner": scanner,
		"SQL in a body": json(`{"title": "1' UNION SELECT password FROM users--"}`),
	} {
		if v := f.Judge(r); v.Passes || len(v.Rules) == 0 || v.Why == "" || v.Rules[0] < 911000 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	for name, r := range map[string]Request{
		"a page": request("GET", "/articles?tag=go&page=2"), "a write": json(`{"article": {"title": "Hello", "body": "It's a fine day, and I'd like to share it (with code: a < b && c > d)."}}`), "a delete": request("DELETE", "/articles/1"), "preflight": request("OPTIONS", "/articles"),
	} {
		if v := f.Judge(r); !v.Passes || len(v.Rules) > 0 || v.Why != "" { // or each would be told as an attack
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// What is found may pass, and a rule may be left out. The control is the firewall
// without either.
func TestDetectLetsPassAndExclusionsAreNotAsked(t *testing.T) {
	r := request("GET", "/articles?id=1%27%20OR%20%271%27=%271%27--")
	found := firewall(t, Config{}).Judge(r)
	if found.Passes {
		t.Fatal("nothing was found")
	}
	if v := firewall(t, Config{Detect: true}).Judge(r); !v.Passes || !slices.Equal(v.Rules, found.Rules) {
		t.Errorf("%+v, want the rules %v", v, found.Rules)
	}
	if v := firewall(t, Config{Exclude: found.Rules}).Judge(r); !v.Passes || len(v.Rules) > 0 {
		t.Errorf("without its rules: %+v", v)
	}
}

func BenchmarkJudge(b *testing.B) {
	f := firewall(b, Config{})
	r := request("GET", "/articles?tag=go")
	b.ReportAllocs()
	for b.Loop() {
		f.Judge(r)
	}
}

// FuzzJudge: an attack in the target is refused, whatever headers and body come with
// it: nothing that a stranger adds makes a request better.
func FuzzJudge(f *testing.F) {
	f.Add("application/json", `{"a": [1, {"b": "x"}]}`, "a=b; c=d", false)
	f.Add("application/x-www-form-urlencoded", "a=b&c=%zz&&=", "", true)
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n", ";;=", false)
	f.Add("multipart/form-data; boundary=", "--\r\n\r\n", "a", true)
	f.Add("text/xml", "<?xml version=\"1.0\"?><a b='c'><![CDATA[x]]></a", "a", false)
	f.Add("Application/JSON;charset=utf-16", "\xff\xfe{\x00", "a", true)
	wall := firewall(f, Config{})
	f.Fuzz(func(t *testing.T, kind, body, cookies string, cut bool) {
		if len(body) > 8<<10 {
			return
		}
		r := Request{Method: "POST", Target: "/?id=" + url.QueryEscape(injected), Proto: "HTTP/1.1", Host: "a.test", Header: http.Header{
			"Content-Type": {kind}, "Cookie": {cookies}, "User-Agent": {"curl/8"}, "Accept": {"*/*"},
		}, Body: []byte(body), Cut: cut}
		if v := wall.Judge(r); v.Passes {
			t.Errorf("%q, %q, %q: %+v", kind, body, cookies, v)
		}
	})
}
