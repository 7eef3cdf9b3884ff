package edge

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"meridian"
	"meridian/identity"
)

// capturing returns a region that hands over the headers of what it gets.
func capturing() (*region, <-chan *http.Request) {
	c := make(chan *http.Request, 10)
	return &region{name: "eu-west-1", serve: func(_ http.ResponseWriter, r *http.Request) { c <- r }}, c
}

func TestClientCannotSpeakForANode(t *testing.T) {
	g, saw := capturing()
	w := newWorld(t, []*region{g})
	w.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nmeridian-identity: forged\r\n" +
		"MERIDIAN-Time-Left: 99999999\r\nMeridian_Identity: forged\r\nMeridian-Anything: x\r\nMeridian-Request: mine\r\nX-Keep: yes\r\n" +
		"Proxy-Authorization: Basic eA==\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: gopher\r\nVia: 1.1 before\r\nTE: trailers, deflate\r\n\r\n")
	h := (<-saw).Header
	for _, gone := range []string{"X-Hop", "Keep-Alive", "Connection", "Meridian-Identity", "Meridian_identity", "Meridian_Identity", "Meridian-Anything", "Proxy-Authorization", "User-Agent", "Accept-Encoding"} {
		if v, ok := h[gone]; ok {
			t.Errorf("%s: %q passed", gone, v)
		}
	}
	if h.Get("Meridian-Request") == "mine" || h.Get("Meridian-Time-Left") == "99999999" || len(h["Meridian-Time-Left"]) != 1 {
		t.Errorf("the client's own: request %q, time left %q", h["Meridian-Request"], h["Meridian-Time-Left"])
	}
	for name, want := range map[string]string{
		"X-Keep": "yes", "X-Forwarded-For": "9.9.9.9, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443",
		"Via": "1.1 before|1.1 eu-west-1.meridian", "Te": "trailers",
	} {
		if got := strings.Join(h[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRegionsInternalHeadersStayInside(t *testing.T) {
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Meridian-Secret", "x")
		w.Header().Set("Meridian-Region", "eu-west-1")
		w.Header().Set("Trailer", "Meridian-Late, X-Late")
		w.Write([]byte("body"))
		w.Header().Set("Meridian-Late", "x")
		w.Header().Set("X-Late", "yes")
	}}
	w := newWorld(t, []*region{g})
	got := w.do("GET", "/", "")
	if got.header.Get("Meridian-Secret") != "" || got.header.Get("Meridian-Region") != "eu-west-1" || got.header.Get("Via") != "2.0 eu-west-1.meridian" {
		t.Errorf("header %v", got.header)
	}
	if got.trailer.Get("X-Late") != "yes" || got.trailer.Get("Meridian-Late") != "" {
		t.Errorf("trailer %v", got.trailer)
	}
}

func TestTraceOfTheClientGoesOn(t *testing.T) {
	g, saw := capturing()
	w := newWorld(t, []*region{g})
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w.do("GET", "/", "", "Traceparent", parent)
	if got := (<-saw).Header.Get("Traceparent"); !strings.HasPrefix(got, "00-0af7651916cd43dd8448eb211c80319c-") || !strings.HasSuffix(got, "-01") {
		t.Errorf("traceparent %q does not continue %q", got, parent)
	}
	w.do("GET", "/", "", "Traceparent", "nonsense")
	if got := (<-saw).Header.Get("Traceparent"); len(got) != len(parent) || strings.Contains(got, "0000000000000000") {
		t.Errorf("traceparent %q: want a new one", got)
	}
}

// verifier accepts one bearer token.
type verifier struct{}

func (verifier) Verify(h http.Header) (*identity.Principal, error) {
	switch h.Get("Authorization") {
	case "Bearer good":
		return &identity.Principal{Kind: identity.KindJWT, ID: "ann", Authorizer: "main"}, nil
	case "Bearer bad":
		return nil, meridian.WithKind(meridian.Unauthenticated, http.ErrNoCookie)
	}
	return nil, nil
}

func TestIdentityIsSealedForThisVeryRequest(t *testing.T) {
	key := identity.NewEdgeKey("eu-west-1/edge#1")
	open := identity.NewOpener(nil)
	open.SetKeys([]identity.EdgeKey{key})
	for _, bound := range []bool{false, true} {
		g, saw := capturing()
		w := newWorld(t, []*region{g}, func(c *Config, d *Deps, _ *world) {
			c.BindBody, d.Verify, d.Key = bound, verifier{}, func() identity.EdgeKey { return key }
		})
		w.do("POST", "/a%2Fb?x=%20", "body", "Authorization", "Bearer good")
		r := <-saw
		b := identity.Binding{Method: "POST", Host: domain, Path: "/a%2Fb", Query: "x=%20", RequestID: r.Header.Get("Meridian-Request")}
		if bound {
			b.BodyHash = hashOf("body")
		}
		p, err := open.Open(r.Header.Get("Meridian-Identity"), b)
		if err != nil || p.ID != "ann" || r.Header.Get("Authorization") != "Bearer good" {
			t.Errorf("bound %v: opened %+v, %v", bound, p, err)
		}
		for _, cred := range []string{"Bearer bad", "Token mine"} {
			w.do("GET", "/", "", "Authorization", cred, "Meridian-Identity", r.Header.Get("Meridian-Identity"))
			if r := <-saw; r.Header.Get("Meridian-Identity") != "" || r.Header.Get("Authorization") != cred {
				t.Errorf("%s: identity %q, authorization %q", cred, r.Header.Get("Meridian-Identity"), r.Header.Get("Authorization"))
			}
		}
		w.stop()
	}
}

// FuzzStrip checks what must hold of whatever headers a stranger sends.
func FuzzStrip(f *testing.F) {
	f.Add("X-A\x00Meridian-Identity\x00meridian_request", "close, x-a")
	f.Add("Connection\x00Te", "Connection")
	f.Fuzz(func(t *testing.T, names, connection string) {
		h := http.Header{"Connection": {connection}, "X-Always": {"kept"}}
		for name := range strings.SplitSeq(names, "\x00") {
			h[name] = append(h[name], "v")
			h.Add(name, "v")
		}
		stripHops(h)
		stripInternal(h)
		for name := range h {
			if strings.HasPrefix(strings.ReplaceAll(strings.ToLower(name), "_", "-"), "meridian-") {
				t.Errorf("%q passed", name)
			}
			for _, hop := range hopByHop {
				if name == hop {
					t.Errorf("%q passed", name)
				}
			}
		}
		if h.Get("X-Always") == "" && !strings.Contains(strings.ToLower(connection), "x-always") {
			t.Error("a header that nobody named was removed")
		}
	})
}

// FuzzTarget checks that the bytes of any path and query that net/http takes
// are those that it writes again.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "//a/./b%2F..?x=%zz&a=b+c", "/?", "*", "//" + domain + "//x", "https://a.test//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = raw
		at := targetOf(r)
		if got := at.String(strings.Contains(raw, "?")); strings.HasPrefix(raw, "/") && got != raw {
			t.Errorf("%q became %q", raw, got)
		}
		if strings.HasPrefix(at.path, "/") {
			u := outURL(at.path, domain)
			if got := strings.TrimPrefix(u.RequestURI(), "https://"+domain); got != at.path && u.RequestURI() != at.path {
				t.Errorf("%q is written as %q", at.path, u.RequestURI())
			}
		}
	})
}

// A copy of a request's headers shares no line with them, and what is added to one
// header of it is not written over another.
func TestClonedHeadersAreTheirOwn(t *testing.T) {
	h := http.Header{"A": {"1", "2"}, "B": {"3"}, "C": {}}
	c := cloned(h)
	if !maps.EqualFunc(h, c, slices.Equal) {
		t.Fatalf("%v became %v", h, c)
	}
	for name := range h {
		c[name] = append(c[name], "more")
	}
	c["A"][0] = "changed"
	if !slices.Equal(c["A"], []string{"changed", "2", "more"}) || !slices.Equal(c["B"], []string{"3", "more"}) || h["A"][0] != "1" || len(h["B"]) != 1 {
		t.Errorf("of %v came %v", h, c)
	}
}
