package edge

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/accesslog"
	"meridian/edge/function"
	"meridian/edge/origin"
)

// running configures an edge with edge functions, by name, and behaviours.
func running(code map[string]string, bs ...Behavior) option {
	return func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = bs
		for name, text := range code {
			c.Functions.Functions = append(c.Functions.Functions, function.Source{Name: name, File: name + ".js", Code: []byte(text)})
		}
	}
}

// showing is a region that shows what it was asked.
func showing(requests *atomic.Int32) *region {
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		if requests != nil {
			requests.Add(1)
		}
		status := http.StatusOK
		if strings.HasPrefix(r.URL.Path, "/missing") {
			status = http.StatusNotFound
		}
		w.Header().Add("Set-Cookie", "sid=1; Path=/; HttpOnly")
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s %s|accept=%s|x-user=%s|cookie=%s", r.Method, r.RequestURI, r.Header.Get("Accept"), r.Header.Get("X-User"), r.Header.Get("Cookie"))
	}}
}

func TestAViewerRequestFunctionChangesWhatTheRegionIsAsked(t *testing.T) {
	w := newWorld(t, []*region{showing(nil)}, running(map[string]string{"rewrite": `
		function handler(event) {
			const request = event.request;
			request.uri = request.uri.replace(/^\/old/, '/new');
			request.headers['x-user'] = {value: request.headers['user-agent'].value + '@' + event.viewer.ip};
			delete request.headers.accept;
			delete request.querystring.drop;
			request.cookies.b = {value: '2'};
			return request;
		}`}, Behavior{Path: "*", Functions: Functions{ViewerRequest: "rewrite"}}))
	got := w.do("GET", "/old/a%2Fb?x=%41&drop=1&y", "", "Accept", "text/html", "Cookie", "a=1", "User-Agent", "t")
	if want := "GET /new/a%2Fb?x=%41&y|accept=|x-user=t@127.0.0.1|cookie=a=1; b=2"; got.body != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
	w.until("logged", func() bool { return strings.Contains(w.log.String(), `asked="/old/a%2Fb?x=%41&drop=1&y"`) })
	// What it does not change passes byte for byte.
	if got := w.raw("GET /z%7e|//?b=%zz&a=&&=c&1 HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\nCookie: b=2\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "GET /z%7e|//?b=%zz&a=&&=c&1|") {
		t.Errorf("got %s", got)
	}
}

func TestAViewerRequestFunctionAnswers(t *testing.T) {
	var asked atomic.Int32
	w := newWorld(t, []*region{showing(&asked)}, running(map[string]string{"answer": `
		async function handler(event) {
			return {statusCode: 302, statusDescription: 'Found', headers: {location: {value: '/elsewhere'}, 'x-many': {multiValue: [{value: 'a'}, {value: 'b'}]}},
				cookies: {a: {value: '1', attributes: 'Secure; Path=/'}}, body: {encoding: 'base64', data: 'aGk='}};
		}`}, Behavior{Path: "*", Functions: Functions{ViewerRequest: "answer", ViewerResponse: "answer"}}))
	got := w.do("GET", "/", "")
	if got.status != 302 || got.body != "hi" || got.header.Get("Location") != "/elsewhere" || len(got.header["X-Many"]) != 2 || got.header.Get("Set-Cookie") != "a=1; Secure; Path=/" || asked.Load() != 0 {
		t.Errorf("got %d %q %v; the region was asked %d times", got.status, got.body, got.header, asked.Load())
	}
	if got := w.do("HEAD", "/", ""); got.status != 302 || got.body != "" || got.header.Get("Content-Length") != "2" {
		t.Errorf("HEAD: %d %q %v", got.status, got.body, got.header)
	}
}

