package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	aws "github.com/aws/aws-sdk-go-v2/feature/cloudfront/sign"
)

const page = "https://api.example.test/private/a.pdf?size=large"

var during = time.Unix(1800000000, 0)

// keys are those of testdata, by the names of their files.
func keys(t testing.TB) (Keys, map[string]crypto.Signer) {
	t.Helper()
	public, private := Keys{}, map[string]crypto.Signer{}
	for _, name := range []string{"rsa", "ec"} {
		text, err := os.ReadFile("testdata/keys/" + name + ".pub.pem")
		if err != nil {
			t.Fatal(err)
		}
		if public[name], err = ParsePublicKey(text); err != nil {
			t.Fatal(err)
		}
		if text, err = os.ReadFile("testdata/keys/" + name + ".pem"); err != nil {
			t.Fatal(err)
		}
		if private[name], err = ParsePrivateKey(text); err != nil {
			t.Fatal(err)
		}
	}
	return public, private
}

// asked returns what an edge sees of a request for a signed URL.
func asked(t testing.TB, signed string) (Grant, Request) {
	t.Helper()
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	g, rest := FromQuery(u.RawQuery)
	return g, Request{Host: u.Host, Path: u.EscapedPath(), Query: rest, Client: netip.MustParseAddr("192.0.2.7")}
}

// What openssl signed as CloudFront's guide has it passes, and nothing that is
// one step beside it.
func TestGrantsOfTheGuidePass(t *testing.T) {
	public, _ := keys(t)
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		name := strings.Join(f[:3], " ")
		g, r := asked(t, "https://api.example.test/private/a.pdf?"+f[3])
		if v := Judge(g, public, r, during); !v.Passes || r.Query != "size=large" {
			t.Errorf("%s: %+v of the query %s", name, v, r.Query)
		}
		other := func(what, code string, change func(g *Grant, r *Request, now *time.Time)) {
			g, r, now := g, r, during
			change(&g, &r, &now)
			if v := Judge(g, public, r, now); v.Passes || v.Code != code || v.Why == "" {
				t.Errorf("%s, %s: %+v, want %s", name, what, v, code)
			}
		}
		other("no key", "MissingKey", func(g *Grant, _ *Request, _ *time.Time) { g.KeyID = "" })
		other("another key", "AccessDenied", func(g *Grant, _ *Request, _ *time.Time) { g.KeyID = map[string]string{"rsa": "ec", "ec": "rsa"}[f[1]] })
		other("an unknown key", "InvalidKey", func(g *Grant, _ *Request, _ *time.Time) { g.KeyID = "stranger" })
		other("the end", "AccessDenied", func(_ *Grant, _ *Request, now *time.Time) { *now = time.Unix(1900000000, 0) })
		other("another path", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Path = "/other/a.pdf" })
		other("another host", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Host = "api.example.com" })
		other("a folder up", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Path = "/private/../a.pdf" })
		other("a folder up, hidden", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Path = "/private/%2e%2e/a.pdf" })
		other("another hash", "AccessDenied", func(g *Grant, _ *Request, _ *time.Time) {
			g.Hash = map[string]string{"": "SHA256", "SHA256": "SHA1"}[g.Hash]
		})
		other("an odd hash", "AccessDenied", func(g *Grant, _ *Request, _ *time.Time) { g.Hash = "MD5" })
		other("no signature", "AccessDenied", func(g *Grant, _ *Request, _ *time.Time) { g.Signature = "" })
		other("a torn signature", "MalformedSignature", func(g *Grant, _ *Request, _ *time.Time) { g.Signature = g.Signature[1:] })
		if g.Policy == "" {
			other("a later end", "AccessDenied", func(g *Grant, _ *Request, _ *time.Time) { g.Expires = "1900000001" })
			other("an end that is none", "MissingKey", func(g *Grant, _ *Request, _ *time.Time) { g.Expires = "+1900000000" })
			other("another query", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Query = "size=small" })
			continue
		}
		other("before it begins", "AccessDenied", func(_ *Grant, _ *Request, now *time.Time) { *now = time.Unix(1700000000, 0) })
		other("another address", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Client = netip.MustParseAddr("192.0.3.1") })
		other("no address", "AccessDenied", func(_ *Grant, r *Request, _ *time.Time) { r.Client = netip.Addr{} })
		other("a torn policy", "MalformedPolicy", func(g *Grant, _ *Request, _ *time.Time) { g.Policy = g.Policy[4:] })
	}
}

