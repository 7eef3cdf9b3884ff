package edge

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meridian/edge/limit"
	"meridian/identity"
)

// guarded configures the guard of the whole edge.
func guarded(g Guard, bs ...Behavior) option {
	return func(c *Config, _ *Deps, _ *world) { c.Guard, c.Behaviors = g, bs }
}

func TestAClientThatAsksTooOftenWaits(t *testing.T) {
	slow := limit.Limit{Name: "slow", Requests: 2, Per: time.Hour, By: limit.ByAddress}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, guarded(Guard{}, Behavior{Path: "/login", Guard: Guard{Limits: []limit.Limit{slow}}}))
	for i, want := range []string{
		`200 "slow";q=2;w=3600 "slow";r=1;t=1800 `, `200 "slow";q=2;w=3600 "slow";r=0;t=3600 `, `429 "slow";q=2;w=3600 "slow";r=0;t=3600 1800`,
	} {
		got := w.do("POST", "/login", "")
		h := got.header
		if is := fmt.Sprintf("%d %s %s %s", got.status, h.Get("RateLimit-Policy"), h.Get("RateLimit"), h.Get("Retry-After")); is != want {
			t.Errorf("request %d: %s, want %s", i, is, want)
		}
	}
	// Control: elsewhere nothing is counted, nor said.
	for range 5 {
		if got := w.do("GET", "/", ""); got.status != 200 || got.header.Get("RateLimit") != "" {
			t.Errorf("elsewhere: %d %v", got.status, got.header)
		}
	}
	w.until("logged why", func() bool { return strings.Contains(w.log.String(), `guard="slow: more than 2 in 1h0m0s"`) })
}

// naming verifies everybody as who they say they are.
type naming struct{}

func (naming) Verify(h http.Header) (*identity.Principal, error) {
	if id := h.Get("X-Api-Key"); id != "" {
		return &identity.Principal{Kind: "key", ID: id}, nil
	}
	return nil, nil
}

func TestALimitKnowsItsClients(t *testing.T) {
	e := &Edge{deps: Deps{Verify: naming{}}}
	client := func(by limit.By, remote string, header ...string) string {
		x := &exchange{Edge: e, r: &http.Request{RemoteAddr: remote, Header: http.Header{}}}
		for i := 0; i < len(header); i += 2 {
			x.r.Header.Add(header[i], header[i+1])
		}
		return x.clientOf(&limit.Limit{By: by, Header: "X-Tenant"})
	}
	const one, two = "192.0.2.1:1000", "192.0.2.2:1000"
	for _, tt := range []struct {
		what string
		a, b string
		same bool
	}{
		{"an address", client(limit.ByAddress, one), client(limit.ByAddress, "192.0.2.1:2"), true},
		{"two addresses", client(limit.ByAddress, one), client(limit.ByAddress, two), false},
		{"an address in the form of IPv6", client(limit.ByAddress, one), client(limit.ByAddress, "[::ffff:192.0.2.1]:1"), false}, // listeners unmap
		{"a network of IPv6", client(limit.ByAddress, "[2001:db8::1]:1"), client(limit.ByAddress, "[2001:db8::ffff:1]:1"), true},
		{"two networks of IPv6", client(limit.ByAddress, "[2001:db8::1]:1"), client(limit.ByAddress, "[2001:db8:0:1::1]:1"), false},
		{"an identity", client(limit.ByIdentity, one, "X-Api-Key", "k"), client(limit.ByIdentity, two, "X-Api-Key", "k"), true},
		{"two identities", client(limit.ByIdentity, one, "X-Api-Key", "k"), client(limit.ByIdentity, one, "X-Api-Key", "l"), false},
		{"nobody", client(limit.ByIdentity, one), client(limit.ByAddress, one), true},
		{"a header", client(limit.ByHeader, one, "X-Tenant", "t"), client(limit.ByHeader, two, "X-Tenant", "t"), true},
		{"no header", client(limit.ByHeader, one), client(limit.ByHeader, two), false},
		{"a header that looks like an address", client(limit.ByHeader, two, "X-Tenant", "192.0.2.1"), client(limit.ByHeader, one), false},
	} {
		if (tt.a == tt.b) != tt.same {
			t.Errorf("%s: %q and %q", tt.what, tt.a, tt.b)
		}
	}
}

func TestNetworksThatAreDeniedStayOut(t *testing.T) {
	lo, other := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("198.51.100.0/24")
	w := newWorld(t, []*region{named("eu-west-1", 0)}, guarded(Guard{Deny: []netip.Prefix{other}},
		Behavior{Path: "/denied", Guard: Guard{Allow: []netip.Prefix{lo}, Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}},
		Behavior{Path: "/others", Guard: Guard{Allow: []netip.Prefix{other}}},
		Behavior{Path: "/allowed", Guard: Guard{Allow: []netip.Prefix{other, lo}}}))
	for path, want := range map[string]int{"/denied": 403, "/others": 403, "/allowed": 200, "/": 200} {
		if got := w.do("GET", path, ""); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
	w = newWorld(t, []*region{named("eu-west-1", 0)}, guarded(Guard{Deny: []netip.Prefix{lo}}))
	if got := w.do("GET", "/", ""); got.status != 403 || !strings.HasPrefix(got.body, `{"code":"AccessDenied"`) {
		t.Errorf("a network that no behaviour denies: %d %s", got.status, got.body)
	}
}

// The control is the same edge without the guard.
func TestScannersFindNothing(t *testing.T) {
	for _, on := range []bool{true, false} {
		w := newWorld(t, []*region{named("eu-west-1", 0)}, guarded(Guard{Bots: on}, Behavior{Path: "/legacy/*.php"}))
		for target, want := range map[string]int{
			"/.env": 404, "/a/.git/config": 404, "/%2Eenv.bak": 404, "/wp-login.php": 404, "/x/PHPMyAdmin/": 404, "/cgi-bin/x": 404, "/a%00b": 404, "/index.PHP": 404,
			"/legacy/a.php": 200, "/environment": 200, "/git": 200, "/owasp": 200, "/.well-known/x": 200, "/phpinfo": 200, "/": 200,
		} {
			if !on {
				want = 200
			}
			if text := w.raw("GET " + target + " HTTP/1.1\r\nHost: api.example.test:8443\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(text, fmt.Sprintf("HTTP/1.1 %d ", want)) {
				t.Errorf("on: %t, %s: %.60q, want %d", on, target, text, want)
			}
		}
		for host, want := range map[string]int{"api.example.test": 200, "API.example.test.": 200, "www.api.example.test": 200, "203.0.113.1": 421, "other.test:8443": 421, "notapi.example.test": 421} {
			if !on {
				want = 200
			}
			if text := w.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(text, fmt.Sprintf("HTTP/1.1 %d ", want)) {
				t.Errorf("on: %t, %s: %.60q, want %d", on, host, text, want)
			}
		}
	}
}
