package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/waf"
)

// An attack is refused before the origin, in the target and in a body that the
// edge holds; a hit is nobody's attack, and no firewall's work. Controls: the
// same attacks where the firewall detects, and where there is none.
func TestTheFirewallStandsBehindTheCache(t *testing.T) {
	wall := func(detect bool) *waf.Firewall {
		f, err := waf.New(waf.Config{Detect: detect})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var asked atomic.Int64
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, len(b))
	}}
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/block*", Guard: Guard{WAF: wall(false)}}, {Path: "/detect*", Guard: Guard{WAF: wall(true)}}, {Path: "/off*"}}
	})
	const sql = "?id=1%27%20OR%20%271%27=%271%27--"
	long := `{"a": "1' UNION SELECT password FROM users--", "b": "` + strings.Repeat("x", 100_000) + `"}` // more than the edge holds
	fine := strings.Replace(long, "1' UNION SELECT password FROM users--", "fine", 1)
	for _, tt := range []struct{ method, path, body, want string }{
		{"GET", "/block/stored", "", "200 0"}, {"GET", "/block" + sql, "", `403 {"code":"AccessDenied"`}, {"GET", "/detect" + sql, "", "200 0"}, {"GET", "/off" + sql, "", "200 0"},
		{"POST", "/block", `{"a": "fine"}`, "200 13"}, {"POST", "/block", `{"a": "1' UNION SELECT password FROM users--"}`, "403 {"}, {"POST", "/block", long, "403 {"}, {"POST", "/block", fine, fmt.Sprint("200 ", len(fine))},
		{"POST", "/detect", long, fmt.Sprint("200 ", len(long))}, {"POST", "/off", long, fmt.Sprint("200 ", len(long))},
	} {
		got := w.do(tt.method, tt.path, tt.body, "Content-Type", "application/json", "User-Agent", "curl/8")
		if is := fmt.Sprintf("%d %s", got.status, got.body); !strings.HasPrefix(is, tt.want) {
			t.Errorf("%s %s: %.80s, want %s", tt.method, tt.path, is, tt.want)
		}
	}
	if n := asked.Load(); n != 7 {
		t.Errorf("the origin was asked %d times", n)
	}
	// What is stored is answered to whoever asks for it: their headers change nothing.
	if got := w.do("GET", "/block/stored", "", "User-Agent", "sqlmap/1.7"); got.status != 200 || asked.Load() != 7 {
		t.Errorf("a hit: %d %s", got.status, got.body)
	}
	w.until("logged with its rules", func() bool {
		return strings.Contains(w.log.String(), "the firewall found an attack") && strings.Contains(w.log.String(), "942")
	})
}

// While as many large bodies are judged as may be, another waits, and is refused
// in the end where attacks are blocked; nobody else waits for them. Control: where
// there is room.
func TestWhoCannotBeJudgedInTimeIsRefused(t *testing.T) {
	wall := func(detect bool) *waf.Firewall {
		f, err := waf.New(waf.Config{Detect: detect})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, func(c *Config, _ *Deps, _ *world) {
		c.Behaviors = []Behavior{{Path: "/block*", Guard: Guard{WAF: wall(false)}}, {Path: "/detect*", Guard: Guard{WAF: wall(true)}}}
	})
	large := `{"a": "` + strings.Repeat("fine ", 4000) + `"}`
	dear := waf.Request{Body: []byte(large)}
	w.bench = waf.NewBench(20 * time.Millisecond)
	for taken := true; taken; {
		_, err := w.bench.Sit(t.Context(), dear)
		taken = err == nil
	}
	ask := func(path, body string) got {
		return w.do("POST", path, body, "Content-Type", "application/json", "User-Agent", "curl/8")
	}
	if got := ask("/block", large); got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "more requests to look at") {
		t.Errorf("a large body: %d %v %s", got.status, got.header, got.body)
	}
	for path, body := range map[string]string{"/block": `{"a": "fine"}`, "/detect": large, "/": large} {
		if got := ask(path, body); got.status != 200 {
			t.Errorf("%s with %.20s: %d %s", path, body, got.status, got.body)
		}
	}
	w.until("logged", func() bool {
		return strings.Contains(w.log.String(), "more to judge than it can") && strings.Contains(w.log.String(), "passes=true") && strings.Contains(w.log.String(), "passes=false")
	})
	w.bench = waf.NewBench(time.Hour)
	if got := ask("/block", large); got.status != 200 {
		t.Errorf("when there is room: %d %s", got.status, got.body)
	}
}