// What AWS's own library signs passes; what ours signs, its library would have
// signed: the texts are equal.
func TestGrantsOfTheSDKPass(t *testing.T) {
	public, private := keys(t)
	for name, key := range private {
		s := aws.NewURLSigner(name, key)
		until := time.Unix(1900000000, 0)
		signed, err := s.Sign(page, until)
		if err != nil {
			t.Fatal(err)
		}
		g, r := asked(t, signed)
		if v := Judge(g, public, r, during); !v.Passes {
			t.Errorf("%s, canned: %+v", name, v)
		}
		p := &aws.Policy{Statements: []aws.Statement{{
			Resource: "https://api.example.test/private/*?size=*",
			Condition: aws.Condition{
				DateLessThan: aws.NewAWSEpochTime(until), DateGreaterThan: aws.NewAWSEpochTime(time.Unix(1700000000, 0)), IPAddress: &aws.IPAddress{SourceIP: "192.0.2.0/24"},
			},
		}}}
		if signed, err = s.SignWithPolicy(page, p); err != nil {
			t.Fatal(err)
		}
		g, r = asked(t, signed)
		if v := Judge(g, public, r, during); !v.Passes {
			t.Errorf("%s, custom: %+v", name, v)
		}
		ours, err := Signer{KeyID: name, Key: key}.Custom(Policy{
			Resource: "https://api.example.test/private/*?size=*", Until: until, From: time.Unix(1700000000, 0), Client: netip.MustParsePrefix("192.0.2.0/24"),
		})
		if err != nil || ours.Policy != g.Policy {
			t.Errorf("%s: our policy is %s, theirs %s: %v", name, ours.Policy, g.Policy, err)
		}
		old, ok := key.(*rsa.PrivateKey)
		if !ok {
			continue // for cookies the library has no other
		}
		cookies, err := aws.NewCookieSigner(name, old).Sign(page, until)
		if err != nil {
			t.Fatal(err)
		}
		line := "sid=1"
		for _, c := range cookies {
			line += "; " + c.Name + "=" + c.Value
		}
		g, rest := FromCookies([]string{line, "CloudFront-Is=no part; lang=de"})
		if v := Judge(g, public, r, during); !v.Passes || strings.Join(rest, "|") != "sid=1|CloudFront-Is=no part; lang=de" {
			t.Errorf("%s, cookies: %+v, %q left", name, v, rest)
		}
	}
}

func TestOurOwnGrantsPass(t *testing.T) {
	public, private := keys(t)
	for name, key := range private {
		for _, hash := range []string{"", "SHA256"} {
			s := Signer{KeyID: name, Key: key, Hash: hash}
			for _, u := range []string{"https://api.example.test/", "https://api.example.test/a?x=1&y", "https://api.example.test/%2F/a+b?"} {
				u, err := CheckURL(u)
				if err != nil {
					t.Fatal(err)
				}
				g, err := s.Canned(strings.TrimSuffix(u, "?"), Policy{Until: during.Add(time.Second)})
				if err != nil {
					t.Fatal(err)
				}
				got, r := asked(t, g.Onto(strings.TrimSuffix(u, "?")))
				if v := Judge(got, public, r, during); !v.Passes {
					t.Errorf("%s %s %s: %+v", name, hash, u, v)
				}
			}
		}
	}
	if _, err := (Signer{}).Canned("https://api.example.test/*", Policy{}); err == nil {
		t.Error("a canned policy for many URLs")
	}
	for _, u := range []string{"http://a.test/", "/a", "https://a.test/#x", "https://u@a.test/", "https://a.test/?Policy=x", "https://a.test/?x&Key-Pair-I%64=x"} {
		if _, err := CheckURL(u); err == nil {
			t.Errorf("%s is to be signed", u)
		}
	}
	if u, err := CheckURL("https://API.test:443?x=Y"); err != nil || u != "https://api.test/?x=Y" {
		t.Errorf("%s, %v", u, err)
	}
}

