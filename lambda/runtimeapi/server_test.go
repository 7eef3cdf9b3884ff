package runtimeapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meridian/lambda/runtimeapi"
)

// A host has one invocation to give, "one", and writes down what becomes of it.
type host struct {
	failedInit *runtimeapi.Failure
	asked      bool
	settled    *runtimeapi.Outcome
}

func (h *host) Next(ctx context.Context) (*runtimeapi.Event, error) {
	if h.failedInit != nil {
		return nil, fmt.Errorf("next: %w", runtimeapi.ErrState)
	}
	if h.asked {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h.asked = true
	return &runtimeapi.Event{
		ID: "one", Payload: []byte(`{"a":1}`), Deadline: time.UnixMilli(1234567890123),
		ARN: "arn:aws:lambda:eu-west-1:000000000000:function:f", Trace: "Root=1-0-0;Parent=1;Sampled=0",
	}, nil
}

func (h *host) Settle(id string, o runtimeapi.Outcome) error {
	switch {
	case id != "one" || !h.asked:
		return fmt.Errorf("settle: %w", runtimeapi.ErrUnknownID)
	case h.settled != nil:
		return fmt.Errorf("settle: %w", runtimeapi.ErrState)
	}
	h.settled = &o
	return nil
}

func (h *host) FailInit(f runtimeapi.Failure) error {
	if h.asked {
		return fmt.Errorf("init/error: %w", runtimeapi.ErrState)
	}
	h.failedInit = &f
	return nil
}

type client struct {
	t    *testing.T
	base string
}

func serve(t *testing.T) (*host, client) {
	h := &host{}
	s := httptest.NewServer(runtimeapi.Handler{Host: h})
	t.Cleanup(s.Close)
	return h, client{t, s.URL + "/2018-06-01/runtime/"}
}

// call sends one request; headers are pairs.
func (c client) call(method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.do(req)
}

func (c client) do(req *http.Request) (*http.Response, string) {
	c.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res, string(b)
}

// want checks a status and, if errorType is not "", the JSON error.
func (c client) want(status int, errorType, method, path, body string, headers ...string) {
	c.t.Helper()
	res, text := c.call(method, path, strings.NewReader(body), headers...)
	var e struct{ ErrorType, ErrorMessage string }
	err := json.Unmarshal([]byte(text), &e)
	if res.StatusCode != status || err != nil || e.ErrorType != errorType || (errorType != "") != (e.ErrorMessage != "") {
		c.t.Errorf("%s %s: %d %s, want %d %s", method, path, res.StatusCode, text, status, errorType)
	}
	if ct := res.Header.Get("Content-Type"); ct != "application/json" {
		c.t.Errorf("%s %s: Content-Type %q", method, path, ct)
	}
}

func TestNextHasTheDocumentedHeaders(t *testing.T) {
	_, c := serve(t)
	res, body := c.call("GET", "invocation/next", nil)
	if res.StatusCode != 200 || body != `{"a":1}` {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	for name, want := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id":       "one",
		"Lambda-Runtime-Deadline-Ms":          "1234567890123",
		"Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:000000000000:function:f",
		"Lambda-Runtime-Trace-Id":             "Root=1-0-0;Parent=1;Sampled=0",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestResponseIsTakenOnce(t *testing.T) {
	h, c := serve(t)
	c.want(400, "InvalidRequestID", "POST", "invocation/one/response", "early")
	c.call("GET", "invocation/next", nil)
	c.want(400, "InvalidRequestID", "POST", "invocation/two/response", "{}")
	c.want(202, "", "POST", "invocation/one/response", `{"b":2}`)
	c.want(403, "InvalidStateTransition", "POST", "invocation/one/response", "{}")
	if h.settled.Failure != nil || string(h.settled.Body) != `{"b":2}` {
		t.Errorf("%+v", h.settled)
	}
}

func TestErrorIsTaken(t *testing.T) {
	for _, x := range []struct{ body, header, wantType, wantMessage string }{
		{`{"errorType":"MyError","errorMessage":"no","stackTrace":[]}`, "", "MyError", "no"},
		{`{"errorType":"MyError","errorMessage":"no"}`, "Runtime.Header", "MyError", "no"},
		{`{"errorMessage":"no"}`, "Runtime.Header", "Runtime.Header", "no"},
		{`{"errorMessage":"no"}`, "made up", "Function.Unknown", "no"},
		{`not JSON`, "Function.Odd", "Function.Odd", ""},
		{``, "", "Function.Unknown", ""},
	} {
		h, c := serve(t)
		c.call("GET", "invocation/next", nil)
		c.want(202, "", "POST", "invocation/one/error", x.body, "Lambda-Runtime-Function-Error-Type", x.header)
		f := h.settled.Failure
		if f == nil || f.Type != x.wantType || f.Message != x.wantMessage || string(f.Payload) != x.body || f.Unusable {
			t.Errorf("%s: %+v", x.body, f)
		}
	}
}

func TestErrorWhileSendingComesInTrailers(t *testing.T) {
	h, c := serve(t)
	c.call("GET", "invocation/next", nil)
	req, err := http.NewRequest("POST", c.base+"invocation/one/response", io.MultiReader(strings.NewReader(`{"half`)))
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{
		"Lambda-Runtime-Function-Error-Type": {"Runtime.Stream"},
		"Lambda-Runtime-Function-Error-Body": {base64.StdEncoding.EncodeToString([]byte(`{"errorMessage":"broke off"}`))},
	}
	if res, body := c.do(req); res.StatusCode != 202 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if f := h.settled.Failure; f == nil || f.Type != "Runtime.Stream" || f.Message != "broke off" {
		t.Errorf("%+v", h.settled)
	}
}

func TestOversizedResponseSettlesAndIs413(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"with a length": strings.NewReader(strings.Repeat("x", runtimeapi.MaxPayload+1)),
		"chunked":       io.MultiReader(strings.NewReader(strings.Repeat("x", runtimeapi.MaxPayload+1))),
	} {
		h, c := serve(t)
		c.call("GET", "invocation/next", nil)
		if res, text := c.call("POST", "invocation/one/response", body); res.StatusCode != 413 || !strings.Contains(text, "RequestEntityTooLarge") {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
		if f := h.settled.Failure; f == nil || f.Type != "Function.ResponseSizeTooLarge" || !f.Unusable {
			t.Errorf("%s: %+v", name, h.settled)
		}
	}
	h, c := serve(t)
	c.call("GET", "invocation/next", nil)
	c.want(202, "", "POST", "invocation/one/response", strings.Repeat("x", runtimeapi.MaxPayload))
	if len(h.settled.Body) != runtimeapi.MaxPayload {
		t.Errorf("%d bytes", len(h.settled.Body))
	}
}

func TestResponseModes(t *testing.T) {
	h, c := serve(t)
	c.call("GET", "invocation/next", nil)
	c.want(400, "InvalidFunctionResponseMode", "POST", "invocation/one/response", "{}", "Lambda-Runtime-Function-Response-Mode", "shouting")
	if f := h.settled.Failure; f == nil || f.Type != "Runtime.InvalidResponseModeHeader" {
		t.Errorf("%+v", h.settled)
	}
	h, c = serve(t)
	c.call("GET", "invocation/next", nil)
	c.want(202, "", "POST", "invocation/one/response", "{}", "Lambda-Runtime-Function-Response-Mode", "streaming")
	if string(h.settled.Body) != "{}" {
		t.Errorf("%+v", h.settled)
	}
}

func TestInitErrorEndsTheMatter(t *testing.T) {
	h, c := serve(t)
	c.want(202, "", "POST", "init/error", `{"errorMessage":"no disk"}`, "Lambda-Runtime-Function-Error-Type", "Runtime.NoDisk")
	if f := h.failedInit; f.Type != "Runtime.NoDisk" || f.Message != "no disk" {
		t.Errorf("%+v", f)
	}
	c.want(403, "InvalidStateTransition", "GET", "invocation/next", "")

	_, c = serve(t)
	c.call("GET", "invocation/next", nil)
	c.want(403, "InvalidStateTransition", "POST", "init/error", `{}`)
}

func TestUnknownCallsAreJSONErrors(t *testing.T) {
	_, c := serve(t)
	c.want(405, "MethodNotAllowed", "POST", "invocation/next", "")
	c.want(405, "MethodNotAllowed", "GET", "invocation/one/response", "")
	for _, path := range []string{"", "invocation", "invocation/one", "invocation/one/respons", "invocation//response", "invocation/one/response/", "restore/next", "../../2020-01-01/extension/register"} {
		c.want(404, "ResourceNotFound", "POST", path, "")
	}
}

// FuzzCalls sends what no runtime would. Whatever comes, the answer is one of
// the documented ones, and JSON.
func FuzzCalls(f *testing.F) {
	f.Add("GET", "/2018-06-01/runtime/invocation/next", "", "", []byte(nil))
	f.Add("POST", "/2018-06-01/runtime/invocation/one/response", "streaming", "Function.X", []byte(`{}`))
	f.Add("POST", "/2018-06-01/runtime/invocation/one/error", "", "Runtime.Y", []byte(`{"errorType":3}`))
	f.Add("POST", "/2018-06-01/runtime/init/error", "x", "\x00", []byte(`[`))
	f.Add("PUT", "//2018-06-01/runtime/invocation/../next", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path, mode, errorType string, body []byte) {
		h := &host{asked: !strings.HasSuffix(path, "next")}
		r := httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
		r.Method, r.URL.Path = method, path
		r.Header.Set("Lambda-Runtime-Function-Response-Mode", mode)
		r.Header.Set("Lambda-Runtime-Function-Error-Type", errorType)
		w := httptest.NewRecorder()
		runtimeapi.Handler{Host: h}.ServeHTTP(w, r)
		switch w.Code {
		case 200, 202, 400, 403, 404, 405, 413:
		default:
			t.Errorf("%s %q: %d", method, path, w.Code)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: not JSON: %q", method, path, w.Body)
		}
		if h.settled != nil && h.settled.Failure != nil && h.settled.Failure.Type == "" {
			t.Error("a failure without a type")
		}
	})
}
