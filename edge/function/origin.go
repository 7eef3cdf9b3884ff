package function

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// A Route is what a function said of the origin.
type Route struct {
	To    []Target // in their order; the next is asked where the one before fails
	Codes []int    // statuses that count as a failure, beside no answer
}

// A Target is one origin that a function said.
type Target struct {
	Name   string  // of a configured origin or region; "" if Origin is new
	Origin *Origin // what is said of it, or nil for the origin as it is configured
}

// An Origin is what a function says of an origin. A zero field is inherited.
type Origin struct {
	Domain   string
	Port     int
	Protocol string // http or https
	Path     string // a prefix of all paths
	Bare     bool   // no prefix, though the configured origin has one
	Host     string // header
	Headers  http.Header

	ReadTimeout, ConnectTimeout time.Duration

	Sign *Signing // nil if requests go as they are
}

// A Signing is what a function says of signing requests: CloudFront's origin
// access control.
type Signing struct {
	Type     string // of the origin, such as s3
	Behavior string // always or no-override
	Region   string // "" if it says none
}

// origins adds the helpers that change the origin.
func (v *vm) origins(o *goja.Object) {
	o.Set("updateRequestOrigin", func(c goja.FunctionCall) goja.Value {
		v.changing()
		to := v.originOf(c.Argument(0))
		v.route = &Route{To: []Target{{Origin: to}}}
		return goja.Undefined()
	})
	o.Set("selectRequestOriginById", func(c goja.FunctionCall) goja.Value {
		v.changing()
		t := Target{Name: v.wantText(c.Argument(0), "originId")}
		if _, ok := c.Argument(1).(*goja.Object); ok {
			t.Origin = v.originOf(c.Argument(1))
		}
		v.route = &Route{To: []Target{t}}
		return goja.Undefined()
	})
	o.Set("createRequestOriginGroup", func(c goja.FunctionCall) goja.Value {
		v.changing()
		v.route = v.groupOf(c.Argument(0))
		return goja.Undefined()
	})
}

// changing refuses the helpers where there is no origin to change any more.
func (v *vm) changing() {
	if v.in != nil && v.in.Type != ViewerRequest {
		v.throw("the origin can be changed in viewer-request functions only")
	}
}

func (v *vm) wantText(x goja.Value, what string) string {
	if !isText(x) || x.String() == "" {
		v.fail("%s: expected a text", what)
	}
	return x.String()
}

// groupOf reads createRequestOriginGroup's argument.
func (v *vm) groupOf(x goja.Value) *Route {
	o, ok := x.(*goja.Object)
	if !ok {
		v.fail("createRequestOriginGroup: expected an object")
	}
	list, ok := o.Get("originIds").(*goja.Object)
	if !ok {
		v.fail("createRequestOriginGroup: originIds is missing")
	}
	ids := []goja.Value{list.Get("0"), list.Get("1")}
	if v.length(list) != 2 {
		v.fail("createRequestOriginGroup: originIds: expected two, such as {originId: 'a'}")
	}
	r := &Route{}
	for _, id := range ids {
		r.To = append(r.To, v.memberOf(id))
	}
	f, ok := o.Get("failoverCriteria").(*goja.Object)
	if ok {
		codes, _ := f.Get("statusCodes").(*goja.Object)
		for i := range min(v.length(codes), 20) {
			r.Codes = append(r.Codes, int(codes.Get(v.rt.ToValue(i).String()).ToInteger()))
		}
	}
	for _, code := range r.Codes {
		if !strings.Contains(" 400 403 404 416 429 500 502 503 504 ", " "+v.rt.ToValue(code).String()+" ") {
			v.fail("createRequestOriginGroup: statusCodes: %d is none of 400, 403, 404, 416, 429, 500, 502, 503, 504", code)
		}
	}
	if len(r.Codes) == 0 {
		v.fail("createRequestOriginGroup: failoverCriteria.statusCodes: expected a list of statuses")
	}
	return r
}

// memberOf reads one of a group: an id, or an object that has one.
func (v *vm) memberOf(x goja.Value) Target {
	o, ok := x.(*goja.Object)
	if !ok {
		return Target{Name: v.wantText(x, "originId")}
	}
	t := Target{Name: v.wantText(o.Get("originId"), "originId")}
	if over, ok := o.Get("originOverrides").(*goja.Object); ok {
		t.Origin = v.originOf(over)
	}
	return t
}

