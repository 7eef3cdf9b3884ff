package edge

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/edge/accesslog"
	"meridian/edge/limit"
	"meridian/edge/sign"
)

// Every request is one line that says what became of it, and no signature.
func TestTheAccessLogSaysWhatBecameOfEachRequest(t *testing.T) {
	for _, format := range []accesslog.Format{accesslog.JSON, accesslog.CloudFront} {
		path := filepath.Join(t.TempDir(), "access.log")
		g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stored" {
				w.Header().Set("Cache-Control", "max-age=60")
			}
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte("hello"))
		}}
		w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) {
			c.AccessLog = &accesslog.Config{To: path, Format: format}
			c.Behaviors = []Behavior{
				{Path: "/private", Guard: Guard{Signed: sign.Keys{}}}, {Path: "/out", Guard: Guard{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
				{Path: "/often", Guard: Guard{Limits: []limit.Limit{{Name: "l", Requests: 1, Per: 1e12}}}}, {Path: "/read", Methods: []string{"GET"}},
			}
		})
		w.do("GET", "/stored?x=1", "")
		w.do("GET", "/stored?x=1", "")
		w.do("POST", "/a", "hi", "Referer", "https://a.test/?token=SECRET")
		w.do("GET", "/private?Signature=SECRET&Key-Pair-Id=k", "", "Cookie", "CloudFront-Signature=SECRET", "Authorization", "Bearer SECRET")
		w.do("GET", "/out", "")
		w.do("GET", "/often", "")
		w.do("GET", "/often", "")
		w.do("POST", "/read", "")
		w.stop() // the last lines are written before Run returns
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "SECRET") {
			t.Errorf("a secret is in %s", text)
		}
		want := []string{
			"GET /stored 200 Miss Miss", "GET /stored 200 Hit Hit", "POST /a 200 Miss Miss", "GET /private 403 Error InvalidRequestBlocked", "GET /out 403 Error InvalidRequestBlocked",
			"GET /often 200 Miss Miss", "GET /often 429 LimitExceeded LimitExceeded", "POST /read 405 Error InvalidRequestMethod",
		}
		if format == accesslog.JSON {
			want = []string{"GET /stored 200 miss", "GET /stored 200 hit", "POST /a 200 bypass", "GET /private 403  blocked", "GET /out 403  blocked", "GET /often 200 miss", "GET /often 429  rate", "POST /read 405  method"}
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%d lines: %s", len(lines), text)
		}
		for i, line := range lines {
			var m map[string]any
			d := json.NewDecoder(bytes.NewReader([]byte(line)))
			d.UseNumber()
			if err := d.Decode(&m); err != nil {
				t.Fatal(err, line)
			}
			var got []string
			for _, name := range [][]string{{"method", "cs-method"}, {"path", "cs-uri-stem"}, {"status", "sc-status"}, {"cache", "x-edge-result-type"}, {"fault", "x-edge-detailed-result-type"}} {
				n := name[0]
				if format == accesslog.CloudFront {
					n = name[1]
				}
				s := ""
				switch v := m[n].(type) {
				case string:
					s = v
				case json.Number:
					s = v.String()
				}
				got = append(got, s)
			}
			if s := strings.TrimSpace(strings.Join(got, " ")); s != want[i] {
				t.Errorf("%s: line %d: %s, want %s", format, i, s, want[i])
			}
		}
		if m := lines[0]; !strings.Contains(m, "TLSv1.3") || !strings.Contains(m, "TLS_AES_128_GCM_SHA256") || !strings.Contains(m, "text/plain") {
			t.Errorf("%s", m)
		}
	}
}
