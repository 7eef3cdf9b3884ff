package cache

import (
	"strconv"
	"strings"
	"time"
)

// An Outcome is how a request was answered, for logs and metrics.
type Outcome string

// The outcomes.
const (
	Hit         Outcome = "hit"         // from what was stored, and fresh
	Stale       Outcome = "stale"       // from what was stored, and stale
	Revalidated Outcome = "revalidated" // from what was stored, and the origin said still holds
	Collapsed   Outcome = "collapsed"   // from what another request was fetching
	Miss        Outcome = "miss"        // from the origin
	Bypass      Outcome = "bypass"      // from the origin, and nothing was looked for
	Refused     Outcome = "refused"     // nothing was stored, and nothing else wanted
)

// A note is what Cache-Status says of one request (RFC 9211).
type note struct {
	name      string
	hit       bool
	fwd       string
	fwdStatus int
	stored    bool
	collapsed bool
	ttl       time.Duration
	hasTTL    bool
	detail    string
}

// String writes the member that this cache adds to Cache-Status.
func (n note) String() string {
	var b strings.Builder
	b.Grow(64)
	b.WriteString(n.name)
	if n.hit {
		b.WriteString("; hit")
	}
	if n.fwd != "" {
		b.WriteString("; fwd=" + n.fwd)
	}
	if n.fwdStatus != 0 {
		b.WriteString("; fwd-status=" + strconv.Itoa(n.fwdStatus))
	}
	if n.hasTTL {
		s := int64(n.ttl / time.Second)
		if n.ttl%time.Second < 0 { // no staleness is rounded to none
			s--
		}
		b.WriteString("; ttl=" + strconv.FormatInt(s, 10))
	}
	if n.stored {
		b.WriteString("; stored")
	}
	if n.collapsed {
		b.WriteString("; collapsed")
	}
	if n.detail != "" {
		b.WriteString("; detail=" + item(n.detail))
	}
	return b.String()
}

// item writes s as a token if it can be one, and else as a string (RFC 9651,
// sections 3.3.3 and 3.3.4).
func item(s string) string {
	if isToken(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			b.WriteByte('?')
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alpha := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alpha && c != '*' && (i == 0 || !('0' <= c && c <= '9') && !strings.ContainsRune("!#$%&'+-.^_`|~:/", rune(c))) {
			return false
		}
	}
	return s != ""
}
