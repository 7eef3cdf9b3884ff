package edge

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/edge/cache"
)

func TestEarlyLinksAreThoseAClientCanBeginWith(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("</a>;rel=preload, ", 20), ", ")
	for _, c := range []struct {
		in   []string
		want []string
	}{
		{nil, nil},
		{[]string{"</a.css>; rel=preload; as=style"}, []string{"</a.css>; rel=preload; as=style"}},
		{[]string{"</next>; rel=next, <https://cdn.example>;rel=preconnect,</b.js>; as=script; REL=\"x Preload\""}, []string{"<https://cdn.example>;rel=preconnect", "</b.js>; as=script; REL=\"x Preload\""}},
		{[]string{`</a,b>; title="c, <d>; rel=next"; rel=preload`}, []string{`</a,b>; title="c, <d>; rel=next"; rel=preload`}},
		{[]string{`</a>; title="\"; rel=preload"; rel=next`, "</a>; rel=next; rel=preload", "/a; rel=preload", "</a>; rel", "<", ";rel=preload", ""}, nil},
		{[]string{many}, slices.Repeat([]string{"</a>;rel=preload"}, maxHints)},
		{[]string{"<" + strings.Repeat("a", maxHintBytes) + ">; rel=preload", "</b>; rel=preload"}, nil},
	} {
		if got := early(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// TestStoredLinksAreToldWhileTheOriginIsAsked: the region answers the second
// request only when its client has had the hints. Controls: without the key, over
// HTTP/1.1, for a POST, and where the behaviour removes the header, there are none.
func TestStoredLinksAreToldWhileTheOriginIsAsked(t *testing.T) {
	const link = "</a.css>; rel=preload; as=style"
	for _, c := range []struct {
		name     string
		behavior Behavior
		client   func(*world) *http.Client
		method   string
		want     int
	}{
		{"HTTP/2", Behavior{Path: "*", EarlyHints: true}, func(w *world) *http.Client { return w.h2 }, "GET", 1},
		{"HTTP/3", Behavior{Path: "*", EarlyHints: true}, (*world).h3, "GET", 1},
		{"HTTP/1.1", Behavior{Path: "*", EarlyHints: true}, func(w *world) *http.Client { return w.h1 }, "GET", 0},
		{"a POST", Behavior{Path: "*", EarlyHints: true}, func(w *world) *http.Client { return w.h2 }, "POST", 0},
		{"not asked for", Behavior{Path: "*"}, func(w *world) *http.Client { return w.h2 }, "GET", 0},
		{"removed", Behavior{Path: "*", EarlyHints: true, Response: &ResponsePolicy{Remove: []string{"Link"}}}, func(w *world) *http.Client { return w.h2 }, "GET", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan string, 4)
			asked := 0
			g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked == 2 && c.want > 0 {
					select {
					case early := <-told:
						told <- early
					case <-time.After(10 * time.Second):
					}
				}
				w.Header().Add("Link", link)
				w.Header().Add("Link", "</next>; rel=next")
				w.Header().Set("Cache-Control", "no-cache")
				w.Header().Set("ETag", `"1"`)
				if r.Header.Get("If-None-Match") == `"1"` {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				io.WriteString(w, "page")
			}}
			p := cache.Default()
			c.behavior.Cache = &p
			w := newWorld(t, []*region{g}, func(cfg *Config, _ *Deps, _ *world) { cfg.Behaviors = []Behavior{c.behavior} })
			client := c.client(w)
			for i := range 2 {
				trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
					told <- fmt.Sprintf("%d %s", status, h["Link"])
					return nil
				}}
				req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), c.method, w.url+"/page", nil)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if links := resp.Header["Link"]; resp.StatusCode != 200 || string(text) != "page" || len(links) != 2 && c.name != "removed" {
					t.Errorf("answer %d: %d %q, links %q", i, resp.StatusCode, text, links)
				}
				if i == 0 && len(told) > 0 {
					t.Errorf("nothing was stored, and %s was told", <-told)
				}
			}
			if asked != 2 || len(told) != c.want {
				t.Fatalf("asked %d times, told %d times", asked, len(told))
			}
			if want := fmt.Sprintf("103 [%s]", link); c.want > 0 && <-told != want {
				t.Errorf("want %s", want)
			}
		})
	}
}
