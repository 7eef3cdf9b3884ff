package identity

import (
	"errors"
	"strings"

	"meridian"
)

// A refusal is why a JWT is not accepted, in words that may be shown to
// whoever sent it.
type refusal struct{ description string }

func (r *refusal) Error() string { return r.description }

// unauthenticated returns an error of kind Unauthenticated that Description
// can read.
func unauthenticated(description string) error {
	return meridian.WithKind(meridian.Unauthenticated, &refusal{description})
}

// Description returns what the error_description of RFC 6750, section 3.1,
// should say of an error that Verify returned, or "".
func Description(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.description
	}
	return ""
}

// Challenge returns the value of a WWW-Authenticate header for err, as API
// Gateway's HTTP APIs write it: with spaces where RFC 6750 has commas. For an
// error without a description, nil included, the challenge is a bare "Bearer".
func Challenge(err error) string {
	d := Description(err)
	if d == "" {
		return "Bearer"
	}
	return `Bearer scope="" error="invalid_token" error_description="` + quotable(d) + `"`
}

// quotable drops what RFC 6750, section 3, does not allow in
// error_description: all but %x20-21, %x23-5B and %x5D-7E.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
