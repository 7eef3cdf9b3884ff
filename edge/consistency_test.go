package edge

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
	"meridian/identity"
)

func hashOf(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:] }

// echoing returns a region that answers each request with the token that the
// request asks for in X-Token, and tells the floor that it was sent.
func echoing() (*region, <-chan string) {
	c := make(chan string, 10)
	return &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		c <- r.Header.Get(identity.HeaderConsistency) + cookieLine(r)
		if t := r.Header.Get("X-Token"); t != "" {
			w.Header().Set(identity.HeaderConsistency, t)
			w.Header().Set("Access-Control-Allow-Origin", "*")
		}
	}}, c
}

func cookieLine(r *http.Request) string {
	if c := r.Header.Get("Cookie"); c != "" {
		return " cookie " + c
	}
	return ""
}

func TestTokensOfHeaderCookieAndMemoryAreMerged(t *testing.T) {
	g, floor := echoing()
	w := newWorld(t, []*region{g})
	check := func(what, want string) {
		t.Helper()
		if got := <-floor; got != want {
			t.Errorf("%s: the region was sent %q, want %q", what, got, want)
		}
	}
	got := w.do("POST", "/", "", "X-Token", "db:1:1:30")
	check("first", "")
	if c := got.header["Set-Cookie"]; len(c) != 1 || c[0] != "Meridian-Consistency=db:1:1:30; Path=/; Secure; HttpOnly; SameSite=Lax" {
		t.Errorf("cookie %q", c)
	}
	if got.header.Get("Meridian-Consistency") != "db:1:1:30" || got.header.Get("Access-Control-Expose-Headers") != "Meridian-Consistency" {
		t.Errorf("header %v", got.header)
	}
	w.do("GET", "/", "", "Meridian-Consistency", "db:1:1:20", "Cookie", "a=b; Meridian-Consistency=db:1:1:30|other:2:1:5; c=d;e")
	check("header and cookie", "db:1:1:30,other:2:1:5 cookie a=b; c=d; e")

	got = w.do("GET", "/", "", "Meridian-Consistency", "db:1:1:30", "X-Token", "db:1:1:30")
	check("nothing new", "db:1:1:30")
	if len(got.header["Set-Cookie"]) != 0 || got.header.Get("Meridian-Consistency") != "" {
		t.Errorf("the client was told what it said: %v", got.header)
	}

	w.do("POST", "/", "", "X-Token", "db:1:1:40", "Authorization", "Token ann")
	check("ann writes, from the address that wrote before", "db:1:1:30")
	w.do("GET", "/", "", "Authorization", "Token ann")
	check("ann without a cookie", "db:1:1:40")
	w.do("GET", "/", "", "Authorization", "Token bob")
	check("bob, at ann's address", "db:1:1:40")
	w.do("GET", "/", "", "Authorization", "Token ann", "Meridian-Consistency", "db:1:1:50,nonsense,,x:y")
	check("ann with a newer one, and nonsense", "db:1:1:50")
	got = w.do("GET", "/", "", "X-Token", "db:1:2:1,other:2:1:6", "Meridian-Consistency", "other:2:1:5")
	check("two databases", "other:2:1:5")
	if c := got.header.Get("Set-Cookie"); !strings.HasPrefix(c, "Meridian-Consistency=other:2:1:6|db:1:2:1;") {
		t.Errorf("cookie %q", c)
	}
}

// With its memory and the client's tokens ignored, the edge sends no floor: the
// negative control of guarantee 1.
func TestIgnoredTokensGoNowhere(t *testing.T) {
	g, floor := echoing()
	w := newWorld(t, []*region{g}, func(c *Config, _ *Deps, _ *world) { c.IgnoreConsistency = true })
	for range 2 {
		got := w.do("GET", "/", "", "Authorization", "Token ann", "Meridian-Consistency", "db:1:1:20", "X-Token", "db:1:1:40")
		if f := <-floor; f != "" || got.header.Get("Meridian-Consistency") != "" || len(got.header["Set-Cookie"]) != 0 {
			t.Errorf("floor %q, header %v", f, got.header)
		}
	}
}

