package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"meridian"
)

// A Hash is the SHA-256 of an API key's secret. As text it is hexadecimal.
type Hash [sha256.Size]byte

// MarshalText writes h in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return fmt.Errorf("hash of an API key: want %d hexadecimal digits, found %d", hex.EncodedLen(len(h)), len(text))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("hash of an API key: %w", err)
	}
	return nil
}

// An APIKey is what Meridian remembers of an API key. The secret is not in it.
type APIKey struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Hash    Hash      `json:"hash"`
	Created time.Time `json:"created"`
	Revoked bool      `json:"revoked"`
}

// The lengths of what NewAPIKey makes, in characters. A secret of 40 carries
// 238 bits; API Gateway allows 20 to 128.
const (
	secretLength = 40
	idLength     = 10
)

// NewAPIKey makes a key and its secret: 40 letters and digits, to be shown to
// its owner this once.
func NewAPIKey(name string) (APIKey, string) {
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	secret := random(secretLength, digits+lower+upper)
	return APIKey{
		ID:      random(idLength, digits+lower),
		Name:    name,
		Hash:    sha256.Sum256([]byte(secret)),
		Created: time.Now().UTC().Truncate(time.Second),
	}, secret
}

// random returns n characters of alphabet, each equally likely: bytes that
// would favour the alphabet's start are thrown away.
func random(n int, alphabet string) string {
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	for buf := make([]byte, 2*n); len(out) < n; {
		rand.Read(buf) // never fails: it crashes the program instead
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// A KeyRing is a set of API keys. It never changes, and nil is an empty one.
// Keys that were revoked stay in it: a key that is missing may only not have
// arrived yet.
type KeyRing struct {
	byHash  map[Hash]APIKey
	revoked map[string]bool // by id
}

// NewKeyRing returns the set of keys.
func NewKeyRing(keys []APIKey) *KeyRing {
	r := &KeyRing{byHash: make(map[Hash]APIKey, len(keys)), revoked: map[string]bool{}}
	for _, k := range keys {
		r.byHash[k.Hash] = k
		if k.Revoked {
			r.revoked[k.ID] = true
		}
	}
	return r
}

// Revoked reports whether the key of that id was revoked.
func (r *KeyRing) Revoked(id string) bool { return r != nil && r.revoked[id] }

// verify returns whose secret it is. It compares hashes and never the secret:
// how long the look-up takes says nothing of a preimage of SHA-256.
func (r *KeyRing) verify(secret string) (*Principal, error) {
	var k APIKey
	var ok bool
	if r != nil {
		k, ok = r.byHash[sha256.Sum256([]byte(secret))]
	}
	switch {
	case !ok:
		return nil, meridian.WithKind(meridian.Forbidden, errors.New("unknown API key"))
	case k.Revoked:
		return nil, meridian.WithKind(meridian.Forbidden, fmt.Errorf("API key %s was revoked", k.ID))
	}
	return &Principal{Kind: KindAPIKey, ID: k.ID, Name: k.Name}, nil
}
