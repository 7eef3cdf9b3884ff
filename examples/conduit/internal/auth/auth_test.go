package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func tokens(t *testing.T, secret string) *Tokens {
	t.Helper()
	tokens, err := NewTokens(strings.Repeat(secret, 32))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestOnlyOurOwnLivingTokensNameAUser(t *testing.T) {
	ours, others := tokens(t, "a"), tokens(t, "b")
	issue := func(by *Tokens, at time.Time) string {
		token, err := by.Issue(42, at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := issue(ours, time.Now())
	if user, err := ours.User(good); err != nil || user != 42 {
		t.Fatalf("our own token names %d, %v", user, err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.RegisteredClaims{
		Subject: "42", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	endless, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Subject: "42"}).SignedString(ours.secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"another secret": issue(others, time.Now()),
		"expired":        issue(ours, time.Now().Add(-tokenLife-time.Minute)),
		"unsigned":       unsigned,
		"endless":        endless,
		"cut":            good[:len(good)-2],
		"empty":          "",
	} {
		if user, err := ours.User(token); err == nil {
			t.Errorf("%s: names user %d", name, user)
		}
	}
	if _, err := NewTokens("short"); err == nil {
		t.Error("a secret of five bytes is accepted")
	}
}

func TestPasswordsMatchOnlyTheirHash(t *testing.T) {
	p, err := NewPasswords()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("long ", 40)
	hash, err := p.Hash(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		hash, password string
		want           bool
	}{{hash, long, true}, {hash, long + "r", false}, {hash, "", false}, {"", long, false}, {"", "nobody", false}} {
		if got, err := p.Match(t.Context(), test.hash, test.password); got != test.want || err != nil {
			t.Errorf("match of %.10q with hash %.10q: %v, %v", test.password, test.hash, got, err)
		}
	}
}

func TestAHashThatGetsNoTurnEndsWithItsDeadline(t *testing.T) {
	p, err := NewPasswords()
	if err != nil {
		t.Fatal(err)
	}
	for range cap(p.turns) {
		p.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Hash(ctx, "pa55word"); !errors.Is(err, context.Canceled) {
		t.Errorf("hash without a turn: %v", err)
	}
	<-p.turns
	if _, err := p.Hash(t.Context(), "pa55word"); err != nil {
		t.Errorf("hash with a turn: %v", err)
	}
}
