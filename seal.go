package meridian

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A TokenKey seals consistency tokens, so that a token says only what a region
// of this world has said.
type TokenKey struct {
	ID     string // eight hexadecimal digits, not all zero
	Secret []byte
}

// TokenKeys are the keys of one world: the first seals, and what any of them
// has sealed is genuine. Without keys tokens are neither sealed nor looked at.
type TokenKeys []TokenKey

const (
	keyIDSize = 8
	sealSize  = keyIDSize + 32 // hexadecimal digits: the key's id and 128 bits of HMAC-SHA-256
)

// ErrSeal is that of a token whose seal no key of the world has made.
var ErrSeal = errors.New("its seal is not genuine")

// seal returns what the key makes of a token.
func (k TokenKey) seal(t Token) string {
	mac := hmac.New(sha256.New, k.Secret)
	mac.Write([]byte("meridian consistency token\x00" + t.Bare().String()))
	return k.ID + hex.EncodeToString(mac.Sum(nil))[:sealSize-keyIDSize]
}

// Seal returns t with the seal of the first key.
func (ks TokenKeys) Seal(t Token) Token {
	if t = t.Bare(); len(ks) > 0 && !t.IsZero() {
		t.Seal = ks[0].seal(t)
	}
	return t
}

// SealAll returns all of ts with the seal of the first key.
func (ks TokenKeys) SealAll(ts Tokens) Tokens {
	out := make(Tokens, len(ts))
	for i, t := range ts {
		out[i] = ks.Seal(t)
	}
	return out
}

// Check returns an error that is ErrSeal unless a key has sealed t.
func (ks TokenKeys) Check(t Token) error {
	for _, k := range ks {
		if len(t.Seal) == sealSize && t.Seal[:keyIDSize] == k.ID && hmac.Equal([]byte(k.seal(t)), []byte(t.Seal)) {
			return nil
		}
	}
	if len(ks) == 0 {
		return nil
	}
	return fmt.Errorf("consistency token %.80q: %w", t, ErrSeal)
}

// Open reads what Tokens.String writes: of the genuine tokens the newest for
// each database, with their seals. It reports the first that it did not take. A
// token that is not genuine never stands in the way of one that is.
func (ks TokenKeys) Open(s string) (ts Tokens, err error) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		t, e := ParseToken(part)
		if e == nil {
			e = ks.Check(t)
		}
		if e != nil {
			if err == nil {
				err = e
			}
			continue
		}
		ts, _ = ts.Advance(t)
	}
	return ts, err
}
