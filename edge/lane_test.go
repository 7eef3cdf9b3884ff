package edge

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/edge/cache"
	"meridian/edge/origin"
)

// allowing lets functions name origins on loopback addresses.
func allowing(c *Config, _ *Deps, _ *world) {
	c.Lanes.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

func beside(os ...origin.CustomConfig) option {
	return func(c *Config, _ *Deps, _ *world) { c.Origins = append(c.Origins, os...) }
}

func TestAFunctionChoosesTheOrigin(t *testing.T) {
	var status atomic.Int32
	status.Store(200)
	s, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(status.Load()))
		fmt.Fprintf(w, "stranger %s %s host=%s auth=%q own=%s internal=%v", r.Method, r.RequestURI, r.Host, r.Header.Get("Authorization"), r.Header.Get("X-Own"), r.Header.Get("Meridian-Consistency"))
	})
	port, _ := url.Parse(s.URL)
	w := newWorld(t, []*region{named("eu-west-1", 0), named("us-east-1", 0)}, beside(o), allowing, running(map[string]string{
		"update": `import cf from 'cloudfront';
			function handler(event) {
				cf.updateRequestOrigin({domainName: 'localhost', originPath: '/base', hostHeader: 'host.example.test', customHeaders: {'x-own': 'yes'},
					timeouts: {readTimeout: 5}, customOriginConfig: {port: ` + port.Port() + `, protocol: 'http'}});
				return event.request;
			}`,
		"select": `import cf from 'cloudfront';
			function handler(event) { cf.selectRequestOriginById(event.request.querystring.to.value); return event.request; }`,
		"group": `var cf = require('cloudfront');
			function handler(event) {
				cf.createRequestOriginGroup({originIds: [{originId: 'assets'}, {originId: 'us-east-1'}], failoverCriteria: {statusCodes: [500, 503]}});
				return event.request;
			}`,
	},
		Behavior{Path: "/update", Functions: Functions{ViewerRequest: "update"}}, Behavior{Path: "/select", Functions: Functions{ViewerRequest: "select"}},
		Behavior{Path: "/group", Functions: Functions{ViewerRequest: "group"}}))
	if got := w.do("POST", "/update?x=1", "", "Authorization", "Bearer t"); got.body != `stranger POST /base/update?x=1 host=host.example.test auth="" own=yes internal=` {
		t.Errorf("update: %s\n%s", got.body, w.log)
	}
	for to, want := range map[string]string{"us-east-1": "us-east-1 ", "eu-west-1": "eu-west-1 ", "assets": "stranger "} {
		if got := w.do("POST", "/select?to="+to, ""); !strings.HasPrefix(got.body, want) {
			t.Errorf("select %s: %s", to, got.body)
		}
	}
	if got := w.do("GET", "/select?to=nobody", ""); got.status != 502 {
		t.Errorf("an origin that is not there: %d", got.status)
	}
	if got := w.do("GET", "/group", "", "Authorization", "Bearer t"); !strings.HasPrefix(got.body, "stranger ") || !strings.Contains(got.body, `auth=""`) {
		t.Errorf("group: %s", got.body)
	}
	status.Store(503)
	if got := w.do("GET", "/group?2", ""); !strings.HasPrefix(got.body, "us-east-1 ") {
		t.Errorf("the second of the group: %s", got.body)
	}
	if got := w.do("POST", "/group", ""); got.status != 503 { // control: as at CloudFront no write fails over
		t.Errorf("a write: %d %s", got.status, got.body)
	}
	status.Store(404)
	if got := w.do("GET", "/group?3", ""); got.status != 404 { // control: not among the statuses
		t.Errorf("another status: %d %s", got.status, got.body)
	}
}

