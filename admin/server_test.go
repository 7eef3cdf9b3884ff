package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"meridian"
	"meridian/client"
)

const token = "the-admin-token"

// A world is what an operator sees of a small one, and can do to it.
type world struct {
	keys    []client.Key
	drained map[meridian.Region]bool
	purged  []client.Purge
	log     bytes.Buffer
	rollout *client.Rollout
}

func (w *world) Create(_ context.Context, name string) (client.NewKey, error) {
	k := client.Key{ID: fmt.Sprintf("k%d", len(w.keys)+1), Name: name}
	w.keys = append(w.keys, k)
	return client.NewKey{ID: k.ID, Name: name, Key: "secret-of-" + k.ID}, nil
}

func (w *world) List() []client.Key { return w.keys }

func (w *world) Revoke(_ context.Context, id string) (client.Key, error) {
	i := slices.IndexFunc(w.keys, func(k client.Key) bool { return k.ID == id })
	if i < 0 {
		return client.Key{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no key %q", id))
	}
	w.keys[i].Revoked = true
	return w.keys[i], nil
}

func (w *world) drain(_ context.Context, region meridian.Region, out bool) error {
	if region == "mars" {
		return meridian.WithKind(meridian.NotFound, errors.New("there is no region mars"))
	}
	w.drained[region] = out
	return nil
}

func (w *world) status() client.Status {
	return client.Status{Domain: "api.example.test", Regions: []client.Region{{
		Name: "us-east-1", Primary: true, Healthy: true, Postgres: "postgres://hello:pa55word@127.10.1.1:6432/hello",
	}}}
}

// serve returns a server of a world, and a client that shows its token.
func serve(t *testing.T) (*world, *httptest.Server, *client.Client) {
	t.Helper()
	w := &world{drained: map[meridian.Region]bool{}}
	s := New(Config{Token: token}, w.deps())
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return w, web, client.New(web.URL+"/", token)
}

func (w *world) deps() Deps {
	return Deps{
		Status: w.status, Keys: w, Drain: w.drain,
		Purge: func(_ context.Context, p client.Purge) (client.Purged, error) {
			if len(p.Items) == 0 {
				return client.Purged{}, meridian.WithKind(meridian.Invalid, errors.New("purge: nothing is named"))
			}
			w.purged = append(w.purged, p)
			return client.Purged{ID: p.ID, Edges: []client.PurgedEdge{{Edge: "us-east-1", Why: "it does not answer"}}}, nil
		},
		Glance:  func(context.Context) *client.Rollout { return w.rollout },
		Spans:   func(_ context.Context, trace string) []client.Span { return nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "meridian_up 1\n") }),
		Log:     slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

// guarded is every route that shows secrets or changes something.
var guarded = []string{
	"GET /v1/status", "GET /v1/keys", "POST /v1/keys", "DELETE /v1/keys/k1",
	"PUT /v1/drain/us-east-1", "DELETE /v1/drain/us-east-1", "POST /v1/purges", "GET /v1/traces/0123",
	"GET /v1/certificates", "POST /v1/certificates", "DELETE /v1/certificates/x", "POST /v1/certificates/x/issue",
	"GET /v1/revoked-clients", "POST /v1/revoked-clients",
	"GET /v1/rollout", "POST /v1/rollout", "POST /v1/rollout/promote", "POST /v1/rollout/abort", "POST /v1/rollout/percent",
}

func TestOnlyWhoShowsTheTokenGetsIn(t *testing.T) {
	w, web, _ := serve(t)
	for _, route := range guarded {
		for _, shown := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Bearer " + token + "x", "Basic " + token, token} {
			if code, body := do(t, web, route, shown, `{"name":"x"}`); code != 401 || !strings.Contains(body, `"kind":"unauthenticated"`) {
				t.Errorf("%s with %q: %d %s", route, shown, code, body)
			}
		}
	}
	if len(w.keys) != 0 || len(w.drained) != 0 {
		t.Errorf("something was done: %v %v", w.keys, w.drained)
	}
	for _, route := range guarded[:1] { // the control: the guard lets the right one in
		if code, _ := do(t, web, route, "Bearer "+token, ""); code != 200 {
			t.Errorf("%s with the token: %d", route, code)
		}
	}
}

