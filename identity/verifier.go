package identity

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Config is what a Verifier is made of.
type Config struct {
	JWTs []JWT
	// Now tells the time. Nil means time.Now.
	Now func() time.Time
	// CacheSize bounds how many verified tokens are remembered. Zero means 8192.
	CacheSize int
}

// A Verifier verifies callers' credentials. Its methods may be called by many
// goroutines at once.
type Verifier struct {
	byIssuer map[string]*JWT
	now      func() time.Time
	keys     atomic.Pointer[KeyRing]
	seen     *cache
}

// NewVerifier returns a Verifier that knows the authorizers of c and, until
// SetKeys, no API key. Two authorizers of one issuer are an error: which of
// them a token is for would be a guess.
func NewVerifier(c Config) (*Verifier, error) {
	v := &Verifier{byIssuer: map[string]*JWT{}, now: c.Now, seen: newCache(c.CacheSize)}
	if v.now == nil {
		v.now = time.Now
	}
	for i := range c.JWTs {
		j := &c.JWTs[i]
		if err := j.check(); err != nil {
			return nil, fmt.Errorf("authorizer %q: %w", j.Name, err)
		}
		if other, ok := v.byIssuer[j.Issuer]; ok {
			return nil, fmt.Errorf("authorizers %q and %q have the same issuer %q: make them one with both audiences", other.Name, j.Name, j.Issuer)
		}
		v.byIssuer[j.Issuer] = j
	}
	return v, nil
}

// SetKeys replaces the API keys.
func (v *Verifier) SetKeys(r *KeyRing) { v.keys.Store(r) }

// Verify returns who sent a request with this header.
//
// It returns nil and no error if the request has no credential that is ours:
// none at all, or an Authorization of another scheme, no JWT, or a JWT of an
// issuer that no authorizer names. Those belong to the application.
//
// The error has kind Forbidden for an unknown or revoked API key, and
// Unauthenticated for a bad JWT; Challenge says what to answer then.
func (v *Verifier) Verify(h http.Header) (*Principal, error) {
	key, err := v.verifyKey(h)
	if err != nil {
		return nil, err
	}
	token, err := v.verifyToken(h)
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		return token, nil
	case token == nil:
		return key, nil
	}
	both := *token
	both.Also = key
	return &both, nil
}

// verifyKey looks at the first x-api-key alone, as the region will.
func (v *Verifier) verifyKey(h http.Header) (*Principal, error) {
	secret := h.Get(HeaderAPIKey)
	if secret == "" {
		return nil, nil
	}
	return v.keys.Load().verify(secret)
}

// verifyToken verifies a token of RFC 6750, section 2.1, or a bare one, which
// API Gateway takes too.
func (v *Verifier) verifyToken(h http.Header) (*Principal, error) {
	token := strings.TrimSpace(h.Get("Authorization"))
	if scheme, rest, ok := strings.Cut(token, " "); ok {
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, nil
		}
		token = strings.TrimSpace(rest)
	}
	j, ok := v.byIssuer[issuer(token)]
	if !ok {
		return nil, nil
	}
	now := v.now()
	if p := v.seen.get(token, now); p != nil {
		return p, nil
	}
	p, err := j.verify(token, now)
	if err != nil {
		return nil, err
	}
	v.seen.put(token, p)
	return p, nil
}