// 0.0.0.0/0 is how CloudFront's policies say everybody; ::/0 is IPv6 alone.
func TestTheNetworkOfAPolicyIsWhoItSays(t *testing.T) {
	public, private := keys(t)
	for network, want := range map[string][2]bool{ // an IPv4 client, an IPv6 one
		"0.0.0.0/0": {true, true}, "::/0": {false, true}, "0.0.0.0/1": {false, false}, "192.0.2.0/24": {true, false}, "2001:db8::/32": {false, true}, "::ffff:0:0/96": {false, false},
	} {
		ours, err := Signer{KeyID: "ec", Key: private["ec"]}.Custom(Policy{Resource: "*", Until: during.Add(time.Hour), Client: netip.MustParsePrefix(network)})
		if err != nil {
			t.Fatal(err)
		}
		for i, client := range []string{"192.0.2.7", "2001:db8::7"} {
			r := Request{Host: "api.example.test", Path: "/a", Client: netip.MustParseAddr(client)}
			if v := Judge(ours, public, r, during); v.Passes != want[i] {
				t.Errorf("%s of %s: %+v", client, network, v)
			}
		}
	}
}

// What a policy has that is not understood may be a restriction.
func TestAPolicyThatIsNotUnderstoodLetsNobodyIn(t *testing.T) {
	public, private := keys(t)
	for text, good := range map[string]bool{
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000}}}]}`:                                                                                         true,
		`{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1900000000}}}]}`:                                                                                                        true,
		` {"Statement" : [ {"Resource" : "https://API.example.test/priv*", "Condition" : {"DateLessThan" : {"AWS:EpochTime" : 1900000000}, "IpAddress":{"AWS:SourceIp":"0.0.0.0/0"}} } ] } `: true,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000},"IpAddress":{"AWS:SourceIp":"192.0.2.7"}}}]}`:                                                true,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000},"IpAddress":{"AWS:SourceIp":"nobody"}}}]}`:                                                   false,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000},"Country":{"AWS:Country":"CH"}}}]}`:                                                          false,
		`{"Statement":[{"Resource":"*","Condition":{}}]}`:                                                                                                                                    false,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{}}}]}`:                                                                                                                   false,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":"1900000000"}}}]}`:                                                                                       false,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":99999999999999999}}}]}`:                                                                                  false,
		`{"Statement":[]}`: false,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000}}},{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1}}}]}`: false,
		`{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000}}}]}{}`:                                                                 false,
		`null`: false,
	} {
		g, err := Signer{KeyID: "ec", Key: private["ec"]}.grant([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		g.Policy = encode([]byte(text))
		_, r := asked(t, page)
		if v := Judge(g, public, r, during); v.Passes != good || !good && v.Code != "MalformedPolicy" {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

func TestKeysThatCloudFrontWouldNotTakeAreRefused(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := usable(p384.Public()); err == nil || !strings.Contains(err.Error(), "found ECDSA on P-384; expected P-256") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ParsePublicKey([]byte(text)); err == nil {
			t.Errorf("%q is a public key", text)
		}
		if _, err := ParsePrivateKey([]byte(text)); err == nil {
			t.Errorf("%q is a private key", text)
		}
	}
}

// FuzzJudge wants nothing of a stranger to pass, and what is left of a query and
// of cookies to bear nothing more.
func FuzzJudge(f *testing.F) {
	public, _ := keys(f)
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f.Add(strings.Fields(line)[3], "/private/x", "sid=1; CloudFront-Policy=x")
	}
	f.Add("Policy=eyJTdGF0ZW1lbnQiOltdfQ__&Signature=&Key-Pair-Id=rsa", "/%2e%2e/%", "CloudFront-Expires=1;;=;CloudFront-Key-Pair-Id")
	f.Fuzz(func(t *testing.T, query, path, cookies string) {
		g, rest := FromQuery(query)
		if again, same := FromQuery(rest); !again.IsZero() || same != rest {
			t.Fatalf("%q leaves %q, which bears %+v", query, rest, again)
		}
		c, lines := FromCookies([]string{cookies})
		if again, _ := FromCookies(lines); !again.IsZero() {
			t.Fatalf("%q leaves %q, which bears %+v", cookies, lines, again)
		}
		r := Request{Host: "api.example.test", Path: "/elsewhere" + path, Query: rest}
		for _, g := range []Grant{g, c} {
			if v := Judge(g, public, r, during); v.Passes || v.Code == "" {
				t.Fatalf("%+v passes: %+v", g, v)
			}
		}
	})
}
