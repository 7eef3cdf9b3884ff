package cache

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian"
)

// headers makes a header of "Name: value" lines.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func at(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

func TestDirectives(t *testing.T) {
	s := func(n int) delta { return delta{set: true, d: time.Duration(n) * time.Second} }
	bad := delta{set: true, bad: true}
	for text, want := range map[string]directives{
		"max-age=60":                                {maxAge: s(60)},
		"MaX-aGe=60, S-MAXAGE=5":                    {maxAge: s(60), sMaxAge: s(5)},
		`max-age="60"`:                              {maxAge: s(60)},
		"max-age=003600":                            {maxAge: s(3600)},
		"max-age=99999999999999999999999":           {maxAge: delta{set: true, d: maxDelta}},
		"max-age=-1":                                {maxAge: bad},
		"max-age='60'":                              {maxAge: bad},
		"max-age=60.5":                              {maxAge: bad},
		"max-age=":                                  {maxAge: bad},
		"max-age":                                   {maxAge: bad},
		"max-age =60":                               {},
		"max-age=1, max-age=60":                     {maxAge: s(1)},
		`x="max-age=60, no-store", max-age=1`:       {maxAge: s(1)},
		`x="a\", no-store", max-age=1`:              {maxAge: s(1)},
		`no-cache="a, b-c", no-store`:               {noCacheFields: []string{"A", "B-C"}, noStore: true},
		`no-cache="", private=x`:                    {noCache: true, privateFields: []string{"X"}},
		"No-Cache,private ,, public":                {noCache: true, private: true, public: true},
		"must-revalidate, proxy-revalidate":         {mustRevalidate: true, proxyRevalidate: true},
		"must-understand, no-store":                 {mustUnderstand: true, noStore: true},
		"stale-while-revalidate=1,stale-if-error=2": {whileRevalidate: s(1), ifError: s(2)},
		"max-stale":                                 {maxStale: delta{set: true, d: maxDelta}},
		"max-stale=3, min-fresh=4, only-if-cached":  {maxStale: s(3), minFresh: s(4), onlyIfCached: true},
		`no-store"`:                                 {},
	} {
		if got := parseDirectives([]string{text}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestTargetedFieldsOverrideTheOthersOrAreIgnored(t *testing.T) {
	for _, tt := range []struct {
		field    string
		targeted bool
		life     time.Duration // max-age of what holds; Cache-Control's is 7 s
	}{
		{"CDN-Cache-Control: max-age=60", true, time.Minute},
		{"CDN-Cache-Control: max-age=60;q=1, foobar", true, time.Minute},
		{"CDN-Cache-Control: no-store", true, 0},
		{"CDN-Cache-Control: foobar", true, 0},
		{"CDN-Cache-Control: max-age=0", true, 0},
		{"CDN-Cache-Control: max-age=99999999999", true, maxDelta},
		{"CDN-Cache-Control: ", false, 7 * time.Second},
		{"CDN-Cache-Control: max-age=60, &&&", false, 7 * time.Second},
		{`CDN-Cache-Control: max-age="60"`, false, 7 * time.Second},
		{"CDN-Cache-Control: max-age=60.0", false, 7 * time.Second},
		{"CDN-Cache-Control: max-age=-60", false, 7 * time.Second},
		{"CDN-Cache-Control: MaX-aGe=60", false, 7 * time.Second},
		{"CDN-Cache-Control: max-age =60", false, 7 * time.Second},
		{"CDN-Cache-Control: max-age=(1 2)", false, 7 * time.Second},
		{"CDN-Cache-Control: no-store=3", false, 7 * time.Second},
		{"Surrogate-Control: max-age=60", true, time.Minute},
		{"Surrogate-Control: max-age=60+30;meridian", true, time.Minute},
		{"Surrogate-Control: max-age=60;other", false, 7 * time.Second},
		{`Surrogate-Control: content="ESI/1.0"`, false, 7 * time.Second},
	} {
		d, targeted := controls(headers("Cache-Control: max-age=7", tt.field))
		if targeted != tt.targeted || d.maxAge.d != tt.life {
			t.Errorf("%s: targeted %v, max-age %v; want %v, %v", tt.field, targeted, d.maxAge.d, tt.targeted, tt.life)
		}
	}
}

func TestLifetime(t *testing.T) {
	def, year := Default(), 365*24*time.Hour
	cf := Policy{MinTTL: time.Minute, DefaultTTL: time.Hour, MaxTTL: 24 * time.Hour, ErrorTTL: map[int]time.Duration{404: 70 * time.Second}}
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		policy Policy
		want   time.Duration
	}{
		{"nothing", 200, headers(), def, 0},
		{"max-age", 599, headers("Cache-Control: max-age=60"), def, time.Minute},
		{"s-maxage before max-age", 200, headers("Cache-Control: max-age=60, s-maxage=5"), def, 5 * time.Second},
		{"max-age before Expires", 200, headers("Cache-Control: max-age=60", "Expires: 0"), def, time.Minute},
		{"bad max-age", 200, headers("Cache-Control: max-age=x", "Expires: "+at(noon.Add(time.Hour))), def, 0},
		{"Expires", 200, headers("Date: "+at(noon), "Expires: "+at(noon.Add(time.Hour))), def, time.Hour},
		{"Expires without Date", 200, headers("Expires: " + at(noon.Add(time.Hour))), def, time.Hour},
		{"Expires before Date", 200, headers("Date: "+at(noon), "Expires: "+at(noon.Add(-time.Hour))), def, 0},
		{"Expires that is none", 200, headers("Expires: 0", "Last-Modified: "+at(noon.Add(-time.Hour))), def, 0},
		{"targeted without a time", 200, headers("CDN-Cache-Control: public", "Expires: "+at(noon.Add(time.Hour))), def, 0},
		{"at most a year", 200, headers("Cache-Control: max-age=2147483647"), def, year},
		{"heuristic", 200, headers("Last-Modified: " + at(noon.Add(-time.Hour))), def, 6 * time.Minute},
		{"heuristic, a day at most", 200, headers("Last-Modified: " + at(noon.Add(-year))), def, 24 * time.Hour},
		{"heuristic of 404", 404, headers("Last-Modified: " + at(noon.Add(-time.Hour))), def, 6 * time.Minute},
		{"no heuristic of 201", 201, headers("Last-Modified: " + at(noon.Add(-time.Hour))), def, 0},
		{"heuristic of 201 that is public", 201, headers("Cache-Control: public", "Last-Modified: "+at(noon.Add(-time.Hour))), def, 6 * time.Minute},
		{"modified later", 200, headers("Last-Modified: " + at(noon.Add(time.Hour))), def, 0},
		{"the policy's default", 200, headers(), cf, time.Hour},
		{"the policy's minimum", 200, headers("Cache-Control: max-age=1"), cf, time.Minute},
		{"the policy's maximum", 200, headers("Cache-Control: max-age=999999"), cf, 24 * time.Hour},
		{"the minimum over no-store", 200, headers("Cache-Control: no-store"), cf, time.Minute},
		{"an error", 404, headers(), cf, 70 * time.Second},
		{"an error that says", 404, headers("Cache-Control: max-age=100"), cf, 100 * time.Second},
		{"an error that says less than the minimum", 410, headers("Cache-Control: max-age=1"), cf, time.Second},
		{"an error that says less than the policy for it", 404, headers("Cache-Control: max-age=1, s-maxage=2"), cf, 70 * time.Second},
		{"an error that has expired", 404, headers("Date: "+at(noon), "Expires: "+at(noon)), cf, 70 * time.Second},
		{"another error that says", 500, headers("Cache-Control: max-age=1"), cf, time.Second},
		{"another error", 500, headers(), cf, 0},
	} {
		d, targeted := controls(tt.header)
		if got := lifetimeOf(tt.status, tt.header, d, targeted, tt.policy, noon); got.d != tt.want || got.why == "" {
			t.Errorf("%s: %v (%s), want %v", tt.name, got.d, got.why, tt.want)
		}
	}
}

func TestAge(t *testing.T) {
	for _, tt := range []struct {
		header http.Header
		delay  time.Duration
		want   time.Duration
	}{
		{headers(), 2 * time.Second, 2 * time.Second},
		{headers("Age: 30"), 2 * time.Second, 32 * time.Second},
		{headers("Age: 0, 7200"), 0, 0},
		{headers("Age: 0", "Age: 7200"), 0, 0},
		{headers("Age: 7200, 0"), 0, 2 * time.Hour},
		{headers("Age: abc"), 0, 0},
		{headers("Age: 7200;a=b"), 0, 2 * time.Hour},
		{headers("Age: -5"), 0, 0},
		{headers("Date: " + at(noon.Add(-time.Minute))), 2 * time.Second, time.Minute},
		{headers("Date: "+at(noon.Add(-time.Minute)), "Age: 90"), 0, 90 * time.Second},
		{headers("Date: " + at(noon.Add(time.Minute))), 0, 0},
		{headers("Date: yesterday"), 0, 0},
	} {
		if got := initialAge(tt.header, tt.delay, noon); got != tt.want {
			t.Errorf("%v, %v: %v, want %v", tt.header, tt.delay, got, tt.want)
		}
	}
}

func TestStorable(t *testing.T) {
	least := Policy{MinTTL: time.Minute, MaxTTL: time.Hour}
	for _, tt := range []struct {
		name       string
		method     string
		status     int
		header     http.Header
		credential bool
		policy     Policy
		want       bool
	}{
		{"fresh", "GET", 200, headers("Cache-Control: max-age=1"), false, Default(), true},
		{"any status", "GET", 599, headers("Cache-Control: max-age=1"), false, Default(), true},
		{"nothing said", "GET", 200, headers(), false, Default(), false},
		{"a validator", "GET", 200, headers(`Etag: "a"`), false, Default(), true},
		{"no-cache and a validator", "GET", 200, headers(`Etag: "a"`, "Cache-Control: no-cache"), false, Default(), true},
		{"no-cache", "GET", 200, headers("Cache-Control: no-cache, max-age=60"), false, Default(), false},
		{"no-store", "GET", 200, headers("Cache-Control: no-store, max-age=1"), false, Default(), false},
		{"private", "GET", 200, headers("Cache-Control: private, max-age=1"), false, Default(), false},
		{"private of a field", "GET", 200, headers(`Cache-Control: private="x", max-age=1`), false, Default(), true},
		{"must-understand of a known status", "GET", 200, headers("Cache-Control: must-understand, no-store, max-age=1"), false, Default(), true},
		{"must-understand of another", "GET", 599, headers("Cache-Control: must-understand, max-age=1"), false, Default(), false},
		{"HEAD", "HEAD", 200, headers("Cache-Control: max-age=1"), false, Default(), false},
		{"PUT", "PUT", 200, headers("Cache-Control: max-age=1"), false, Default(), false},
		{"the minimum over no-store", "GET", 200, headers("Cache-Control: no-store"), false, least, true},
		{"no minimum of errors", "GET", 401, headers(), false, least, false},
		{"no minimum of errors over no-store", "GET", 500, headers("Cache-Control: no-store, max-age=1"), false, least, false},
		{"no minimum of errors over private", "GET", 404, headers("Cache-Control: private, max-age=1"), false, least, false},
		{"304", "GET", 304, headers("Cache-Control: max-age=1"), false, Default(), false},
		{"Vary: *", "GET", 200, headers("Cache-Control: max-age=1", "Vary: a, *"), false, Default(), false},
		{"server-sent events", "GET", 200, headers("Cache-Control: max-age=1", "Content-Type: text/event-stream; charset=utf-8"), false, Default(), false},
		{"credential", "GET", 200, headers("Cache-Control: max-age=1"), true, Default(), false},
		{"credential and public", "GET", 200, headers("Cache-Control: max-age=1, public"), true, Default(), true},
		{"credential and s-maxage", "GET", 200, headers("Cache-Control: s-maxage=1"), true, Default(), true},
		{"credential and must-revalidate", "GET", 200, headers("Cache-Control: max-age=1, must-revalidate"), true, Default(), true},
		{"credential and Expires", "GET", 200, headers("Expires: " + at(noon.Add(time.Hour))), true, Default(), false},
		{"Set-Cookie", "GET", 200, headers("Cache-Control: max-age=1", "Set-Cookie: a=b"), false, Default(), true},
		{"Set-Cookie, heuristic", "GET", 200, headers("Last-Modified: "+at(noon.Add(-time.Hour)), "Set-Cookie: a=b"), false, Default(), false},
		{"Set-Cookie, the policy's minimum", "GET", 200, headers("Set-Cookie: a=b"), false, least, false},
		{"stale on purpose by a region", "GET", 200, headers("Cache-Control: max-age=1", "Meridian-Stale: x"), false, Default(), false},
		{"the loss of a write", "GET", 409, headers("Cache-Control: max-age=1", "Meridian-Lost-Write: x"), false, Default(), false},
		{"the minimum over private", "GET", 200, headers("Cache-Control: private"), false, least, true},
		{"the minimum, but a credential", "GET", 200, headers("Cache-Control: private"), true, least, false},
		{"the zero policy", "GET", 200, headers("Cache-Control: max-age=1"), false, Policy{}, false},
	} {
		d, targeted := controls(tt.header)
		v := storable(judged{
			method: tt.method, status: tt.status, header: tt.header, directives: d, credential: tt.credential, policy: tt.policy,
			life: lifetimeOf(tt.status, tt.header, d, targeted, tt.policy, noon),
		})
		if v.ok != tt.want || v.why == "" {
			t.Errorf("%s: %v (%s), want %v", tt.name, v.ok, v.why, tt.want)
		}
	}
}

func TestReuse(t *testing.T) {
	const m = time.Minute
	ok := verdict{ok: true}
	cc := func(s string) directives { return parseDirectives([]string{s}) }
	policy := Default()
	stale := policy
	policy.StaleIfUnreachable, stale.StaleIfUnreachable = 0, 0
	stale.StaleWhileRevalidate, stale.StaleIfError = 10*m, 20*m
	bridged := policy
	bridged.StaleIfUnreachable = 5 * m
	for _, tt := range []struct {
		name string
		c    candidate
		do   plan
		fall bool
	}{
		{"fresh", candidate{age: m, life: 2 * m, covered: ok}, serve, false},
		{"stale", candidate{age: 2 * m, life: 2 * m, covered: ok}, validate, false},
		{"older than the caller's token", candidate{age: m, life: 2 * m, policy: stale}, validate, false},
		{"no-cache", candidate{age: m, life: 2 * m, covered: ok, stored: cc("no-cache")}, validate, false},
		{"the request's no-cache", candidate{age: m, life: 2 * m, covered: ok, asked: cc("no-cache"), policy: stale}, validate, false},
		{"the request's max-age", candidate{age: m, life: 2 * m, covered: ok, asked: cc("max-age=59")}, validate, false},
		{"the request's max-age, old enough", candidate{age: m, life: 2 * m, covered: ok, asked: cc("max-age=60")}, serve, false},
		{"a reload", candidate{life: 2 * m, covered: ok, asked: cc("max-age=0")}, validate, false},
		{"a reload that may be stale", candidate{life: 2 * m, covered: ok, asked: cc("max-age=0"), stored: cc("stale-if-error=60"), policy: policy}, validate, true},
		{"the request's min-fresh", candidate{age: m, life: 2 * m, covered: ok, asked: cc("min-fresh=61")}, validate, false},
		{"the request's max-stale", candidate{age: 3 * m, life: 2 * m, covered: ok, asked: cc("max-stale=60")}, serve, false},
		{"too stale for max-stale", candidate{age: 3 * m, life: 2 * m, covered: ok, asked: cc("max-stale=59")}, validate, false},
		{"max-stale, but s-maxage", candidate{age: 3 * m, life: 2 * m, covered: ok, asked: cc("max-stale"), stored: cc("s-maxage=120")}, validate, false},
		{"max-stale, but must-revalidate", candidate{age: 3 * m, life: 2 * m, covered: ok, asked: cc("max-stale"), stored: cc("must-revalidate")}, validate, false},
		{"stale-while-revalidate", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("stale-while-revalidate=61"), policy: policy}, refresh, true},
		{"after stale-while-revalidate", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("stale-while-revalidate=60"), policy: policy}, validate, false},
		{"stale-while-revalidate and s-maxage", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("s-maxage=1, stale-while-revalidate=61"), policy: policy}, refresh, true},
		{"stale-while-revalidate, but proxy-revalidate", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("proxy-revalidate"), policy: stale}, validate, false},
		{"the policy's", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: stale}, refresh, true},
		{"the response's own, which is none", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("stale-while-revalidate=0"), policy: stale}, validate, true},
		{"stale-if-error", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("stale-if-error=61"), policy: policy}, validate, true},
		{"stale-if-error, nothing can be reached", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("stale-if-error=61"), policy: policy, down: true}, refresh, true},
		{"stale-if-error, it failed", candidate{age: 3 * m, life: 2 * m, covered: ok, stored: cc("stale-if-error=61"), policy: policy, failed: true}, serve, true},
		{"nothing can be reached", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: policy, down: true}, validate, false},
		{"nothing can be reached, and the policy bridges that", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: bridged, down: true}, validate, false},
		{"nothing can be reached, nor could a moment ago", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: bridged, down: true, failed: true}, refresh, false},
		{"it failed a moment ago, and can be reached", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: bridged, failed: true}, validate, false},
		{"nothing can be reached, too long ago", candidate{age: 7 * m, life: 2 * m, covered: ok, policy: bridged, down: true, failed: true}, validate, false},
		{"nothing can be reached, a reload", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: bridged, down: true, failed: true, asked: cc("no-cache")}, validate, false},
		{"nothing can be reached, fetched before a purge", candidate{age: 3 * m, life: 2 * m, covered: ok, policy: bridged, down: true, failed: true, before: true}, validate, false},
		{"fetched before a purge", candidate{age: m, life: 2 * m, covered: ok, before: true}, validate, true},
		{"fetched before a purge, and stale", candidate{age: 3 * m, life: 2 * m, covered: ok, before: true, policy: stale}, validate, true},
		{"made stale", candidate{age: m, life: 2 * m, covered: ok, stale: true}, validate, false},
		{"made stale, as the policy allows", candidate{age: m, life: 2 * m, covered: ok, stale: true, policy: stale}, refresh, true},
		{"made stale too long ago", candidate{age: m, life: 2 * m, covered: ok, stale: true, softFor: 21 * m, policy: stale}, validate, false},
	} {
		if got := reuse(tt.c); got.do != tt.do || got.fallback != tt.fall || got.why == "" && tt.c.covered.ok {
			t.Errorf("%s: %+v, want %s, fallback %v", tt.name, got, tt.do, tt.fall)
		}
	}
}

