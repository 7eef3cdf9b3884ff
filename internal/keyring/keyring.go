// Package keyring encrypts what many nodes keep and few may read, with keys that
// can be changed: the first of a ring seals, and all open.
package keyring

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A Ring is the keys. The zero Ring has none.
type Ring struct{ keys []key }

type key struct {
	id   string
	aead cipher.AEAD
}

// A Sealed is what only those who have the key can read.
type Sealed struct {
	Key string `json:"key"` // the id of the key
	Box []byte `json:"box"` // nonce, then AES-256-GCM
}

// keySize is that of AES-256, in bytes, and idSize that of a key's id.
const keySize, idSize = 32, 4

// NewLine returns one line of a ring's file: a new key.
func NewLine() string {
	b := make([]byte, idSize+keySize)
	rand.Read(b) // never fails
	return hex.EncodeToString(b[:idSize]) + " " + hex.EncodeToString(b[idSize:]) + "\n"
}

// Parse reads a ring's file: a line for each key, its id and its 64
// hexadecimal digits. Lines that begin with # are for people.
func Parse(text string) (r Ring, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return r, fmt.Errorf("line %d has %d words, want an id and a key", n, len(fields))
		}
		k := key{id: fields[0]}
		if k.aead, err = newAEAD(fields[1]); err != nil {
			return r, fmt.Errorf("line %d: %w", n, err)
		}
		if _, twice := r.find(k.id); twice {
			return r, fmt.Errorf("line %d: the id %s stands twice, want each once", n, k.id)
		}
		r.keys = append(r.keys, k)
	}
	if err := lines.Err(); err != nil {
		return r, err
	}
	if len(r.keys) == 0 {
		return r, errors.New("found no key, want a line with an id and a key")
	}
	return r, nil
}

func newAEAD(text string) (cipher.AEAD, error) {
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != keySize { // the error would show the key
		return nil, fmt.Errorf("found a key that is not %d hexadecimal digits", 2*keySize)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (r Ring) find(id string) (key, bool) {
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return key{}, false
}

// Empty reports whether there is no key.
func (r Ring) Empty() bool { return len(r.keys) == 0 }

// Newest reports whether b is sealed with the key that seals now.
func (r Ring) Newest(b Sealed) bool { return len(r.keys) > 0 && r.keys[0].id == b.Key }

// Seal encrypts text for one place: it opens nowhere else.
func (r Ring) Seal(place string, text []byte) (Sealed, error) {
	if len(r.keys) == 0 {
		return Sealed{}, errors.New("there is no key to encrypt with")
	}
	k := r.keys[0]
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(text)+k.aead.Overhead())
	rand.Read(nonce)
	return Sealed{k.id, k.aead.Seal(nonce, nonce, text, []byte(place))}, nil
}

// Open decrypts what was sealed for a place.
func (r Ring) Open(place string, b Sealed) ([]byte, error) {
	k, ok := r.find(b.Key)
	if !ok {
		return nil, fmt.Errorf("it is encrypted with the key %.32q, which this node does not have", b.Key)
	}
	if len(b.Box) < k.aead.NonceSize() {
		return nil, fmt.Errorf("it has %d bytes, fewer than a nonce", len(b.Box))
	}
	text, err := k.aead.Open(nil, b.Box[:k.aead.NonceSize()], b.Box[k.aead.NonceSize():], []byte(place))
	if err != nil {
		return nil, errors.New("it is damaged, or was put elsewhere")
	}
	return text, nil
}
