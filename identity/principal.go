package identity

import "time"

// The kinds of Principal.
const (
	KindAPIKey = "api-key"
	KindJWT    = "jwt"

	// KindCertificate is a client's certificate that an edge's trust store
	// vouches for. Functions read more of it in the header Client-Cert.
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

	// Also is the principal of the request's next credential, where the caller sent
	// several: an API key, a JWT, a certificate, one of each kind at most.
	Also *Principal `json:"also,omitempty"`
}

// Of returns the principal of that kind, of p and all that it is Also, and nil if
// there is none. It may be called on nil.
func (p *Principal) Of(kind string) *Principal {
	for ; p != nil; p = p.Also {
		if p.Kind == kind {
			return p
		}
	}
	return nil
}

// And returns p with another credential's principal behind all others; p itself is
// not changed. It may be called on nil.
func (p *Principal) And(last *Principal) *Principal {
	if p == nil {
		return last
	}
	both := *p
	both.Also = p.Also.And(last)
	return &both
}

// each calls f for p and all that it is Also until f returns an error.
func (p *Principal) each(f func(*Principal) error) error {
	for ; p != nil; p = p.Also {
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}