func TestWithoutATokenInTheConfigNobodyGetsIn(t *testing.T) {
	w := &world{drained: map[meridian.Region]bool{}}
	web := httptest.NewServer(New(Config{}, w.deps()).Handler())
	defer web.Close()
	for _, shown := range []string{"", "Bearer ", "Bearer"} {
		if code, _ := do(t, web, "GET /v1/status", shown, ""); code != 401 {
			t.Errorf("%q: %d", shown, code)
		}
	}
}

func TestAPurgeSaysWhichEdgeIsNotDone(t *testing.T) {
	w, _, c := serve(t)
	asked := client.Purge{ID: "p1", Items: []string{"/a", "#b"}, Soft: true}
	done, err := c.Purge(t.Context(), asked)
	if err != nil || done.ID != "p1" || done.Everywhere || len(done.Edges) != 1 || done.Edges[0].Why == "" {
		t.Errorf("%+v, %v", done, err)
	}
	if len(w.purged) != 1 || !slices.Equal(w.purged[0].Items, asked.Items) || !w.purged[0].Soft {
		t.Errorf("what arrived: %+v", w.purged)
	}
	if _, err := c.Purge(t.Context(), client.Purge{}); meridian.KindOf(err) != meridian.Invalid {
		t.Errorf("nothing is named: %v", err)
	}
}

// TestTheConsoleShowsNoSecret needs the second half: that the secret is there
// to be shown.
func TestTheConsoleShowsNoSecret(t *testing.T) {
	_, web, _ := serve(t)
	code, body := do(t, web, "GET /v1/console", "", "")
	if code != 200 || !strings.Contains(body, `"us-east-1"`) {
		t.Errorf("%d %s", code, body)
	}
	for _, secret := range []string{"postgres", "pa55word", token} {
		if strings.Contains(body, secret) {
			t.Errorf("the console has %q: %s", secret, body)
		}
	}
	if _, body := do(t, web, "GET /v1/status", "Bearer "+token, ""); !strings.Contains(body, "pa55word") {
		t.Errorf("operators do not see the URL: %s", body)
	}
}

// Control: without one nothing is said of any.
func TestAStatusShowsTheRolloutThatIsUnderWay(t *testing.T) {
	w, web, c := serve(t)
	st, err := c.Status(t.Context())
	if _, body := do(t, web, "GET /v1/console", "", ""); err != nil || st.Rollout != nil || strings.Contains(body, "rollout") {
		t.Errorf("there is none: %+v, %v, %s", st.Rollout, err, body)
	}
	w.rollout = &client.Rollout{Version: "r1", Phase: "staged", Percent: 5, Header: "X-Stage", Who: "eu-west-1/edge", File: "/home/op/new.yaml", Rules: "behaviors: []"}
	w.rollout.All.Staged.Requests = 7
	if st, err = c.Status(t.Context()); err != nil || st.Rollout == nil || st.Rollout.All.Staged.Requests != 7 || st.Rollout.File == "" {
		t.Errorf("%+v, %v", st.Rollout, err)
	}
	_, body := do(t, web, "GET /v1/console", "", "")
	if !strings.Contains(body, `"version":"r1"`) || strings.Contains(body, "/home/op") || strings.Contains(body, "behaviors") {
		t.Errorf("the console shows %s", body)
	}
	if _, page := do(t, web, "GET /", "", ""); !strings.Contains(page, "rollout(s.rollout)") {
		t.Error("the page does not draw it")
	}
}

func TestTheConsoleIsAPageThatLoadsNothingFromElsewhere(t *testing.T) {
	_, web, _ := serve(t)
	resp, err := http.Get(web.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'self'") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	for _, from := range []string{"src=\"http", "href=\"http", "//cdn", "@import"} {
		if bytes.Contains(page, []byte(from)) {
			t.Errorf("the page has %q", from)
		}
	}
	if code, _ := do(t, web, "GET /elsewhere", "", ""); code != 404 {
		t.Errorf("another path: %d", code)
	}
	if code, body := do(t, web, "GET /metrics", "", ""); code != 200 || body != "meridian_up 1\n" {
		t.Errorf("metrics: %d %s", code, body)
	}
}

