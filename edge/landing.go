package edge

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"meridian"
	"meridian/edge/cache"
	"meridian/topology"
)

//go:embed landing.html
var landingHTML string

var landingPage = template.Must(template.New("landing").Parse(landingHTML))

// A page is what GET / says where the API has no route for it.
type page struct {
	Domain  string          `json:"domain"`
	About   string          `json:"about"`
	Edge    meridian.Region `json:"edge"`
	Nearest meridian.Region `json:"region"`
	Why     string          `json:"why"`
	Regions []pageRegion    `json:"regions"`
	Edges   []pageEdge      `json:"edges"`
	Try     []pageTry       `json:"try"`
}

type pageRegion struct {
	Name    meridian.Region `json:"name"`
	Primary bool            `json:"primary"`
	Healthy bool            `json:"healthy"`
	Drained bool            `json:"drained"`
	Why     string          `json:"why,omitempty"`
	RTT     float64         `json:"ms_from_this_edge"` // -1 if unknown
}

type pageEdge struct {
	Name    meridian.Region `json:"name"`
	Healthy bool            `json:"healthy"`
	HTTPS   string          `json:"https"`
}

type pageTry struct {
	What string `json:"what"`
	Curl string `json:"curl"`
}

// notFound is how a gateway says that no route matches, as API Gateway does.
const notFound = "Not Found"

// wantsLanding reports whether the response is the gateway's word that the API
// has no route for /. A 404 that a function made is the API's own, and passes.
func (x *exchange) wantsLanding(resp *cache.Response) bool {
	if x.custom != nil || resp.Status != http.StatusNotFound || x.at.path != "/" || x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return false
	}
	if x.r.Method == http.MethodHead {
		return true
	}
	if resp.ContentLength < 0 || resp.ContentLength > 1024 {
		return false
	}
	kept := &body{src: resp.Body, max: 1024, keep: 1024}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{kept.reader(), resp.Body}
	var said struct{ Message string }
	err := json.NewDecoder(kept.reader()).Decode(&said)
	return err == nil && said.Message == notFound
}

// land answers with the page: HTML to browsers, JSON to everybody else.
func (x *exchange) land() {
	p := x.page()
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	var text strings.Builder
	if strings.Contains(x.r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		if err := landingPage.Execute(&text, p); err != nil {
			x.fail(err)
			return
		}
	} else {
		h.Set("Content-Type", "application/json")
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		_ = enc.Encode(p) // strings and numbers: cannot fail
	}
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write([]byte(text.String())) // a client that left needs no answer
	}
}

// page draws the world as this edge knows it now.
func (x *exchange) page() page {
	snap := x.deps.Map.Now()
	about := x.cfg.Landing.About
	if about == "" {
		about = "An HTTP API that runs in several regions behind one name, by Meridian. The edge that you reached sends each request to the fastest healthy region."
	}
	p := page{Domain: x.cfg.Domain, About: about, Edge: x.cfg.Place, Nearest: x.choice.Region, Why: x.choice.Why, Regions: []pageRegion{}, Edges: []pageEdge{}, Try: []pageTry{}}
	for _, r := range snap.Regions {
		p.Regions = append(p.Regions, x.region(snap, r))
	}
	slices.SortStableFunc(p.Regions, func(a, b pageRegion) int { return compareMs(a.RTT, b.RTT) })
	for _, d := range snap.Edges {
		p.Edges = append(p.Edges, pageEdge{d.Name, d.Healthy, d.HTTPS.String()})
	}
	for _, t := range x.cfg.Landing.Try {
		p.Try = append(p.Try, pageTry{t.What, x.curl(t)})
	}
	return p
}

func (x *exchange) region(snap *topology.Snapshot, r topology.Region) pageRegion {
	rtt, known := snap.RTT(x.cfg.Place, r.Name)
	if x.deps.RTT != nil {
		if d, ok := x.deps.RTT(r.Name); ok {
			rtt, known = d, true
		}
	}
	ms := -1.0
	if known {
		ms = float64(rtt.Microseconds()/100) / 10
	}
	return pageRegion{r.Name, r.Primary, r.Healthy, r.Drained, r.Why, ms}
}

// compareMs orders milliseconds, unknown ones last.
func compareMs(a, b float64) int {
	switch {
	case a < 0 && b < 0 || a == b:
		return 0
	case a < 0 || b >= 0 && a > b:
		return 1
	}
	return -1
}

// curl writes a request as a line to paste: with the very host and port that
// the client used, which worked.
func (x *exchange) curl(t Try) string {
	var b strings.Builder
	b.WriteString(cmp.Or(x.cfg.Landing.Curl, "curl"))
	if t.Method != "" && t.Method != http.MethodGet {
		b.WriteString(" -X " + t.Method)
	}
	if t.Body != "" {
		b.WriteString(" -H 'Content-Type: application/json' -d " + quote(t.Body))
	}
	b.WriteString(" " + quote("https://"+x.host()+t.Path))
	return b.String()
}

// quote makes s one word for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
