package edge

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/topology"
)

func TestOriginFunctionsRunOnMissesOnly(t *testing.T) {
	var asked atomic.Int32
	r := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("X-Drop", "1")
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
		}
		fmt.Fprintf(w, "%d %s %s x-added=%s %s", n, r.Method, r.RequestURI, r.Header.Get("X-Added"), body)
	}}
	w := newWorld(t, []*region{r}, running(map[string]string{
		"request": `exports.handler = (event, context, callback) => {
			const request = event.Records[0].cf.request;
			if (request.uri === '/made') return callback(null, {status: '200', headers: {'cache-control': [{key: 'Cache-Control', value: 'max-age=60'}]}, body: 'bWFkZQ==', bodyEncoding: 'base64'});
			if (request.uri === '/bad') return callback(null, Object.assign(request, {headers: Object.assign(request.headers, {via: [{key: 'Via', value: 'x'}]})}));
			if (request.uri === '/throw') return callback(new Error('thrown'));
			request.uri = request.uri.replace('/a', '/b');
			request.querystring = 'q=' + request.querystring;
			request.headers['x-added'] = [{key: 'X-Added', value: 'by ' + event.Records[0].cf.config.eventType}];
			if (request.method === 'POST') request.body = {action: 'replace', encoding: 'text', data: 'was ' + Buffer.from(request.body.data, 'base64') + ' ' + request.body.inputTruncated};
			callback(null, request);
		};`,
		"response": `export const handler = async (event) => {
			const { request, response } = event.Records[0].cf;
			delete response.headers['x-drop'];
			response.headers['x-saw'] = [{ key: 'X-Saw', value: request.uri + ' ' + response.status }];
			if (response.status === '410') return { ...response, status: '404', body: 'replaced' };
			return response;
		};`,
	}, Behavior{Path: "*", Functions: Functions{OriginRequest: "request", OriginResponse: "response"}}))
	for range 2 { // the second is answered from the cache
		got := w.do("GET", "/a?1", "")
		if got.body != "1 GET /b?q=1 x-added=by origin-request " || got.header.Get("X-Saw") != "/b 200" || got.header.Get("X-Drop") != "" {
			t.Errorf("%s %v\n%s", got.body, got.header, w.log)
		}
	}
	if got := w.do("POST", "/a", "body"); !strings.HasSuffix(got.body, "was body false") {
		t.Errorf("%s", got.body)
	}
	for range 2 {
		if got := w.do("GET", "/made", ""); got.status != 200 || got.body != "made" || got.header.Get("X-Saw") != "" {
			t.Errorf("made: %d %s %v", got.status, got.body, got.header)
		}
	}
	if got := w.do("GET", "/gone", ""); got.status != 404 || got.body != "replaced" || got.header.Get("X-Saw") != "/gone 410" {
		t.Errorf("gone: %d %s %v", got.status, got.body, got.header)
	}
	before := asked.Load()
	status := map[string]int{"/bad": 502, "/throw": 503}
	for path, why := range map[string]string{"/bad": "the header via is read-only", "/throw": "thrown"} {
		if got := w.do("GET", path, ""); got.status != status[path] || asked.Load() != before {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		w.until("logged "+why, func() bool { return strings.Contains(w.log.String(), why) })
	}
}

// A Lambda@Edge function sends a request to another origin than the configured.
func TestAnOriginRequestFunctionChangesTheOrigin(t *testing.T) {
	s, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "stranger %s %s", r.Host, r.RequestURI) })
	u, _ := url.Parse(s.URL)
	w := newWorld(t, []*region{named("eu-west-1", 0)}, beside(o), allowing, running(map[string]string{"to": `
		exports.handler = async (event) => {
			const request = event.Records[0].cf.request;
			request.origin = {custom: {domainName: 'localhost', port: ` + u.Port() + `, protocol: 'http', path: '/p', readTimeout: 5, keepaliveTimeout: 5, sslProtocols: ['TLSv1.2'], customHeaders: {}}};
			request.headers.host = [{key: 'host', value: 'localhost'}];
			return request;
		};`}, Behavior{Path: "*", Functions: Functions{OriginRequest: "to"}}))
	if got := w.do("GET", "/x?y", ""); got.body != "stranger localhost /p/x?y" {
		t.Errorf("%s\n%s", got.body, w.log)
	}
}

// Step 6 of the reference architecture: a function finds the best region by its
// name, and needs no network for it. The built-in choice makes it needless.
func TestTheClassicFunctionFindsTheBestRegion(t *testing.T) {
	code, err := os.ReadFile("../examples/edge-region/origin-request.js")
	if err != nil {
		t.Fatal(err)
	}
	regions := []*region{named("us-east-1", 68*time.Millisecond), named("ap-southeast-1", 170*time.Millisecond)}
	w := newWorld(t, regions, running(map[string]string{"best": string(code)}, Behavior{Path: "/classic/*", Functions: Functions{OriginRequest: "best"}}))
	for _, path := range []string{"/classic/x", "/built-in/x"} {
		if got := w.do("GET", path, ""); got.body != "us-east-1 GET api.example.test "+path+" " {
			t.Errorf("%s: %s\n%s", path, got.body, w.log)
		}
	}
	w.until("chosen by the function", func() bool { return strings.Contains(w.log.String(), `why="a function chose it"`) })
	// Its name stands for another region as soon as the map says so.
	w.deps.Map.Publish(&topology.Snapshot{Domain: domain, Regions: []topology.Region{{Name: "us-east-1", Healthy: true, Drained: true, Primary: true}, {Name: "ap-southeast-1", Healthy: true}},
		Links: w.deps.Map.Now().Links})
	if got := w.do("GET", "/classic/y", ""); !strings.HasPrefix(got.body, "ap-southeast-1 ") {
		t.Errorf("after a drain: %s", got.body)
	}
}
