package edge

import (
	"crypto/tls"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"meridian/edge/cache"
	"meridian/edge/geo"
)

// viewerPrefix begins the names of the headers by which CloudFront says what it
// knows of a viewer. What a viewer itself says of them is dropped.
const viewerPrefix = "Cloudfront-"

// An inquiry is a request, and where its viewer is.
type inquiry struct {
	*exchange
	place geo.Place
	agent device
}

// viewerHeaders are the headers that an origin may be told, by their canonical
// names, and how each is found. An empty value is not told.
var viewerHeaders = map[string]func(*inquiry) string{
	"Cloudfront-Viewer-Address":             func(q *inquiry) string { return q.r.RemoteAddr },
	"Cloudfront-Viewer-Asn":                 func(q *inquiry) string { return number(uint64(q.place.ASN)) },
	"Cloudfront-Viewer-Country":             func(q *inquiry) string { return q.place.Code() },
	"Cloudfront-Viewer-Country-Name":        func(q *inquiry) string { return q.place.Country.Names.English },
	"Cloudfront-Viewer-Country-Region":      func(q *inquiry) string { return q.subdivision(true) },
	"Cloudfront-Viewer-Country-Region-Name": func(q *inquiry) string { return q.subdivision(false) },
	"Cloudfront-Viewer-City":                func(q *inquiry) string { return q.place.City.Names.English },
	"Cloudfront-Viewer-Postal-Code":         func(q *inquiry) string { return q.place.Postal.Code },
	"Cloudfront-Viewer-Metro-Code":          func(q *inquiry) string { return number(uint64(q.place.Location.Metro)) },
	"Cloudfront-Viewer-Latitude":            func(q *inquiry) string { return degrees(q.place.Location.Latitude) },
	"Cloudfront-Viewer-Longitude":           func(q *inquiry) string { return degrees(q.place.Location.Longitude) },
	"Cloudfront-Viewer-Time-Zone":           func(q *inquiry) string { return q.place.Location.Zone },
	"Cloudfront-Viewer-Http-Version":        func(q *inquiry) string { return strconv.Itoa(q.r.ProtoMajor) + "." + strconv.Itoa(q.r.ProtoMinor) },
	"Cloudfront-Viewer-Tls":                 (*inquiry).handshake,
	"Cloudfront-Viewer-Header-Count":        (*inquiry).headerCount,
	"Cloudfront-Viewer-Ja3-Fingerprint":     func(q *inquiry) string { return helloOf(q.r.Context()).ja3() },
	"Cloudfront-Viewer-Ja4-Fingerprint":     func(q *inquiry) string { return helloOf(q.r.Context()).ja4() },
	"Cloudfront-Forwarded-Proto":            func(*inquiry) string { return "https" },
	"Cloudfront-Is-Android-Viewer":          func(q *inquiry) string { return strconv.FormatBool(q.agent.android) },
	"Cloudfront-Is-Desktop-Viewer":          func(q *inquiry) string { return strconv.FormatBool(q.agent.desktop()) },
	"Cloudfront-Is-Ios-Viewer":              func(q *inquiry) string { return strconv.FormatBool(q.agent.ios) },
	"Cloudfront-Is-Mobile-Viewer":           func(q *inquiry) string { return strconv.FormatBool(q.agent.mobile) },
	"Cloudfront-Is-Smarttv-Viewer":          func(q *inquiry) string { return strconv.FormatBool(q.agent.tv) },
	"Cloudfront-Is-Tablet-Viewer":           func(q *inquiry) string { return strconv.FormatBool(q.agent.tablet) },
}

// ViewerHeaders returns the names of the headers that a behaviour may ask for.
func ViewerHeaders() []string { return slices.Sorted(maps.Keys(viewerHeaders)) }

// told returns the viewer's headers that a behaviour asks for: by its list, by its
// request policy or by its cache's key. Nothing is told unasked.
func (b *Behavior) told() (names []string) {
	lists := [][]string{b.Viewer}
	if b.Request.Headers.Mode == cache.Allow {
		lists = append(lists, b.Request.Headers.Names)
	}
	if b.Cache != nil && b.Cache.Headers.Mode == cache.Allow {
		lists = append(lists, b.Cache.Headers.Names)
	}
	for _, name := range slices.Concat(lists...) {
		name = http.CanonicalHeaderKey(name)
		if viewerHeaders[name] != nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// describe puts what is known of the viewer, and asked for, into the request's
// headers, so that functions and policies see it. What the viewer says of itself
// under these names is not believed.
func (x *exchange) describe() {
	h := x.r.Header
	forged := false
	for name := range h {
		forged = forged || strings.HasPrefix(name, viewerPrefix) && x.reserved(name)
	}
	names := x.behavior.viewer
	if !forged && len(names) == 0 {
		return
	}
	q := inquiry{exchange: x}
	if x.deps.Geo != nil {
		q.place, _ = x.deps.Geo.Find(addressOf(x.r.RemoteAddr))
	}
	q.agent = deviceOf(h.Get("User-Agent"))
	told := h.Clone()
	for name := range told {
		if strings.HasPrefix(name, viewerPrefix) && x.reserved(name) {
			delete(told, name)
		}
	}
	for _, name := range names {
		if v := viewerHeaders[name](&q); v != "" {
			told[name] = []string{v}
		}
	}
	x.r.Header = told
}

// reserved reports whether only the edge may say a header.
func (x *exchange) reserved(name string) bool {
	return viewerHeaders[name] != nil || strings.HasPrefix(name, "Cloudfront-Viewer-") || strings.HasPrefix(name, "Cloudfront-Is-")
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func degrees(d *float64) string {
	if d == nil {
		return ""
	}
	return strconv.FormatFloat(*d, 'f', 5, 64)
}

// subdivision returns the first of a country, which is the largest.
func (q *inquiry) subdivision(code bool) string {
	if len(q.place.Subdivisions) == 0 {
		return ""
	}
	if s := q.place.Subdivisions[0]; code {
		return s.Code
	} else {
		return s.Names.English
	}
}

// handshake says what TLS was agreed on: version, cipher, and whether the session
// was an earlier one's.
func (q *inquiry) handshake() string {
	t := q.r.TLS
	if t == nil {
		return ""
	}
	how := "fullHandshake"
	if t.DidResume {
		how = "sessionResumed"
	}
	return strings.Replace(tls.VersionName(t.Version), " ", "v", 1) + ":" + cipherName(t.CipherSuite) + ":" + how
}

// headerCount counts the lines of the viewer's headers, the Host among them.
func (q *inquiry) headerCount() string {
	n := 0
	if q.r.Host != "" {
		n++
	}
	for _, lines := range q.r.Header {
		n += len(lines)
	}
	return strconv.Itoa(n)
}