// A name that a function makes of what a viewer sent leads to no address of the
// edge's own network.
func TestAFunctionReachesNoPrivateAddress(t *testing.T) {
	var asked atomic.Int32
	s, _ := stranger(t, false, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	port, _ := url.Parse(s.URL)
	code := map[string]string{"update": `import cf from 'cloudfront';
		function handler(event) { cf.updateRequestOrigin({domainName: 'localhost', customOriginConfig: {port: ` + port.Port() + `, protocol: 'http'}}); return event.request; }`}
	b := Behavior{Path: "*", Functions: Functions{ViewerRequest: "update"}}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, running(code, b))
	if got := w.do("GET", "/", ""); got.status != 503 || asked.Load() != 0 {
		t.Errorf("%d, asked %d times", got.status, asked.Load())
	}
	w.until("logged", func() bool { return strings.Contains(w.log.String(), "is no public address") })
	w = newWorld(t, []*region{named("eu-west-1", 0)}, running(code, b), allowing) // control
	if got := w.do("GET", "/", ""); got.status != 200 || asked.Load() != 1 {
		t.Errorf("where it is allowed: %d, asked %d times", got.status, asked.Load())
	}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false, "127.0.0.1": false, "::1": false,
		"::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "fe80::1": false, "fd00::1": false, "0.0.0.0": false, "100.64.1.1": false, "224.0.0.1": false,
	} {
		if ok, why := mayDial(netip.MustParseAddr(addr), nil); ok != want {
			t.Errorf("%s: %v, %s", addr, ok, why)
		}
	}
}

// What a function says of an origin that the file names needs no leave, wherever
// that stands: its host and port are the operator's own.
func TestAFunctionMaySayMoreOfAnOriginOfTheFile(t *testing.T) {
	s, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "stranger %s own=%s", r.RequestURI, r.Header.Get("X-Own"))
	})
	o.ResponseTimeout = 1500 * time.Millisecond // no whole seconds, as a function is told them
	elsewhere, _ := stranger(t, false, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "elsewhere") })
	at, _ := url.Parse(elsewhere.URL)
	w := newWorld(t, []*region{named("eu-west-1", 0)}, beside(o), running(map[string]string{
		"viewer": `import cf from 'cloudfront';
			function handler(event) { cf.updateRequestOrigin({originPath: '/v2', customHeaders: {'x-own': '1'}}); return event.request; }`,
		"byid": `import cf from 'cloudfront';
			function handler(event) { cf.selectRequestOriginById('assets', {originPath: '/v3'}); return event.request; }`,
		"same":  `exports.handler = async (event) => event.Records[0].cf.request;`,
		"path":  `exports.handler = async (event) => { const r = event.Records[0].cf.request; r.origin.custom.path = '/v4'; r.origin.custom.customHeaders['x-own'] = [{key: 'X-Own', value: '2'}]; return r; };`,
		"other": `exports.handler = async (event) => { const r = event.Records[0].cf.request; r.origin.custom.port = ` + at.Port() + `; return r; };`,
	},
		Behavior{Path: "/viewer", Origin: "assets", Functions: Functions{ViewerRequest: "viewer"}}, Behavior{Path: "/byid", Functions: Functions{ViewerRequest: "byid"}},
		Behavior{Path: "/same", Origin: "assets", Functions: Functions{OriginRequest: "same"}}, Behavior{Path: "/path", Origin: "assets", Functions: Functions{OriginRequest: "path"}},
		Behavior{Path: "/other", Origin: "assets", Functions: Functions{OriginRequest: "other"}}))
	for path, want := range map[string]string{
		"/viewer": "stranger /v2/viewer own=1", "/byid": "stranger /v3/byid own=", "/same": "stranger /same own=", "/path": "stranger /v4/path own=2",
	} {
		if got := w.do("GET", path, ""); got.body != want {
			t.Errorf("%s: %d %s; want %s\n%s", path, got.status, got.body, want, w.log)
		}
	}
	if got := w.do("GET", "/other", ""); got.status != 503 { // control: another port is another origin
		t.Errorf("another port: %d %s", got.status, got.body)
	}
	if !strings.Contains(s.URL, "127.0.0.1") {
		t.Fatalf("%s: the test wants an origin by its address", s.URL)
	}
}

// What two origins say of one path is stored apart.
func TestOriginsThatFunctionsChooseShareNoObject(t *testing.T) {
	stored := func(name meridian.Region) *region {
		r := named(name, 0)
		serve := r.serve
		r.serve = func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			serve(w, q)
		}
		return r
	}
	policy := cache.Default()
	w := newWorld(t, []*region{stored("eu-west-1"), stored("us-east-1")}, running(map[string]string{"by": `import cf from 'cloudfront';
		function handler(event) { cf.selectRequestOriginById(event.request.headers['x-to'].value); return event.request; }`},
		Behavior{Path: "*", Cache: &policy, Functions: Functions{ViewerRequest: "by"}}))
	for range 2 {
		for _, to := range []string{"us-east-1", "eu-west-1"} {
			if got := w.do("GET", "/", "", "X-To", to); !strings.HasPrefix(got.body, to+" ") {
				t.Errorf("%s: %s", to, got.body)
			}
		}
	}
}