func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	w, _, c := serve(t)
	ctx := t.Context()
	made, err := c.CreateKey(ctx, "the shop")
	if err != nil || made != (client.NewKey{ID: "k1", Name: "the shop", Key: "secret-of-k1"}) {
		t.Fatalf("%+v, %v", made, err)
	}
	if keys, err := c.Keys(ctx); err != nil || len(keys) != 1 || keys[0].Revoked {
		t.Errorf("%+v, %v", keys, err)
	}
	if k, err := c.RevokeKey(ctx, "k1"); err != nil || !k.Revoked {
		t.Errorf("%+v, %v", k, err)
	}
	_, err = c.RevokeKey(ctx, "../status")
	if meridian.KindOf(err) != meridian.NotFound || err.Error() != `there is no key "../status"` {
		t.Errorf("%v", err)
	}
	if log := w.log.String(); !strings.Contains(log, "key created") || !strings.Contains(log, "key revoked") || strings.Contains(log, "secret-of") {
		t.Errorf("log: %s", log)
	}
}

func TestAKeyNeedsAName(t *testing.T) {
	_, web, c := serve(t)
	for _, name := range []string{"", strings.Repeat("x", 1025)} {
		if _, err := c.CreateKey(t.Context(), name); meridian.KindOf(err) != meridian.Invalid || !strings.Contains(err.Error(), "expected 1 to 1024") {
			t.Errorf("%d characters: %v", len(name), err)
		}
	}
	for _, body := range []string{"", "name", `{"name":`, `{"name":"` + strings.Repeat("x", 70_000) + `"}`} {
		if code, answer := do(t, web, "POST /v1/keys", "Bearer "+token, body); code != 400 {
			t.Errorf("%.20s: %d %s", body, code, answer)
		}
	}
}

func TestARegionIsDrainedAndLetBackIn(t *testing.T) {
	w, _, c := serve(t)
	for _, out := range []bool{true, false} {
		if err := c.Drain(t.Context(), "eu-west-1", out); err != nil || w.drained["eu-west-1"] != out {
			t.Errorf("%v: %v, %v", out, w.drained, err)
		}
	}
	if err := c.Drain(t.Context(), "mars", true); meridian.KindOf(err) != meridian.NotFound || err.Error() != "there is no region mars" {
		t.Errorf("%v", err)
	}
}

func TestAnEmptyListIsAList(t *testing.T) {
	_, web, _ := serve(t)
	for _, route := range []string{"GET /v1/keys", "GET /v1/traces/0123"} {
		if _, body := do(t, web, route, "Bearer "+token, ""); body != "[]\n" {
			t.Errorf("%s: %s", route, body)
		}
	}
}

func TestEachKindOfFailureHasItsStatus(t *testing.T) {
	for kind, want := range map[meridian.Kind]int{
		meridian.Invalid: 400, meridian.Unauthenticated: 401, meridian.Forbidden: 403, meridian.NotFound: 404,
		meridian.Unavailable: 503, meridian.Timeout: 504, meridian.Internal: 500, meridian.Crashed: 500,
	} {
		if got := statusOf(meridian.WithKind(kind, errors.New("x"))); got != want {
			t.Errorf("%s: %d", kind, got)
		}
	}
}

func TestRunServesUntilItsEnd(t *testing.T) {
	w := &world{drained: map[meridian.Region]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := New(Config{Listen: l.Addr().String(), Token: token}, w.deps())
	if err := taken.Run(t.Context(), func() { t.Error("ready at a taken address") }); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	l.Close()
	ctx, end := context.WithCancel(t.Context())
	if err := New(Config{Listen: "127.0.0.1:0"}, w.deps()).Run(ctx, end); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// do makes a request with an Authorization header, if shown is not "".
func do(t *testing.T, web *httptest.Server, route, shown, body string) (int, string) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if shown != "" {
		req.Header.Set("Authorization", shown)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(path, "/v1/") && !json.Valid(b) {
		t.Errorf("%s: not JSON: %s", route, b)
	}
	return resp.StatusCode, string(b)
}
