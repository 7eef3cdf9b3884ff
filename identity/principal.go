package identity

import "time"

// The kinds of Principal.
const (
	KindAPIKey = "api-key"
	KindJWT    = "jwt"
)

// A Principal is who asks, as a credential proved it. It is shared between
// requests: nobody may change it.
type Principal struct {
	Kind string `json:"kind"` // KindAPIKey or KindJWT
	ID   string `json:"id"`   // the key's id, or the token's subject
	Name string `json:"name,omitempty"`

	// Of a JWT: the authorizer that accepted it, its claims with numbers as
	// json.Number, the scopes that "scope" or "scp" list, and when it expires.
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