func TestMemoryOfCallersIsBoundedInSizeAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := recall{size: 2, ttl: time.Minute}
		who := func(b byte) caller { return caller{b} }
		ts := meridian.Tokens{{Database: "db", System: 1, Timeline: 1, LSN: 9}}
		for b := byte(1); b <= 3; b++ {
			m.add(who(b), ts, time.Now())
		}
		m.add(caller{}, ts, time.Now())
		if m.get(who(1), time.Now()) != nil || m.get(who(2), time.Now()) == nil || m.get(caller{}, time.Now()) != nil || len(m.by) != 2 {
			t.Errorf("%d callers are remembered", len(m.by))
		}
		time.Sleep(time.Minute + 1)
		if m.get(who(2), time.Now()) != nil || len(m.by) != 1 {
			t.Error("a caller is remembered for too long")
		}
	})
}

func TestCallersAreNotTakenForEachOther(t *testing.T) {
	seen := map[caller]string{}
	for name, c := range map[string]caller{
		"ann":          callerOf(&identity.Principal{Kind: "jwt", ID: "ann"}, nil),
		"ann's key":    callerOf(&identity.Principal{Kind: "api-key", ID: "ann"}, nil),
		"elsewhere":    callerOf(&identity.Principal{Kind: "jwt", ID: "ann", Authorizer: "other"}, nil),
		"token":        callerOf(nil, http.Header{"Authorization": {"ann"}}),
		"key":          callerOf(nil, http.Header{"X-Api-Key": {"ann"}}),
		"both":         callerOf(nil, http.Header{"Authorization": {"ann"}, "X-Api-Key": {"ann"}}),
		"two":          callerOf(nil, http.Header{"Authorization": {"ann", "ann"}}),
		"nobody known": callerOf(nil, http.Header{"X-Other": {"ann"}}),
	} {
		if other, ok := seen[c]; ok {
			t.Errorf("%s is taken for %s", name, other)
		}
		seen[c] = name
	}
	if seen[caller{}] != "nobody known" {
		t.Error("a caller without a credential is somebody")
	}
}

// TestEitherCarrierCanBeSwitchedOff asks with tokens in both; the control is the
// edge that takes and gives both.
func TestEitherCarrierCanBeSwitchedOff(t *testing.T) {
	for _, tt := range []struct {
		by             meridian.Carriers
		floor          string
		cookie, header bool
	}{
		{meridian.Carriers{}, "db:1:1:20,other:2:1:5", true, true},
		{meridian.Carriers{NoCookie: true}, "db:1:1:20", false, true},
		{meridian.Carriers{NoHeader: true}, "other:2:1:5", true, false},
	} {
		h := http.Header{"Meridian-Consistency": {"db:1:1:20"}, "Cookie": {"Meridian-Consistency=other:2:1:5"}}
		if got := clientTokens(h, tt.by, nil); got.String() != tt.floor {
			t.Errorf("%+v: heard %q, want %q", tt.by, got, tt.floor)
		}
		if len(h["Cookie"]) != 0 {
			t.Errorf("%+v: the region sees the cookie", tt.by)
		}
		out := http.Header{"Access-Control-Allow-Origin": {"*"}}
		tell(out, meridian.Tokens{{Database: "db", System: 1, Timeline: 1, LSN: 0x30}}, tt.by)
		if (len(out["Set-Cookie"]) > 0) != tt.cookie || (out.Get("Meridian-Consistency") != "") != tt.header || (out.Get("Access-Control-Expose-Headers") != "") != tt.header {
			t.Errorf("%+v: told %v", tt.by, out)
		}
	}
}