// TestWhatIsServedWhileNothingIsHeard says of what, and for how long past two
// minutes of freshness.
func TestWhatIsServedWhileNothingIsHeard(t *testing.T) {
	const m = time.Minute
	for _, tt := range []struct {
		stored    string
		life, max time.Duration
		want      time.Duration
	}{
		{"max-age=120", 2 * m, time.Hour, 5 * m},
		{"", 2 * m, time.Hour, 5 * m},
		{"max-age=120", 2 * m, 3 * m, 3 * m},
		{"max-age=120, stale-if-error=60", 2 * m, time.Hour, m},
		{"max-age=120, stale-if-error=0", 2 * m, time.Hour, 0},
		{"max-age=120, must-revalidate", 2 * m, time.Hour, 0},
		{"max-age=120, proxy-revalidate", 2 * m, time.Hour, 0},
		{"max-age=120, no-cache", 2 * m, time.Hour, 0},
		{"s-maxage=120", 2 * m, time.Hour, 0},
		{"s-maxage=120, stale-if-error=600", 2 * m, time.Hour, 0},
		{"max-age=0", 0, time.Hour, 0},
		{"", 0, time.Hour, 0},
	} {
		c := candidate{life: tt.life, covered: verdict{ok: true}, stored: parseDirectives([]string{tt.stored}), policy: Policy{MaxTTL: tt.max, StaleIfUnreachable: 5 * m}}
		longest := time.Duration(0)
		for late := range 400 { // seconds
			c.age = tt.life + time.Duration(late)*time.Second
			if reuse(c).unheard {
				longest = time.Duration(late+1) * time.Second
			}
		}
		if longest != tt.want {
			t.Errorf("%q, fresh for %v, at most %v: served for %v, want %v", tt.stored, tt.life, tt.max, longest, tt.want)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		version, floor string
		want           bool
	}{
		{"db:1:1:10", "", true},
		{"", "db:1:1:10", true},
		{"db:1:1:10", "db:1:1:10", true},
		{"db:1:1:10", "db:1:1:9", true},
		{"db:1:1:10", "db:1:1:11", false},
		{"db:1:2:1", "db:1:1:1", false},
		{"db:1:1:10", "db:1:2:1", false},
		{"db:2:1:10", "db:1:1:1", false},
		{"db:1:1:10", "other:1:1:99", true},
		{"a:1:1:10,b:1:1:10", "a:1:1:10,b:1:1:11", false},
	} {
		version, _ := meridian.ParseTokens(tt.version)
		floor, _ := meridian.ParseTokens(tt.floor)
		if v := covers(version, floor); v.ok != tt.want || v.ok != (v.why == "") {
			t.Errorf("%s for %s: %+v, want %v", tt.version, tt.floor, v, tt.want)
		}
	}
}

func TestCacheStatus(t *testing.T) {
	for want, n := range map[string]note{
		"edge; hit; ttl=57": {name: "edge", hit: true, hasTTL: true, ttl: 57 * time.Second},
		"edge; hit; ttl=0":  {name: "edge", hit: true, hasTTL: true, ttl: time.Second - 1},
		"edge; hit; ttl=-1": {name: "edge", hit: true, hasTTL: true, ttl: -1},
		"edge; hit; ttl=-2": {name: "edge", hit: true, hasTTL: true, ttl: -2 * time.Second},
		`edge; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed; detail="a \"b\" ?"`: {
			name: "edge", fwd: "uri-miss", fwdStatus: 200, stored: true, collapsed: true, hasTTL: true, ttl: time.Minute, detail: "a \"b\" \n"},
	} {
		if got := n.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
