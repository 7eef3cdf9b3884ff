package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"meridian"
	"meridian/gateway/event"
)

// rewriting reports whether -rewrite, datadriven's flag, asks for golden files
// to be written.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

// base is the request of the AWS documentation's examples.
func base() *event.Request {
	return &event.Request{
		ID: "JKJaXmPLvHcESHA=", Time: time.Date(2020, 3, 12, 19, 3, 58, 390_000_000, time.UTC),
		RouteKey: "$default", Resource: "$default",
		Method: "GET", Path: "/my/path", Query: "parameter1=value1&parameter1=value2&parameter2=value",
		Protocol: "HTTP/1.1", Host: "id.execute-api.us-east-1.amazonaws.com", SourceIP: "192.0.2.1",
		Header:    http.Header{"Header1": {"value1"}, "Header2": {"value1", "value2"}, "User-Agent": {"agent"}, "Cookie": {"cookie1=1; cookie2=2"}},
		AccountID: "123456789012", APIID: "api-id", Stage: "$default",
	}
}

// requests are the golden events, by name.
func requests() map[string]*event.Request {
	with := func(change func(*event.Request)) *event.Request {
		r := base()
		change(r)
		return r
	}
	return map[string]*event.Request{
		"documented": base(),
		"bare": with(func(r *event.Request) {
			r.RouteKey, r.Resource, r.Path, r.Query, r.Header = "GET /", "/", "/", "", http.Header{"Host": {"a.test"}}
		}),
		"parameters": with(func(r *event.Request) {
			r.RouteKey, r.Resource, r.Path = "GET /pets/{id}/{proxy+}", "/pets/{id}/{proxy+}", "/pets/a%2Fb/c/d"
			r.Params, r.Query = map[string]string{"id": "a/b", "proxy": "c/d"}, "a=%20+&b&c=%zz&=x&&a=<&>"
		}),
		"text": with(func(r *event.Request) {
			r.Method, r.Body = "POST", []byte("{\"a\": \"<é>\u2028\"}\r\n")
			r.Header.Set("Content-Type", "Application/JSON; charset=utf-8")
		}),
		"binary": with(func(r *event.Request) {
			r.Method, r.Body = "POST", []byte("a=1&b=2")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}),
		"jwt": with(func(r *event.Request) {
			r.Authorizer = &event.Authorizer{Claims: map[string]string{"claim1": "value1", "claim2": "value2"}, Scopes: []string{"scope1", "scope2"}}
		}),
		"jwt_without_scopes": with(func(r *event.Request) {
			r.Authorizer = &event.Authorizer{Claims: map[string]string{"sub": "ann"}}
		}),
		"api_key": with(func(r *event.Request) {
			r.Authorizer = &event.Authorizer{APIKeyID: "k1", APIKeyName: "ann"}
		}),
	}
}

// TestEventsAreTheirGoldenFiles compares events byte for byte. The files are
// indented for people, and so are the events before they are compared.
func TestEventsAreTheirGoldenFiles(t *testing.T) {
	for name, r := range requests() {
		for _, f := range []event.Format{event.V2, event.V1} {
			raw, err := event.Marshal(f, r)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, raw, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			file := filepath.Join("testdata", "events", name+"-"+string(f)+".json")
			if rewriting() {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("%s (- golden, + got)\n%s", file, d)
			}
		}
	}
}

// TestAWSTypesReadEvents checks that what aws-lambda-go reads and writes again
// says the same: no field of ours is unknown to it or of another type.
func TestAWSTypesReadEvents(t *testing.T) {
	for name, r := range requests() {
		for f, typed := range map[event.Format]any{event.V2: &events.APIGatewayV2HTTPRequest{}, event.V1: &events.APIGatewayProxyRequest{}} {
			raw, err := event.Marshal(f, r)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, typed); err != nil {
				t.Fatalf("%s %s: %v", name, f, err)
			}
			again, err := json.Marshal(typed)
			if err != nil {
				t.Fatal(err)
			}
			var ours, theirs map[string]any
			if json.Unmarshal(raw, &ours) != nil || json.Unmarshal(again, &theirs) != nil {
				t.Fatal("not JSON")
			}
			if f == event.V1 {
				delete(ours, "version") // the type is of REST APIs, whose events have none
			}
			for _, lost := range missing(ours, theirs, "") {
				t.Errorf("%s %s: the AWS type loses %s", name, f, lost)
			}
		}
	}
}

// missing returns the paths of values that are in a and not the same in b.
func missing(a, b map[string]any, at string) (paths []string) {
	for k, v := range a {
		switch m, ok := v.(map[string]any); {
		case v == nil || v == false: // what it leaves out means the same
		case ok:
			sub, _ := b[k].(map[string]any)
			paths = append(paths, missing(m, sub, at+"."+k)...)
		case !cmp.Equal(v, b[k]):
			paths = append(paths, at+"."+k)
		}
	}
	return paths
}

func TestBodiesAreTextByContentTypeAndBytes(t *testing.T) {
	for _, tt := range []struct {
		contentType, encoding, body string
		text                        bool
	}{
		{"text/plain", "", "é", true},
		{"text/html; charset=utf-8", "", "x", true},
		{"application/json", "", "{}", true},
		{"APPLICATION/XML", "", "<a/>", true},
		{"application/javascript;charset=utf-8", "", "1", true},
		{"text/plain", "", "\xff", false},
		{"text/plain", "gzip", "x", false},
		{"application/x-www-form-urlencoded", "", "a=b", false},
		{"application/octet-stream", "", "x", false},
		{"multipart/form-data; boundary=x", "", "--x", false},
		{"", "", "x", false},
		{"text/", "", "x", false},
	} {
		r := base()
		r.Body = []byte(tt.body)
		r.Header = http.Header{"Content-Type": {tt.contentType}, "Content-Encoding": {tt.encoding}}
		raw, err := event.Marshal(event.V2, r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(`"isBase64Encoded":true`)) == tt.text {
			t.Errorf("%q %q %q: text should be %v", tt.contentType, tt.encoding, tt.body, tt.text)
		}
	}
}

func TestAnEventOverSixMiBIsTooLarge(t *testing.T) {
	r := base()
	r.Header.Set("Content-Type", "text/plain")
	empty, err := event.Marshal(event.V2, r)
	if err != nil {
		t.Fatal(err)
	}
	room := event.MaxSize - len(empty) - len(`"body":"",`)
	r.Body = []byte(strings.Repeat("x", room))
	if _, err := event.Marshal(event.V2, r); err != nil {
		t.Errorf("an event of exactly the limit: %v", err)
	}
	r.Body = append(r.Body, 'x')
	if _, err := event.Marshal(event.V2, r); meridian.KindOf(err) != meridian.TooLarge {
		t.Errorf("one byte more: %v", err)
	}
}

func BenchmarkMarshal(b *testing.B) {
	r := requests()["text"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Marshal(event.V2, r); err != nil {
			b.Fatal(err)
		}
	}
}
