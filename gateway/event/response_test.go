package event_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/net/http/httpguts"

	"meridian"
	"meridian/gateway/event"
)

// TestResponses runs the scripts in testdata/responses: what a function put
// out, and the answer that it becomes.
func TestResponses(t *testing.T) {
	datadriven.Walk(t, "testdata/responses", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f := event.V2
			if d.Cmd == "v1" {
				f = event.V1
			}
			r, err := event.Parse(f, []byte(d.Input))
			if err != nil {
				return fmt.Sprintf("%s: %v\n", meridian.KindOf(err), err)
			}
			var lines []string
			for name, values := range r.Header {
				lines = append(lines, fmt.Sprintf("%s: %s\n", name, strings.Join(values, " | ")))
			}
			slices.Sort(lines)
			return fmt.Sprintf("%d\n%s%q\n", r.Status, strings.Join(lines, ""), r.Body)
		})
	})
}

// FuzzParse checks what must hold of every output, however odd: it is refused
// as malformed, or it is an answer that HTTP can carry.
func FuzzParse(f *testing.F) {
	f.Add(`{"statusCode":200,"headers":{"a":"b","c":1,"d":null},"multiValueHeaders":{"e":["f",true]},"cookies":["g=h"],"body":"aGk=","isBase64Encoded":true}`)
	f.Add(`{"statusCode":"404","headers":{"Connection":"x","x":"y"},"body":null}`)
	f.Add(`[1]`)
	f.Add(`"\ud800"`)
	f.Fuzz(func(t *testing.T, out string) {
		for _, format := range []event.Format{event.V2, event.V1} {
			r, err := event.Parse(format, []byte(out))
			if err != nil {
				if meridian.KindOf(err) != meridian.Malformed {
					t.Errorf("%v is %s", err, meridian.KindOf(err))
				}
				continue
			}
			if r.Status < 200 || r.Status > 599 {
				t.Errorf("status %d", r.Status)
			}
			for name, values := range r.Header {
				if event.Reserved(name) || !httpguts.ValidHeaderFieldName(name) || http.CanonicalHeaderKey(name) != name || len(values) == 0 {
					t.Errorf("header %q: %q", name, values)
				}
				for _, v := range values {
					if !httpguts.ValidHeaderFieldValue(v) {
						t.Errorf("header %q: %q", name, v)
					}
				}
			}
		}
	})
}

// FuzzSplit checks that nothing of a query or a cookie is lost or made up.
func FuzzSplit(f *testing.F) {
	f.Add("a=1&a=2&&b=%20+&%zz=%", "a=1; b=2;; c")
	f.Fuzz(func(t *testing.T, query, cookies string) {
		pairs := 0
		for _, values := range event.SplitQuery(query) {
			pairs += len(values)
		}
		want := 0
		for p := range strings.SplitSeq(query, "&") {
			if p != "" {
				want++
			}
		}
		if pairs != want {
			t.Errorf("%d values in %q, want %d", pairs, query, want)
		}
		for _, c := range event.SplitCookies([]string{cookies}) {
			if c == "" || strings.ContainsRune(c, ';') || !strings.Contains(cookies, c) {
				t.Errorf("cookie %q of %q", c, cookies)
			}
		}
		r := base()
		r.Query, r.Header = query, http.Header{"Cookie": {cookies}}
		for _, format := range []event.Format{event.V2, event.V1} {
			if raw, err := event.Marshal(format, r); err != nil || !json.Valid(raw) {
				t.Errorf("event: %v", err)
			}
		}
	})
}
