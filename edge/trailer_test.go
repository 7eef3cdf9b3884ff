package edge

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What says what to do with a response is no trailer (RFC 9110, section 6.5.1),
// neither of what passes nor of what is stored.
func TestAViewerIsSentNoTrailerThatControlsTheResponse(t *testing.T) {
	late := map[string]string{
		"Set-Cookie": "Meridian-Consistency=x; Path=/", "Alt-Svc": `h3="evil.test:443"`, "Location": "/x", "Vary": "*", "Expires": "0", "Age": "7", "Via": "1.1 x",
		"Access-Control-Allow-Origin": "*", "X-Meridian-Edge": "x", "Meridian-Region": "x", "Clear-Site-Data": `"cookies"`, "Cache-Control": "no-store",
	}
	_, o := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Trailer", "X-Sum, Set-Cookie")
		io.WriteString(w, strings.Repeat("x", 5000))
		w.(http.Flusher).Flush()
		for name, value := range late {
			w.Header().Set(http.TrailerPrefix+name, value)
		}
		w.Header().Set("X-Sum", "5000")
		w.Header().Set(http.TrailerPrefix+"Server-Timing", "total;dur=1")
	})
	w := newWorld(t, []*region{named("eu-west-1", 0)}, behaviors(o, Behavior{Path: "*", Origin: "assets"}))
	for name, c := range map[string]*http.Client{"h1": w.h1, "h2": w.h2, "h3": w.h3()} {
		for _, path := range []string{"/" + name, "/" + name} { // from the origin, and from the cache
			req, _ := http.NewRequest("GET", w.url+path, nil)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(resp.Header.Get("Trailer"), "Set-Cookie") {
				t.Errorf("%s announces %q", name, resp.Header["Trailer"])
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			for late := range late {
				if v := resp.Trailer.Get(late); v != "" {
					t.Errorf("%s, %s: the trailer %s: %s", name, resp.Header["Cache-Status"], late, v)
				}
			}
			if resp.Trailer.Get("X-Sum") != "5000" || resp.Trailer.Get("Server-Timing") == "" {
				t.Errorf("%s, %s: what may follow: %v", name, resp.Header["Cache-Status"], resp.Trailer)
			}
		}
	}
}
