// Package auth makes and checks what a user proves an identity with: tokens
// and passwords.
package auth

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenLife is how long a login lasts.
const tokenLife = 30 * 24 * time.Hour

// Tokens signs and verifies the API's JSON Web Tokens (RFC 7519, HS256). All
// functions in all regions share one secret.
type Tokens struct{ secret []byte }

// NewTokens refuses a secret that is too short to be one (RFC 7518, section
// 3.2, asks for the size of the hash).
func NewTokens(secret string) (*Tokens, error) {
	if len(secret) < 32 {
		return nil, fmt.Errorf("JWT_SECRET has %d bytes, and must have at least 32", len(secret))
	}
	return &Tokens{secret: []byte(secret)}, nil
}

// Issue returns a token that names the user from now on.
func (t *Tokens) Issue(user int64, now time.Time) (string, error) {
	claims := jwt.RegisteredClaims{
		Subject:   strconv.FormatInt(user, 10),
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)),
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.secret)
}

// User returns the user whom a valid token names.
func (t *Tokens) User(token string) (int64, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return t.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired())
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseInt(claims.Subject, 10, 64)
	if err != nil || user <= 0 {
		return 0, errors.New("the token names no user")
	}
	return user, nil
}