func TestAViewerResponseFunctionChangesWhatTheViewerGets(t *testing.T) {
	w := newWorld(t, []*region{showing(nil)}, running(map[string]string{"headers": `
		function handler(event) {
			const response = event.response;
			response.headers['strict-transport-security'] = {value: 'max-age=63072000'};
			delete response.headers['content-type'];
			response.cookies.added = {value: 'yes', attributes: 'Secure'};
			if (event.request.uri === '/moved') response.statusCode = 308;
			if (event.request.uri === '/body') response.body = 'instead';
			return response;
		}`}, Behavior{Path: "*", Functions: Functions{ViewerResponse: "headers"}}))
	got := w.do("GET", "/x", "")
	if got.header.Get("Strict-Transport-Security") == "" || strings.Join(got.header["Set-Cookie"], "|") != "sid=1; Path=/; HttpOnly|added=yes; Secure" || !strings.HasPrefix(got.body, "GET /x|") || got.header.Get("X-Meridian-Request") == "" {
		t.Errorf("%v %s", got.header, got.body)
	}
	if got := w.do("GET", "/moved", ""); got.status != 308 {
		t.Errorf("status %d", got.status)
	}
	if got := w.do("GET", "/body", ""); got.body != "instead" || got.header.Get("Content-Length") != "7" {
		t.Errorf("%q %v", got.body, got.header)
	}
	// CloudFront runs it on no error.
	if got := w.do("GET", "/missing", ""); got.status != 404 || got.header.Get("Strict-Transport-Security") != "" {
		t.Errorf("on an error: %d %v", got.status, got.header)
	}
}

// As at CloudFront a viewer-response function comes after the response headers
// policy: it sees its headers, and has the last word. Control: where it says nothing,
// fails, or is not run, the policy's word stands.
func TestAFunctionSeesWhatTheResponsePolicySays(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Powered-By"] = []string{"php"}
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
		}
		fmt.Fprint(w, "x")
	}}
	policy := &ResponsePolicy{Name: "p", Set: http.Header{"X-Frame-Options": {"DENY"}}, Default: http.Header{"Referrer-Policy": {"no-referrer"}}, Remove: []string{"X-Powered-By"}}
	w := newWorld(t, []*region{g}, running(map[string]string{"out": `function handler(event) {
		const h = event.response.headers;
		h['x-saw'] = {value: [h['x-frame-options'], h['referrer-policy'], h['x-powered-by']].map((x) => x ? x.value : 'none').join()};
		if (event.request.uri === '/frame') h['x-frame-options'] = {value: 'SAMEORIGIN'};
		if (event.request.uri === '/none') delete h['x-frame-options'];
		if (event.request.uri === '/throws') throw new Error('no');
		return event.response;
	}`}, Behavior{Path: "*", Response: policy, Functions: Functions{ViewerResponse: "out"}}))
	for path, want := range map[string]string{
		"/": "200 DENY no-referrer DENY,no-referrer,none", "/frame": "200 SAMEORIGIN no-referrer DENY,no-referrer,none", "/none": "200  no-referrer DENY,no-referrer,none",
		"/throws": "503 DENY no-referrer ", "/missing": "404 DENY no-referrer ",
	} {
		got := w.do("GET", path, "")
		if have := fmt.Sprintf("%d %s %s %s", got.status, got.header.Get("X-Frame-Options"), got.header.Get("Referrer-Policy"), got.header.Get("X-Saw")); have != want || got.header.Get("X-Powered-By") != "" {
			t.Errorf("%s: %s, want %s (%v)", path, have, want, got.header)
		}
	}
}

// A body in place of a part is the whole of itself. Control: what is not replaced
// stays a part.
func TestABodyInPlaceOfAPartIsWhole(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("0123456789"))
	}}
	w := newWorld(t, []*region{g}, running(map[string]string{
		"out":    `function handler(event) { if (event.request.uri.endsWith('/new')) event.response.body = 'instead'; return event.response; }`,
		"origin": `exports.handler = async (event) => { const c = event.Records[0].cf; if (c.request.uri.endsWith('/new')) c.response.body = 'instead'; return c.response; }`,
	}, Behavior{Path: "/o/*", Functions: Functions{OriginResponse: "origin"}}, Behavior{Path: "*", Functions: Functions{ViewerResponse: "out"}}))
	for path, want := range map[string]string{"/new": "200 instead ", "/o/new": "200 instead ", "/old": "206 234 bytes 2-4/10", "/o/old": "206 234 bytes 2-4/10"} {
		got := w.do("GET", path, "", "Range", "bytes=2-4")
		if have := fmt.Sprintf("%d %s %s", got.status, got.body, got.header.Get("Content-Range")); have != want {
			t.Errorf("%s: %s, want %s", path, have, want)
		}
	}
}

