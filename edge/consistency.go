package edge

import (
	"container/list"
	"crypto/sha256"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"meridian"
	"meridian/identity"
)

// maxTokens bounds how many databases one caller's tokens may speak of, so that
// a stranger cannot make the edge carry much.
const maxTokens = 16

// clientTokens returns what a client's header and cookie say, the newest of
// each database, and takes the cookie out of h. Text that is no token, and a
// token that no region gave, say nothing.
func clientTokens(h http.Header, by meridian.Carriers, keys meridian.TokenKeys) (ts meridian.Tokens) {
	if !by.NoHeader {
		for _, line := range h[identity.HeaderConsistency] {
			ts = mergeText(ts, line, keys)
		}
	}
	if lines, ok := h["Cookie"]; ok {
		var rest []string
		for _, line := range lines {
			line, held := cutCookie(line, ts, keys)
			if !by.NoCookie {
				ts = held
			}
			if line != "" {
				rest = append(rest, line)
			}
		}
		if h["Cookie"] = rest; len(rest) == 0 {
			delete(h, "Cookie")
		}
	}
	return ts
}

// cutCookie takes the consistency cookie out of a Cookie header's line and adds
// what it says to ts. A line without it stays as it is, byte for byte.
func cutCookie(line string, ts meridian.Tokens, keys meridian.TokenKeys) (string, meridian.Tokens) {
	if !strings.Contains(line, identity.CookieConsistency) {
		return line, ts
	}
	var rest []string
	for pair := range strings.SplitSeq(line, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name != identity.CookieConsistency {
			rest = append(rest, pair)
			continue
		}
		ts = mergeText(ts, strings.ReplaceAll(strings.Trim(value, `"`), cookieSeparator, ","), keys)
	}
	return strings.TrimSpace(strings.Join(rest, ";")), ts
}

// cookieSeparator stands between the tokens in a cookie, where RFC 6265,
// section 4.1.1, allows no comma.
const cookieSeparator = "|"

func mergeText(ts meridian.Tokens, text string, keys meridian.TokenKeys) meridian.Tokens {
	more, _ := keys.Open(text) // what it cannot read says nothing
	ts, _ = merge(ts, more)
	return ts
}

// merge returns ts with all of more that is newer, and whether any was.
func merge(ts, more meridian.Tokens) (_ meridian.Tokens, advanced bool) {
	for _, t := range more {
		if len(ts) >= maxTokens && ts.Of(t.Database).IsZero() {
			continue
		}
		next, ok := ts.Advance(t)
		ts, advanced = next, advanced || ok
	}
	return ts, advanced
}

// mergeOwn is merge for tokens of one caller: where the newer of two does not name
// the caller's last write, and the older does, the result names it as well.
func mergeOwn(ts, more meridian.Tokens, keys meridian.TokenKeys) meridian.Tokens {
	old := ts
	merged, _ := merge(ts, more)
	ts = append(meridian.Tokens(nil), merged...)
	for i, t := range ts {
		for _, u := range []meridian.Token{old.Of(t.Database), more.Of(t.Database)} {
			if j := t.Join(u); u.System == t.System && j != t.Bare() {
				ts[i] = keys.Seal(j)
			}
		}
	}
	return ts
}

// tell lets the client keep its tokens: in its cookie, and in a header that
// scripts of other origins may read too.
func tell(h http.Header, ts meridian.Tokens, by meridian.Carriers) {
	text := ts.String()
	if !by.NoCookie {
		h.Add("Set-Cookie", identity.CookieConsistency+"="+strings.ReplaceAll(text, ",", cookieSeparator)+"; Path=/; Secure; HttpOnly; SameSite=Lax")
	}
	if by.NoHeader {
		return
	}
	h.Set(identity.HeaderConsistency, text)
	if h.Get("Access-Control-Allow-Origin") != "" && !hasToken(h, "Access-Control-Expose-Headers", identity.HeaderConsistency) {
		h.Add("Access-Control-Expose-Headers", identity.HeaderConsistency)
	}
}

// A caller is one whom the edge would know again. The zero caller is nobody.
type caller [sha256.Size]byte

// callerOf returns who asks: whom the edge verified, or else whoever has these
// credentials, which are the application's to judge.
func callerOf(p *identity.Principal, h http.Header) (c caller) {
	sum := sha256.New()
	write := func(parts ...string) {
		for _, s := range parts {
			sum.Write([]byte(s))
			sum.Write([]byte{0})
		}
	}
	switch {
	case p != nil && p.ID != "":
		write("principal", p.Kind, p.Authorizer, p.ID)
	case len(h["Authorization"])+len(h[identity.HeaderAPIKey]) > 0:
		write("credential")
		write(h["Authorization"]...)
		write("key")
		write(h[identity.HeaderAPIKey]...)
	default:
		return c
	}
	sum.Sum(c[:0])
	return c
}

// neighbour returns who asks where nothing else says it: whoever has this
// address. Several callers may share one; they then wait for each other's
// writes, a little longer than they must and never shorter.
func neighbour(remoteAddr string) caller {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return caller{}
	}
	return sha256.Sum256([]byte("address\x00" + host))
}

// A recall remembers the tokens of callers, so that those who keep neither
// cookies nor headers read their own writes at this edge. It forgets the one
// that was silent longest when it is full. The zero recall remembers nobody.
type recall struct {
	size int
	ttl  time.Duration

	mu    sync.Mutex // guards what follows
	by    map[caller]*list.Element
	order list.List // of *entry, the latest first
}

type entry struct {
	who     caller
	tokens  meridian.Tokens
	expires time.Time
}

// get returns a caller's tokens.
func (m *recall) get(who caller, now time.Time) meridian.Tokens {
	m.mu.Lock()
	defer m.mu.Unlock()
	el, ok := m.by[who]
	if !ok {
		return nil
	}
	e := el.Value.(*entry)
	if now.After(e.expires) {
		m.drop(el)
		return nil
	}
	m.order.MoveToFront(el)
	return e.tokens
}

// add notes what a region answered a caller.
func (m *recall) add(who caller, ts meridian.Tokens, now time.Time) {
	if who == (caller{}) || len(ts) == 0 || m.size == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	el, ok := m.by[who]
	if !ok {
		if m.by == nil {
			m.by = map[caller]*list.Element{}
		}
		el = m.order.PushFront(&entry{who: who})
		m.by[who] = el
	}
	e := el.Value.(*entry)
	if now.After(e.expires) {
		e.tokens = nil
	}
	e.tokens, _ = merge(e.tokens, ts)
	e.expires = now.Add(m.ttl)
	m.order.MoveToFront(el)
	if m.order.Len() > m.size {
		m.drop(m.order.Back())
	}
}

func (m *recall) drop(el *list.Element) {
	m.order.Remove(el)
	delete(m.by, el.Value.(*entry).who)
}
