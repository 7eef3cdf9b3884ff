package edge

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"meridian"
	"meridian/edge/function"
	"meridian/edge/origin"
	"meridian/identity"
)

// Lanes bounds the origins that functions name as they run.
type Lanes struct {
	// Allow are networks that a function may send requests to though they are no
	// public ones. Configured origins need not be in them.
	Allow   []netip.Prefix
	Signers []Signer       // of requests to stores; the first that is for a host
	Max     int            // kept at once, with their connections; 0 means 100
	Roots   *x509.CertPool // whom their certificates must come from; nil means the system's
}

func (l Lanes) same(o Lanes) bool {
	return slices.Equal(l.Allow, o.Allow) && slices.EqualFunc(l.Signers, o.Signers, Signer.same) && l.Max == o.Max && (l.Roots == nil) == (o.Roots == nil) && (l.Roots == nil || l.Roots.Equal(o.Roots))
}

// lanes are the origins that functions named, by all that was said of them.
type lanes struct {
	cfg Lanes

	mu   sync.Mutex // guards what follows
	kept map[string]*origin.Custom
	used map[string]time.Time
	told map[string]bool // functions whose requests went unsigned
}

// dynamicName is what logs and metrics call every origin that a function named:
// names that functions make are no closed set.
const dynamicName = "function"

// get returns the way to an origin that a function named; named says that the file
// names its host as well. The one that was used the longest ago makes room.
func (l *lanes) get(cfg origin.CustomConfig, named bool, now time.Time) *origin.Custom {
	key := fmt.Sprintf("%s|%s|%v|%v|%v|%p|%v", cfg.URL, cfg.HostHeader, cfg.Headers, cfg.ConnectTimeout, cfg.ResponseTimeout, cfg.Roots, named)
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.kept[key]; c != nil {
		l.used[key] = now
		return c
	}
	if l.kept == nil {
		l.kept, l.used = map[string]*origin.Custom{}, map[string]time.Time{}
	}
	if len(l.kept) >= cmp.Or(l.cfg.Max, 100) {
		oldest := ""
		for k, at := range l.used {
			if oldest == "" || at.Before(l.used[oldest]) {
				oldest = k
			}
		}
		l.kept[oldest].Close()
		delete(l.kept, oldest)
		delete(l.used, oldest)
	}
	dial := l.dial
	if named {
		dial = nil
	}
	c := origin.NewCustom(cfg, dial)
	l.kept[key], l.used[key] = c, now
	return c
}

func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.kept {
		c.Close()
	}
}