// A function that fails is a 503, one that returns what it may not a 502, with
// the reason in the log alone, and no other request's business.
func TestAFunctionThatFailsFailsAlone(t *testing.T) {
	w := newWorld(t, []*region{showing(nil)}, running(map[string]string{
		"throws":  "function handler(event) {\n  return event.nothing.there;\n}",
		"endless": `function handler(event) { for (;;) ; }`,
		"wrong":   `function handler(event) { event.request.headers.host = {value: 'other.example'}; return event.request; }`,
		"late":    `function handler(event) { throw new Error('late'); }`,
		"good":    `function handler(event) { return event.request; }`,
	},
		Behavior{Path: "/throws", Functions: Functions{ViewerRequest: "throws"}}, Behavior{Path: "/endless", Functions: Functions{ViewerRequest: "endless"}},
		Behavior{Path: "/wrong", Functions: Functions{ViewerRequest: "wrong"}}, Behavior{Path: "/late", Functions: Functions{ViewerResponse: "late"}},
		Behavior{Path: "*", Functions: Functions{ViewerRequest: "good", ViewerResponse: ""}}))
	for path, want := range map[string]struct {
		status    int
		code, why string
	}{
		"/throws":  {503, "FunctionExecutionError", "throws.js:2:23"},
		"/endless": {503, "FunctionExecutionError", "it took more time than a run may"},
		"/wrong":   {502, "FunctionValidationError", "the header host is read-only"},
		"/late":    {503, "FunctionExecutionError", "late"},
	} {
		got, why := w.do("GET", path, ""), want.why
		if got.status != want.status || !strings.Contains(got.body, want.code) || strings.Contains(got.body, why) || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %s %v", path, got.status, got.body, got.header)
		}
		w.until("logged: "+why, func() bool { return strings.Contains(w.log.String(), why) })
		if got := w.do("GET", "/", ""); got.status != 200 {
			t.Errorf("after %s: %d %s", path, got.status, got.body)
		}
	}
}

// A function chooses what is looked up in the cache, and each viewer gets what
// its own run makes of a stored response.
func TestFunctionsStandAroundTheCache(t *testing.T) {
	var asked atomic.Int32
	r := showing(&asked)
	serve := r.serve
	r.serve = func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		serve(w, q)
	}
	w := newWorld(t, []*region{r}, running(map[string]string{
		"fold":  `function handler(event) { event.request.uri = event.request.uri.toLowerCase(); event.request.querystring = {}; return event.request; }`,
		"stamp": `function handler(event) { event.response.headers['x-asked'] = {value: event.request.uri}; event.response.headers['x-ua'] = event.request.headers['user-agent']; return event.response; }`,
	}, Behavior{Path: "*", Functions: Functions{ViewerRequest: "fold", ViewerResponse: "stamp"}}))
	for i, path := range []string{"/A?x=1", "/a?x=2", "/a"} {
		got := w.do("GET", path, "", "User-Agent", path)
		if got.status != 200 || asked.Load() != 1 || got.header.Get("X-Ua") != path || got.header.Get("X-Asked") != "/a" {
			t.Errorf("%d: %d %v, the region was asked %d times", i, got.status, got.header, asked.Load())
		}
	}
	if got := w.do("GET", "/b", ""); got.status != 200 || asked.Load() != 2 { // control: another path is another object
		t.Errorf("asked %d times", asked.Load())
	}
}