// originOf reads updateRequestOrigin's argument.
func (v *vm) originOf(x goja.Value) *Origin {
	o, ok := x.(*goja.Object)
	if !ok {
		v.fail("updateRequestOrigin: expected an object")
	}
	out := &Origin{}
	if given(o, "domainName") {
		out.Domain = v.domain(o.Get("domainName"))
	}
	if given(o, "hostHeader") {
		out.Host = v.domain(o.Get("hostHeader"))
	}
	if given(o, "originPath") {
		out.Path = v.originPath(o.Get("originPath").String())
		out.Bare = out.Path == ""
	}
	if h, ok := o.Get("customHeaders").(*goja.Object); ok {
		out.Headers = v.originHeaders(h)
	}
	if given(o, "connectionAttempts") {
		v.between(o.Get("connectionAttempts"), "connectionAttempts", 1, 3)
	}
	if t, ok := o.Get("timeouts").(*goja.Object); ok {
		out.ReadTimeout = v.seconds(t, "readTimeout", 120)
		out.ConnectTimeout = v.seconds(t, "connectionTimeout", 10)
		v.seconds(t, "keepAliveTimeout", 120)
	}
	if c, ok := o.Get("customOriginConfig").(*goja.Object); ok {
		v.customOrigin(c, out)
	}
	if a, ok := o.Get("originAccessControlConfig").(*goja.Object); ok && given(a, "enabled") && a.Get("enabled").ToBoolean() {
		out.Sign = v.accessControl(a)
	}
	return out
}

// accessControl reads what a function says of signing.
func (v *vm) accessControl(a *goja.Object) *Signing {
	v.oneOf(a, "signingBehavior", "always", "never", "no-override")
	v.oneOf(a, "signingProtocol", "sigv4")
	v.oneOf(a, "originType", "s3", "mediastore", "mediapackagev2", "lambda")
	s := &Signing{Type: a.Get("originType").String(), Behavior: a.Get("signingBehavior").String()}
	if s.Behavior == "never" {
		return nil
	}
	if given(a, "region") {
		s.Region = a.Get("region").String()
	}
	return s
}

func (v *vm) oneOf(o *goja.Object, what string, known ...string) {
	if !given(o, what) || !slices.Contains(known, o.Get(what).String()) {
		v.fail("originAccessControlConfig.%s: expected %s", what, strings.Join(known, ", "))
	}
}

func (v *vm) customOrigin(c *goja.Object, out *Origin) {
	if given(c, "port") {
		out.Port = int(v.between(c.Get("port"), "port", 1, 65535))
	}
	if given(c, "protocol") {
		switch out.Protocol = c.Get("protocol").String(); out.Protocol {
		case "http", "https":
		default:
			v.fail("customOriginConfig.protocol is %q; expected http or https", oneLine(out.Protocol))
		}
	}
}

// domain reads the name of a host, which is not an address and has no port.
func (v *vm) domain(x goja.Value) string {
	name := strings.TrimSuffix(strings.ToLower(x.String()), ".")
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || !isHost(name) {
		v.fail("%q: expected the name of a host, without a port", oneLine(x.String()))
	}
	return name
}

// isHost reports whether s is a name in the DNS's letters (RFC 1123, section 2.1).
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

func (v *vm) originPath(p string) string {
	if p == "" {
		return ""
	}
	if len(p) > 255 || p[0] != '/' || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "?#") {
		v.fail("originPath is %q; expected a path that begins with / and does not end with it", oneLine(p))
	}
	return escaped(p, "")
}

func (v *vm) originHeaders(o *goja.Object) http.Header {
	h := http.Header{}
	for _, name := range o.Keys() {
		value := o.Get(name).String()
		canonical := http.CanonicalHeaderKey(name)
		if err := mayChange(canonical, []string{value}, OriginRequest); err != nil || canonical == "Host" || canonical == "Cookie" || len(h) >= 30 {
			v.fail("customHeaders: %s may not be set", oneLine(name))
		}
		h.Set(canonical, value)
	}
	return h
}

func (v *vm) between(x goja.Value, what string, low, high int64) int64 {
	n := x.ToInteger()
	if float64(n) != x.ToFloat() || n < low || n > high {
		v.fail("%s is %s; expected a number from %d to %d", what, oneLine(x.String()), low, high)
	}
	return n
}

func (v *vm) seconds(o *goja.Object, what string, most int64) time.Duration {
	if !given(o, what) {
		return 0
	}
	return time.Duration(v.between(o.Get(what), what, 1, most)) * time.Second
}
