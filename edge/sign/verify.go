package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" // CloudFront's default
	_ "crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"meridian/internal/pathpattern"
)

// Keys are the public keys that a behaviour trusts, by their IDs.
type Keys map[string]crypto.PublicKey

// A Request is what a grant must be for.
type Request struct {
	Host   string // as the viewer wrote it, without the port of https
	Path   string // raw
	Query  string // raw, without the grant
	Client netip.Addr
}

// url returns the URL that a grant's resource is compared with.
func (r Request) url(path string) string {
	u := "https://" + strings.ToLower(strings.TrimSuffix(r.Host, ":443")) + path
	if r.Query != "" {
		u += "?" + r.Query
	}
	return u
}

// A Verdict says whether a request may pass. Code and Message are what
// CloudFront answers, Why is for the log.
type Verdict struct {
	Passes        bool
	Code, Message string
	Why           string
}

func refused(code, message, why string) Verdict { return Verdict{false, code, message, why} }

func denied(why string) Verdict { return refused("AccessDenied", "Access denied", why) }

// Judge decides on a request at some time. What costs least is looked at first:
// a signature that nobody could use is not verified.
func Judge(g Grant, keys Keys, r Request, now time.Time) Verdict {
	if g.KeyID == "" {
		return refused("MissingKey", "Missing Key-Pair-Id query parameter or cookie value", "the request bears no key's ID")
	}
	key, ok := keys[g.KeyID]
	if !ok {
		return refused("InvalidKey", "Unknown Key", "the behaviour does not trust the key that is named")
	}
	if g.Hash != "" && g.Hash != "SHA1" && g.Hash != "SHA256" {
		return denied("the hash is neither SHA1 nor SHA256")
	}
	text, p, v := policyOf(g, r)
	if v.Code != "" {
		return v
	}
	if why := p.refuses(r, now); why != "" {
		return denied(why)
	}
	sig, err := decode(g.Signature)
	if err != nil {
		return refused("MalformedSignature", "Could not unencode Signature", "the signature is no base64")
	}
	if !valid(key, hashOf(g.Hash), text, sig) {
		return denied("the signature is not of this policy and key")
	}
	return Verdict{Passes: true, Why: "granted by " + g.KeyID}
}

// policyOf returns the text that is signed and what it means, or a verdict with
// a code. Where both stand, the custom policy counts.
func policyOf(g Grant, r Request) (text []byte, p Policy, v Verdict) {
	if g.Policy == "" {
		until, err := seconds(g.Expires)
		if err != nil {
			return nil, p, refused("MissingKey", "Missing Expires or Policy query parameter or cookie value", "the request bears no policy")
		}
		return []byte(canned(r.url(r.Path), g.Expires)), Policy{Until: until}, v
	}
	text, err := decode(g.Policy)
	if err != nil {
		return nil, p, refused("MalformedPolicy", "Malformed Policy", "the policy is no base64")
	}
	if p, err = parse(text); err != nil {
		return nil, p, refused("MalformedPolicy", "Malformed Policy", fmt.Sprintf("the policy: %v", err))
	}
	return text, p, v
}

// everybody is the network by which CloudFront's policies mean whoever asks, over
// IPv6 as well. ::/0 says no more than it does: all of IPv6.
var everybody = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// refuses returns why a policy is not for a request, or "". The Resource of a
// canned policy is the request's own URL, and empty here.
func (p Policy) refuses(r Request, now time.Time) string {
	switch {
	case !now.Before(p.Until):
		return "the grant has expired"
	case !p.From.IsZero() && !now.After(p.From):
		return "the grant has not begun"
	case p.Client.IsValid() && p.Client != everybody && !p.Client.Contains(r.Client.Unmap()):
		return "the grant is another address's"
	case p.Resource != "" && !p.covers(r):
		return "the grant is for other URLs"
	}
	return ""
}

// covers reports whether the resource matches the request's URL, as it is
// written and as an origin may read it: /public/../private is not below /public.
func (p Policy) covers(r Request) bool {
	if !matches(p.Resource, r.url(r.Path)) {
		return false
	}
	path := pathpattern.Normalize(r.Path)
	return path == r.Path || matches(p.Resource, r.url(path))
}

// matches is pathpattern.Match for URLs; schemes and hosts have no case.
func matches(pattern, url string) bool {
	if scheme, rest, ok := strings.Cut(pattern, "://"); ok {
		host, path, slash := strings.Cut(rest, "/")
		if pattern = strings.ToLower(scheme) + "://" + strings.ToLower(host); slash {
			pattern += "/" + path
		}
	}
	return pathpattern.Match("/"+pattern, "/"+url)
}

func hashOf(name string) crypto.Hash {
	if name == "SHA256" {
		return crypto.SHA256
	}
	return crypto.SHA1
}

func valid(key crypto.PublicKey, hash crypto.Hash, text, sig []byte) bool {
	h := hash.New()
	h.Write(text)
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, hash, h.Sum(nil), sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, h.Sum(nil), sig)
	}
	return false
}
