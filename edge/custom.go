package edge

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"

	"meridian"
	"meridian/edge/origin"
	"meridian/identity"
)

// customs makes the ways to the origins that are no regions, by name.
func customs(cfgs []origin.CustomConfig) map[string]*origin.Custom {
	out := map[string]*origin.Custom{}
	for _, c := range cfgs {
		out[c.Name] = origin.NewCustom(c, nil)
	}
	return out
}

// checkBehaviors refuses behaviours of which this edge could not make sense.
// The file's own check says more, and where.
func (c Config) checkBehaviors() error {
	known := map[string]bool{"": true}
	for _, o := range c.Origins {
		known[o.Name] = true
	}
	for _, b := range c.Behaviors {
		switch {
		case b.Path == "" || len(b.Path) > 255:
			return fmt.Errorf("edge %q: behavior with the pattern %q: want 1 to 255 bytes", c.Node, b.Path)
		case !known[b.Origin]:
			return fmt.Errorf("edge %q: behavior %s: no origin is named %q", c.Node, b.Path, b.Origin)
		}
	}
	return nil
}

// behave finds the request's behaviour, and the way that it names.
func (x *exchange) behave() {
	x.behavior = x.match()
	if p := x.behavior.Response; p != nil && !x.inner { // the first edge stores what the origin said, too
		x.w.before = func() { p.apply(x.w.Header(), x.r); x.tellTiming(p) }
	}
	x.way = x.origin
	if x.behavior.Origin != "" {
		x.custom = x.customs[x.behavior.Origin]
		x.way = x.custom
	}
	x.policy = x.behavior.sends(x.r.Method, x.custom != nil)
	x.retarget(x.at, strings.Contains(x.r.RequestURI, "?"))
}

// match returns the request's behaviour: by its path, or as another edge says.
func (x *exchange) match() Match {
	if x.inner {
		return MatchApplied(x.behaviors, x.r.Header.Get(headerBehavior), x.at.path)
	}
	return MatchPath(x.behaviors, x.at.path)
}

// estrange takes out of a request's headers what is between nodes alone, and
// gives its id the name that strangers may know.
func (x *exchange) estrange(h http.Header) {
	stripInternal(h)
	h.Set("X-Meridian-Request", x.id)
}

// distrust takes out of a response of an origin that is no region what only
// regions and edges may say: internal headers, the caller's token, the names of
// this edge and request, and where else the viewer should connect.
func distrust(resp *http.Response) {
	distrustHeader(resp.Header)
	stripInternal(resp.Trailer)
	resp.Body = &distrusted{resp.Body, resp}
}

// distrustHeader is distrust for headers, those of an interim response too.
func distrustHeader(h http.Header) {
	stripInternal(h)
	for _, name := range []string{"X-Meridian-Request", "X-Meridian-Edge", headerRollout, "Alt-Svc"} {
		delete(h, name)
	}
	var kept []string
	for _, line := range h["Set-Cookie"] {
		if name, _, _ := strings.Cut(line, "="); strings.TrimSpace(name) != identity.CookieConsistency {
			kept = append(kept, line)
		}
	}
	if h["Set-Cookie"] = kept; len(kept) == 0 {
		delete(h, "Set-Cookie")
	}
}

// A distrusted body takes internal names out of its trailers, too, which come
// when it ends, announced or not.
type distrusted struct {
	io.ReadCloser
	resp *http.Response // whose Trailer may be made only then
}

func (d *distrusted) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	if err == io.EOF {
		stripInternal(d.resp.Trailer)
	}
	return n, err
}

// host returns what the origin is asked for: what the viewer called the API, if
// the policy lets it pass, and else the origin's own name. HTTP/1.0 need not
// say a Host.
func (x *exchange) host() string {
	if x.r.Host == "" || !x.policy.isZero() && !x.policy.header("Host") {
		return x.cfg.Domain
	}
	return x.r.Host
}

// address gives a request its URL and Host.
func (x *exchange) address(req *http.Request) {
	if x.custom == nil {
		req.URL, req.Host = outURL(x.sent.String(x.sentQuery), x.host()), x.host()
		return
	}
	viewer := ""
	if x.policy.header("Host") {
		viewer = x.r.Host
	}
	x.custom.Address(req, x.sent.path, x.sent.query, x.sentQuery, viewer)
	if x.signing != nil {
		c := x.custom.Config()
		x.signing.sign(req, cmp.Or(c.HostHeader, c.URL.Host))
	}
}

// maxTries bounds the attempts for one request. An origin that is no region has
// no second one beside it: the second try is for a connection that had ended.
func (x *exchange) maxTries() int {
	if x.custom != nil {
		return 2
	}
	return x.cfg.Upstream.MaxTries
}

// unanswered is the log's word for an attempt that failed.
func (x *exchange) unanswered() string {
	if x.custom != nil {
		return "an origin did not answer"
	}
	return "a region did not answer"
}

// outside are the answers that byKind words for regions.
var outside = map[meridian.Kind]string{
	meridian.Timeout:     "The origin did not answer in time.",
	meridian.Unavailable: "The origin could not be reached.",
	meridian.Malformed:   "The origin broke off before it answered. The request may have been executed.",
}

// reworded returns an answer to a failure in the words of the origin's kind.
func (x *exchange) reworded(a answer, err error) answer {
	if text, ok := outside[kindOf(err)]; ok && x.custom != nil && a.status == byKind[kindOf(err)].status {
		a.message = text
	}
	return a
}