// What a function says of headers that override a request reaches an origin that
// nobody said should have them; what the viewer says of them does not.
func TestAFunctionMaySayWhatAViewerMayNot(t *testing.T) {
	saw := make(chan http.Header, 1)
	_, o := stranger(t, false, func(_ http.ResponseWriter, r *http.Request) { saw <- r.Header })
	w := newWorld(t, []*region{named("eu-west-1", 0)}, running(map[string]string{"host": `
		function handler(event) {
			const h = event.request.headers;
			if (event.request.uri === '/say') h['x-forwarded-host'] = {value: h.host.value};
			h['x-saw'] = {value: h.forwarded ? h.forwarded.value : 'none'};
			return event.request;
		}`}, Behavior{Path: "*", Origin: "assets", Functions: Functions{ViewerRequest: "host"}}), func(c *Config, _ *Deps, _ *world) { c.Origins = []origin.CustomConfig{o} })
	for path, want := range map[string]string{"/say": domain, "/leave": ""} {
		w.do("GET", path, "", "X-Forwarded-Host", "forged", "Forwarded", "host=forged")
		if h := <-saw; h.Get("X-Forwarded-Host") != want || h.Get("Forwarded") != "" || h.Get("X-Saw") != "host=forged" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// What edge functions did of a request is in the access log in CloudFront's words:
// that they answered, and how they failed. Control: who goes on says nothing.
func TestWhatFunctionsDidIsInTheAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	const lambda = `exports.handler = async (event) => {
		const r = event.Records[0].cf.request, at = r.uri.split('/').pop();
		if (at === 'answers') return {status: '302', headers: {location: [{key: 'Location', value: '/'}]}};
		if (at === 'throws') throw new Error('no');
		return at === 'wrong' ? {status: '999'} : r;
	}`
	w := newWorld(t, []*region{showing(nil)}, running(map[string]string{"lambda": lambda, "f": `function handler(event) {
		const r = event.request, at = r.uri.split('/').pop();
		if (at === 'answers') return {statusCode: 401};
		if (at === 'throws') throw new Error('no');
		return at === 'wrong' ? {} : r;
	}`}, Behavior{Path: "/l/*", Functions: Functions{ViewerRequest: "lambda"}}, Behavior{Path: "/o/*", Functions: Functions{OriginRequest: "lambda"}}, Behavior{Path: "*", Functions: Functions{ViewerRequest: "f"}}),
		func(c *Config, _ *Deps, _ *world) {
			c.AccessLog = &accesslog.Config{To: path, Format: accesslog.CloudFront}
		})
	want := []struct{ path, result, detailed string }{
		{"/answers", "FunctionGeneratedResponse", "FunctionGeneratedResponse"}, {"/throws", "Error", "FunctionExecutionError"}, {"/wrong", "Error", "FunctionValidationError"}, {"/goes", "Miss", "Miss"},
		{"/l/answers", "LambdaGeneratedResponse", "LambdaGeneratedResponse"}, {"/l/throws", "Error", "LambdaExecutionError"}, {"/l/wrong", "Error", "LambdaValidationError"}, {"/l/goes", "Miss", "Miss"},
		{"/o/answers", "LambdaGeneratedResponse", "LambdaGeneratedResponse"}, {"/o/throws", "Error", "LambdaExecutionError"}, {"/o/goes", "Miss", "Miss"},
	}
	for _, tt := range want {
		w.do("GET", tt.path, "")
	}
	w.stop()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		for _, part := range []string{`"cs-uri-stem":"` + want[i].path + `"`, `"x-edge-result-type":"` + want[i].result + `"`, `"x-edge-detailed-result-type":"` + want[i].detailed + `"`} {
			if !strings.Contains(line, part) {
				t.Errorf("%s: not %s", line, part)
			}
		}
	}
}

// The last word of a run counts, that of a response's beside that of the request's.
// Control: who says nothing leaves nothing.
func TestWhatFunctionsSayOfARequestIsInTheAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWorld(t, []*region{showing(nil)}, running(map[string]string{"in": `
		import cf from 'cloudfront';
		function handler(event) {
			if (event.request.uri === '/quiet') return event.request;
			cf.logCustomData('first');
			cf.logCustomData(JSON.stringify({uri: event.request.uri}));
			return event.request.uri === '/answer' ? {statusCode: 204} : event.request;
		}`, "out": `
		import cf from 'cloudfront';
		function handler(event) { if (event.request.uri === '/both') cf.logCustomData('x'.repeat(900)); return event.response; }`},
		Behavior{Path: "*", Functions: Functions{ViewerRequest: "in", ViewerResponse: "out"}}), func(c *Config, _ *Deps, _ *world) {
		c.AccessLog = &accesslog.Config{To: path}
	})
	for _, target := range []string{"/both", "/answer", "/quiet"} {
		w.do("GET", target, "")
	}
	w.stop() // the last lines are written before Run returns
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, want := range []string{`"viewer_request_log_data":"{\"uri\":\"/both\"}","viewer_response_log_data":"` + strings.Repeat("x", 800) + `"`, `"viewer_request_log_data":"{\"uri\":\"/answer\"}"`, ""} {
		if !strings.Contains(lines[i], want) || strings.Contains(lines[i], "log_data") != (want != "") {
			t.Errorf("%s: not %s", lines[i], want)
		}
	}
}