// FuzzClientTokens checks that no header makes the edge forget a token that
// stands beside it, or leaves the cookie in what the region sees.
func FuzzClientTokens(f *testing.F) {
	f.Add("db:1:1:1", "a=b; Meridian-Consistency=db:1:1:2")
	f.Add("db:2:1:1,x:1:1:1", `Meridian-Consistency="db:1:1:2|y:1:1:1"; ;=;`)
	f.Fuzz(func(t *testing.T, header, cookie string) {
		h := http.Header{"Meridian-Consistency": {"good:1:1:5", header}, "Cookie": {cookie, "k=v"}}
		ts := clientTokens(h, meridian.Carriers{}, nil)
		if len(ts) > maxTokens {
			t.Errorf("%d tokens", len(ts))
		}
		if good := ts.Of("good"); good.IsZero() || good.System == 1 && good.Timeline == 1 && good.LSN < 5 {
			t.Errorf("the good token became %q", ts)
		}
		back, err := meridian.ParseTokens(ts.String())
		if err != nil || back.String() != ts.String() {
			t.Errorf("%q reads back as %q: %v", ts, back, err)
		}
		for _, line := range h["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if name, _, _ := strings.Cut(strings.TrimSpace(pair), "="); name == identity.CookieConsistency {
					t.Errorf("the cookie passed: %q", line)
				}
			}
		}
		if c := h["Cookie"]; len(c) == 0 || c[len(c)-1] != "k=v" {
			t.Errorf("the other cookie is lost: %q", c)
		}
	})
}

// TestForgedTokensDoNotHideTheCallersOwn: a cookie that a sibling domain wrote
// stands beside the caller's. Control: without keys the forged one wins.
func TestForgedTokensDoNotHideTheCallersOwn(t *testing.T) {
	keys := meridian.TokenKeys{{ID: "00000001", Secret: []byte("secret")}}
	genuine := keys.Seal(meridian.Token{Database: "db", System: 1, Timeline: 1, LSN: 5})
	for _, tt := range []struct {
		keys meridian.TokenKeys
		want string
	}{{keys, genuine.String()}, {nil, "db:1:9:ffff"}} {
		h := http.Header{"Meridian-Consistency": {genuine.String()}, "Cookie": {"Meridian-Consistency=db:1:9:ffff"}}
		if got := clientTokens(h, meridian.Carriers{}, tt.keys).String(); got != tt.want {
			t.Errorf("%d keys: %q, want %q", len(tt.keys), got, tt.want)
		}
	}
}

// TestAnAddressNamesNoWrite: who shares an address waits for the other's write,
// and does not hear of its loss. The caller itself, who is known by a credential,
// does, though another of its devices has read since.
func TestAnAddressNamesNoWrite(t *testing.T) {
	g, floor := echoing()
	w := newWorld(t, []*region{g})
	w.do("POST", "/", "", "X-Token", "db:1:1:30:28:0a", "Authorization", "Token ann")
	<-floor
	for _, tt := range []struct{ who, credential, token, want string }{
		{"ann", "Token ann", "db:1:1:20", "db:1:1:30:28:0a"},
		{"ann, who has read something newer", "Token ann", "db:1:1:40", "db:1:1:40:28:0a"},
		{"ann, on a later timeline", "Token ann", "db:1:2:10", "db:1:2:10"},
		{"bob, at ann's address", "Token bob", "", "db:1:1:30"},
	} {
		extra := []string{"Authorization", tt.credential}
		if tt.token != "" {
			extra = append(extra, "Meridian-Consistency", tt.token)
		}
		w.do("GET", "/", "", extra...)
		if got := <-floor; got != tt.want {
			t.Errorf("%s: the region was sent %q, want %q", tt.who, got, tt.want)
		}
	}
	keys := meridian.TokenKeys{{ID: "00000001", Secret: []byte("secret")}}
	named := keys.Seal(meridian.Token{Database: "db", System: 1, Timeline: 1, LSN: 5, Handle: "0a", Wrote: 4})
	if got := nameless(meridian.Tokens{named}, keys)[0]; keys.Check(got) != nil || got.Handle != "" || got.LSN != 5 {
		t.Errorf("without its name the token is %s", got)
	}
}
