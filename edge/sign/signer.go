package sign

import (
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A Signer grants with one key.
type Signer struct {
	KeyID string
	Key   crypto.Signer
	Hash  string // "" or SHA1, as all of CloudFront knows it; or SHA256
}

// Canned returns a grant by a canned policy for one URL.
func (s Signer) Canned(u string, p Policy) (Grant, error) {
	if strings.ContainsAny(u, "*\"\\") {
		return Grant{}, fmt.Errorf("%s: a canned policy is for one URL, and * would stand for many; expected a custom policy, or %%2A", u)
	}
	expires := strconv.FormatInt(p.Until.Unix(), 10)
	g, err := s.grant([]byte(canned(u, expires)))
	g.Expires = expires
	return g, err
}

// Custom returns a grant by a custom policy.
func (s Signer) Custom(p Policy) (Grant, error) {
	if strings.ContainsFunc(p.Resource, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Grant{}, fmt.Errorf("%q: a resource has the characters of a URL", p.Resource)
	}
	text, err := p.text()
	if err != nil {
		return Grant{}, err
	}
	g, err := s.grant(text)
	g.Policy = encode(text)
	return g, err
}

// text writes a policy as JSON without white space.
func (p Policy) text() ([]byte, error) {
	c := condition{DateLessThan: epochOf(p.Until.Unix())}
	if !p.From.IsZero() {
		c.DateGreaterThan = epochOf(p.From.Unix())
	}
	if p.Client.IsValid() {
		c.IPAddress = &source{p.Client.String()}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // & stands in URLs
	err := e.Encode(document{[]statement{{p.Resource, c}}})
	return []byte(strings.TrimSpace(b.String())), err
}

func epochOf(seconds int64) *epoch { return &epoch{&seconds} }

func (s Signer) grant(text []byte) (g Grant, err error) {
	hash := hashOf(s.Hash)
	h := hash.New()
	h.Write(text)
	sig, err := s.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		return g, fmt.Errorf("sign with the key %s: %w", s.KeyID, err)
	}
	g = Grant{Signature: encode(sig), KeyID: s.KeyID}
	if hash == crypto.SHA256 {
		g.Hash = "SHA256"
	}
	return g, nil
}

// parts lists what a grant is made of, in CloudFront's order.
func (g Grant) parts() (out [][2]string) {
	for _, name := range []string{nameExpires, namePolicy, nameSignature, nameKeyID, nameHash} {
		if v := *g.part(name); v != "" {
			out = append(out, [2]string{name, v})
		}
	}
	return out
}

// Onto returns a URL that bears the grant.
func (g Grant) Onto(u string) string {
	var b strings.Builder
	b.WriteString(u)
	sep := "?"
	if strings.Contains(u, "?") {
		sep = "&"
	}
	for _, p := range g.parts() {
		b.WriteString(sep + p[0] + "=" + p[1])
		sep = "&"
	}
	return b.String()
}

// Cookies returns the names and values of the cookies that bear the grant.
func (g Grant) Cookies() (out [][2]string) {
	for _, p := range g.parts() {
		out = append(out, [2]string{cookiePrefix + p[0], p[1]})
	}
	return out
}

// CheckURL returns the URL as it is to be signed, or what is wrong with it: an
// edge compares bytes, and knows https alone.
func CheckURL(u string) (string, error) {
	parsed, err := url.Parse(u)
	switch {
	case err != nil || parsed.Scheme != "https" || parsed.Host == "":
		return "", fmt.Errorf("%q is no URL of an edge; expected one such as https://api.example.test/private/report.pdf", u)
	case parsed.Fragment != "" || parsed.User != nil:
		return "", errors.New("a URL with a user or a fragment; expected one without: neither is sent to an edge")
	}
	if g, _ := FromQuery(parsed.RawQuery); !g.IsZero() {
		return "", errors.New("a URL with a parameter that a grant has as well; expected one without Expires, Policy, Signature, Key-Pair-Id and Hash-Algorithm")
	}
	_, rest, _ := strings.Cut(u, "://")
	host, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		if host, path = rest[:i], rest[i:]; path[0] == '?' {
			path = "/" + path
		}
	}
	return "https://" + strings.ToLower(strings.TrimSuffix(host, ":443")) + path, nil
}
