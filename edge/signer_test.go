package edge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// verified says what a store makes of a request's signature: the region that it
// is for, or why it does not hold. It is AWS Signature Version 4 written once
// more, from what stands in the request.
func verified(r *http.Request, secret string) string {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "unsigned"
	}
	part := map[string]string{}
	for p := range strings.SplitSeq(auth, ", ") {
		name, value, _ := strings.Cut(p, "=")
		part[name] = value
	}
	scope := strings.Split(part["Credential"], "/") // key, day, region, service, aws4_request
	names := strings.Split(part["SignedHeaders"], ";")
	headers := ""
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers += name + ":" + value + "\n"
	}
	for name := range r.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-amz-") && !slices.Contains(names, low) {
			return low + " is not signed"
		}
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		return err.Error()
	}
	canonical := strings.Join([]string{r.Method, strictly(plain, "/"), canonicalQuery(query), headers, part["SignedHeaders"], r.Header.Get("X-Amz-Content-Sha256")}, "\n")
	digest := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), strings.Join(scope[1:], "/"), hex.EncodeToString(digest[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, step := range append(scope[1:], text) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(step))
		key = m.Sum(nil)
	}
	if hex.EncodeToString(key) != part["Signature"] {
		return "another signature"
	}
	return scope[0] + " in " + scope[2]
}

// strictly escapes all but what RFC 3986 reserves for nothing, and kept.
func strictly(s, kept string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~"+kept, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func canonicalQuery(query string) string {
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, _ = url.QueryUnescape(name)
		value, _ = url.QueryUnescape(value)
		if pair != "" {
			pairs = append(pairs, strictly(name, "")+"="+strictly(value, ""))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// signedBy lets a signer sign for hosts.
func signedBy(s Signer) option {
	return func(c *Config, _ *Deps, _ *world) { c.Lanes.Signers = append(c.Lanes.Signers, s) }
}

func TestRequestsToAStoreAreSignedWhereAFunctionAsks(t *testing.T) {
	s, _ := stranger(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, "%s %s: %s acl=%s payer=%s", r.Method, r.RequestURI, verified(r, "s3cret"), r.Header.Get("X-Amz-Acl"), r.Header.Get("X-Amz-Request-Payer"))
	})
	port, _ := url.Parse(s.URL)
	access := func(config, more string) string {
		return `import cf from 'cloudfront';
			function handler(event) {
				cf.updateRequestOrigin({domainName: 'localhost', customOriginConfig: {port: ` + port.Port() + `, protocol: 'http'}, ` + more + `
					originAccessControlConfig: {enabled: true, signingProtocol: 'sigv4', ` + config + `}});
				return event.request;
			}`
	}
	passing := RequestPolicy{Name: "AllViewer", Headers: all, Cookies: all, Query: all} // Authorization and the viewer's Host, too
	var bs []Behavior
	code := map[string]string{
		"always":  access(`signingBehavior: 'always', originType: 's3', region: 'eu-central-1'`, `customHeaders: {'x-amz-request-payer': 'requester'},`),
		"plain":   access(`signingBehavior: 'always', originType: 's3'`, ""),
		"keep":    access(`signingBehavior: 'no-override', originType: 's3'`, ""),
		"never":   access(`signingBehavior: 'never', originType: 's3'`, ""),
		"service": access(`signingBehavior: 'always', originType: 'lambda'`, ""),
		"other":   access(`signingBehavior: 'always', originType: 's3'`, `hostHeader: 'other.example.test',`),
	}
	for name := range code {
		bs = append(bs, Behavior{Path: "/" + name + "*", Functions: Functions{ViewerRequest: name}, Request: passing})
	}
	w := newWorld(t, []*region{named("eu-west-1", 0)}, running(code, bs...), allowing,
		signedBy(Signer{Hosts: []string{"*.example.com"}, AccessKey: "WRONG", Secret: "x"}), signedBy(Signer{Hosts: []string{"localhost"}, Region: "here-1", AccessKey: "KEY", Secret: "s3cret"}))
	for _, test := range []struct {
		method, target, want string
		header               []string
	}{
		{"GET", "/always/a%20b/%C3%A9+c%2Fd?b=2&a=x%2By&z", "GET /always/a%20b/%C3%A9%2Bc/d?a=x%2By&b=2&z=: KEY in eu-central-1 acl= payer=requester", []string{"X-Amz-Acl", "public-read", "Authorization", "Bearer t"}},
		{"GET", "/plain//x", "GET /plain//x: KEY in here-1 acl= payer=", nil},
		{"POST", "/plain", "POST /plain: unsigned acl= payer=", nil}, // not among the methods
		{"GET", "/keep/1", "GET /keep/1: KEY in here-1 acl= payer=", nil},
		{"GET", "/keep/2", "GET /keep/2: unsigned acl= payer=", []string{"Authorization", "Bearer t"}},
		{"GET", "/never", "GET /never: unsigned acl= payer=", nil},
		{"GET", "/service", "GET /service: unsigned acl= payer=", nil},
		{"GET", "/other", "GET /other: unsigned acl= payer=", nil}, // the credentials are for another name
	} {
		if got := w.do(test.method, test.target, "", test.header...); got.body != test.want {
			t.Errorf("%s %s: %d\n got %s\nwant %s", test.method, test.target, got.status, got.body, test.want)
		}
	}
	w.do("GET", "/service?2", "")
	if n := strings.Count(w.log.String(), "originType lambda"); n != 1 {
		t.Errorf("said %d times that a request goes unsigned:\n%s", n, w.log)
	}
}

func TestTheRegionIsInTheNameOfABucket(t *testing.T) {
	for host, want := range map[string]string{
		"media.s3.eu-west-1.amazonaws.com": "eu-west-1", "s3.eu-west-1.amazonaws.com": "eu-west-1", "a.b.s3.dualstack.ap-south-1.amazonaws.com": "ap-south-1",
		"media.s3.cn-north-1.amazonaws.com.cn": "cn-north-1", "media.s3.amazonaws.com": "", "store.example.test": "", "a.s3.example.test": "",
	} {
		if got := regionIn(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
