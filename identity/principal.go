package identity

import "time"

// The kinds of Principal.
const (
	KindAPIKey = "api-key"
	KindJWT    = "jwt"

	// KindCertificate is a client's certificate that an edge's trust store
	// vouches for. No authorizer asks for it: functions read the header Client-Cert.
	KindCertificate = "certificate"
)

// A Principal is who asks, as a credential proved it. It is shared between
// requests: nobody may change it.
type Principal struct {
	Kind string `json:"kind"` // KindAPIKey, KindJWT or KindCertificate
	ID   string `json:"id"`   // the key's id, the token's subject, or the SHA-256 of the certificate, hexadecimal
	Name string `json:"name,omitempty"`

	// Of a JWT: the authorizer that accepted it, its claims with numbers as
	// json.Number, the scopes that "scope" or "scp" list, and when it expires (of a
	// certificate too).
	Authorizer string         `json:"authorizer,omitempty"`
	Claims     map[string]any `json:"claims,omitempty"`
	Scopes     []string       `json:"scopes,omitempty"`
	Expires    time.Time      `json:"expires,omitzero"`

	// Also is the principal of the request's other credential, where the
	// caller sent both an API key and a JWT. It has no Also of its own.
	Also *Principal `json:"also,omitempty"`
}

// Of returns the principal of that kind, be it p or p.Also, and nil if there is
// none. It may be called on nil.
func (p *Principal) Of(kind string) *Principal {
	switch {
	case p == nil:
		return nil
	case p.Kind == kind:
		return p
	case p.Also != nil && p.Also.Kind == kind:
		return p.Also
	}
	return nil
}

// each calls f for p and p.Also until f returns an error.
func (p *Principal) each(f func(*Principal) error) error {
	if err := f(p); err != nil || p.Also == nil {
		return err
	}
	return f(p.Also)
}