// dial connects to public addresses, and to those that the operator allows: a
// name that a function makes of what a viewer sent must not lead into the
// network that the edge stands in.
func (l *lanes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ok, why := mayDial(at.Addr(), l.cfg.Allow); !ok {
			return errors.New(why)
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// notPublic are networks beside those that netip knows which are not the public
// Internet (RFC 6890 and its registries).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

// mayDial reports whether a function may send a request to an address, and why
// not.
func mayDial(a netip.Addr, allow []netip.Prefix) (bool, string) {
	a = a.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case slices.ContainsFunc(allow, in):
		return true, "the file allows it"
	case a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || slices.ContainsFunc(notPublic, in):
		return false, fmt.Sprintf("%s is no public address; dynamicOrigins.allow names those that functions may use", a)
	}
	return true, "it is public"
}

// A pinned way is one region, as a function chose it.
type pinned struct {
	*origin.Origin
	region meridian.Region
}

// Choose implements origin.Way. A second try is for a connection that had ended.
func (p pinned) Choose(tried []meridian.Region) origin.Choice {
	if len(tried) > 1 {
		return origin.Choice{Cause: origin.NoRegion, Why: fmt.Sprintf("a function chose %s, which does not answer", p.region)}
	}
	return origin.Choice{Region: p.region, Cause: origin.Named, Why: "a function chose it"}
}

// take makes the request go where a function said first.
func (x *exchange) take(r *function.Route) error {
	x.route = r
	return x.turn(r.To[0])
}

// turn makes the request go to a target.
func (x *exchange) turn(t function.Target) error {
	x.signing = nil
	switch region, known := x.regionOf(t); {
	case known:
		x.custom, x.way = nil, pinned{x.origin, region}
	default:
		cfg, err := x.target(t)
		if err != nil {
			return err
		}
		x.custom = x.lanes.get(cfg, x.names(cfg.URL), x.deps.Now())
		x.way = x.custom
		if t.Origin != nil {
			x.signs(cfg, t.Origin.Sign)
		}
	}
	if c := x.customs[t.Name]; c != nil && t.Origin == nil {
		x.custom, x.way = c, c
	}
	x.policy = x.behavior.sends(x.r.Method, x.custom != nil)
	x.sent.query = x.policy.query(x.at.query)
	return nil
}

// signs lets requests to the origin be signed, as a function wants it. That they
// are not is said once a function.
func (x *exchange) signs(cfg origin.CustomConfig, want *function.Signing) {
	why := ""
	if x.signing, why = x.lanes.signing(cfg, x.r.Method, want); why == "" {
		return
	}
	f := x.behavior.Functions
	if name := f.ViewerRequest + " " + f.OriginRequest; x.lanes.tells(name) {
		x.deps.Log.Warn("an edge function wants requests signed for an origin: they go unsigned", "function", strings.TrimSpace(name), "host", cfg.URL.Hostname(), "why", why)
	}
}

// tells reports whether nothing was said of a function's requests yet.
func (l *lanes) tells(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told[name] {
		return false
	}
	if l.told == nil {
		l.told = map[string]bool{}
	}
	l.told[name] = true
	return true
}

// regionOf returns the region that a target means: by its name, or as the zone
// calls it, REGION.origin.DOMAIN.
func (x *exchange) regionOf(t function.Target) (meridian.Region, bool) {
	name := t.Name
	if o := t.Origin; name == "" && o != nil {
		label, ok := strings.CutSuffix(o.Domain, ".origin."+x.cfg.Domain)
		if !ok {
			return "", false
		}
		name = label
	}
	r, ok := x.deps.Map.Now().Region(meridian.Region(name))
	return r.Name, ok
}

// target returns the origin that a target means: what it says, over what the
// origin that it names, or the behaviour's, is configured to be.
func (x *exchange) target(t function.Target) (origin.CustomConfig, error) {
	cfg := origin.CustomConfig{URL: &url.URL{Scheme: "https"}, Roots: x.lanes.cfg.Roots}
	base := x.customs[cmp.Or(t.Name, x.behavior.Origin)]
	switch {
	case base != nil:
		cfg = base.Config()
	case t.Name != "":
		return cfg, fmt.Errorf("no origin and no region is named %q", t.Name)
	case t.Origin == nil || t.Origin.Domain == "":
		return cfg, errors.New("the behaviour's origin is the regions, of which nothing can be changed: expected a domainName")
	}
	cfg.Name = dynamicName
	if o := t.Origin; o != nil {
		overlay(&cfg, o)
	}
	if strings.EqualFold(cfg.URL.Hostname(), x.cfg.Domain) {
		return cfg, fmt.Errorf("%s is the API's own name: a request would come back to an edge, again and again", x.cfg.Domain)
	}
	return cfg, nil
}

// names reports whether the file has an origin of this host and port. A function
// that says another path, timeout or header of it needs no leave to go there.
func (x *exchange) names(u *url.URL) bool {
	for _, c := range x.customs {
		if of := c.Config().URL; strings.EqualFold(of.Hostname(), u.Hostname()) && portOf(of) == portOf(u) {
			return true
		}
	}
	return false
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// overlay writes what a function said over an origin's configuration.
func overlay(cfg *origin.CustomConfig, o *function.Origin) {
	u := *cfg.URL
	if o.Domain != "" {
		u.Host, cfg.HostHeader = o.Domain, ""
		if port := cfg.URL.Port(); port != "" {
			u.Host = net.JoinHostPort(o.Domain, port)
		}
	}
	if o.Protocol != "" && o.Protocol != u.Scheme {
		u.Scheme, u.Host = o.Protocol, u.Hostname()
	}
	if o.Port != 0 {
		u.Host = net.JoinHostPort(u.Hostname(), fmt.Sprint(o.Port))
	}
	if o.Bare {
		u.Path, u.RawPath = "", ""
	}
	if o.Path != "" {
		if plain, err := url.PathUnescape(o.Path); err == nil {
			u.Path, u.RawPath = plain, o.Path
		}
	}
	cfg.URL = &u
	cfg.HostHeader = cmp.Or(o.Host, cfg.HostHeader)
	cfg.ResponseTimeout = cmp.Or(o.ReadTimeout, cfg.ResponseTimeout)
	cfg.ConnectTimeout = cmp.Or(o.ConnectTimeout, cfg.ConnectTimeout)
	if o.Headers != nil {
		cfg.Headers = o.Headers
	}
}

// sendOn sends the request to the origin, and where a function made a group of
// two and the first fails, to the second. CloudFront does so for what is safe.
func (x *exchange) sendOn() (*http.Response, error) {
	resp, err := x.send()
	if x.route == nil || len(x.route.To) < 2 || !origin.Safe(x.r.Method) || x.body != nil || x.r.Context().Err() != nil {
		return resp, err
	}
	if err == nil && !slices.Contains(x.route.Codes, resp.StatusCode) {
		return resp, nil
	}
	why := "no answer"
	if err == nil {
		why = fmt.Sprint(resp.StatusCode)
		resp.Body.Close()
	}
	x.deps.Log.Info("an origin of a group failed", "request", x.id, "of", x.choice.Region, "why", why)
	if err := x.turn(x.route.To[1]); err != nil {
		return nil, fmt.Errorf("%w: %w", errFunction, err)
	}
	x.remake()
	return x.send()
}

// remake makes the headers that were made for one origin fit for another: what
// that one may not see goes.
func (x *exchange) remake() {
	h := x.header.Clone()
	stripInternal(h)
	x.policy.filter(h)
	if x.custom != nil {
		x.estrange(h)
	} else {
		h.Set(identity.HeaderRequest, x.id)
		x.floor(h)
	}
	x.header = h
}

// routed tells the cache whose answer is asked for, where a function chose.
func (x *exchange) routed() string {
	switch {
	case x.route == nil:
		return ""
	case x.custom != nil:
		c, signed := x.custom.Config(), ""
		if x.signing != nil {
			signed = " signed " + x.signing.region
		}
		return c.URL.String() + " " + c.HostHeader + signed
	}
	return fmt.Sprint(x.way.Choose(nil).Region)
}
