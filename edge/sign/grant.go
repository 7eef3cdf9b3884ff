package sign

import (
	"net/url"
	"strings"
)

// A Grant is what a request bears, as it came.
type Grant struct {
	Expires   string // of a canned policy, Unix time in seconds
	Policy    string // a custom policy, in base64
	Signature string
	KeyID     string
	Hash      string // "" is SHA1
}

// maxGrant bounds the bytes of one part of a grant: a policy is a few hundred.
const maxGrant = 8 << 10

// The names of a grant's parts in a query. In cookies the prefix comes first.
const (
	nameExpires   = "Expires"
	namePolicy    = "Policy"
	nameSignature = "Signature"
	nameKeyID     = "Key-Pair-Id"
	nameHash      = "Hash-Algorithm"
	cookiePrefix  = "CloudFront-"
)

// part returns where the part of that name stands, nil if there is none.
func (g *Grant) part(name string) *string {
	switch name {
	case nameExpires:
		return &g.Expires
	case namePolicy:
		return &g.Policy
	case nameSignature:
		return &g.Signature
	case nameKeyID:
		return &g.KeyID
	case nameHash:
		return &g.Hash
	}
	return nil
}

// put sets a part. The first of a name counts, so that nobody who appends to a
// URL changes what it bears.
func (g *Grant) put(name, value string) bool {
	p := g.part(name)
	if p != nil && *p == "" {
		*p = value
	}
	return p != nil
}

// FromQuery takes the grant out of a raw query, and returns what is left, byte
// for byte. Names are compared decoded, as an origin would read them.
func FromQuery(query string) (g Grant, rest string) {
	if !strings.Contains(query, "=") {
		return g, query
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !g.put(plain(name), plain(value)) {
			kept = append(kept, pair)
		}
	}
	return g, strings.Join(kept, "&")
}

func plain(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if p, err := url.QueryUnescape(s); err == nil {
		return p
	}
	return s
}

// FromCookies takes the grant out of Cookie lines, and returns what is left of
// them.
func FromCookies(lines []string) (g Grant, rest []string) {
	for _, line := range lines {
		var kept []string
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			name, value, _ := strings.Cut(pair, "=")
			name, ours := strings.CutPrefix(name, cookiePrefix)
			if pair != "" && !(ours && g.put(name, value)) {
				kept = append(kept, pair)
			}
		}
		if len(kept) > 0 {
			rest = append(rest, strings.Join(kept, "; "))
		}
	}
	return g, rest
}

// IsZero reports whether the request bears nothing.
func (g Grant) IsZero() bool { return g == Grant{} }
