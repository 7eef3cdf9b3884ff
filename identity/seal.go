package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash"
	"log/slog"
	"strings"
	"time"
)

// A sealed identity is text of four parts, joined by dots:
//
//	1.KEYID.PAYLOAD.MAC
//
// The last three are unpadded base64url: the id of the edge's key, the JSON of
// a payload, and the HMAC-SHA256 of all before it and of the Binding. Fields
// that the MAC covers are each preceded by their length, so that no byte can
// move from one into the next.

const sealVersion = "1"

// The life of a sealed identity. An edge gives it sealLife; a region accepts
// none that has more than maxLife left, so no clock that is wrong and no key
// that was stolen makes one that lasts. The difference is how far a region's
// clock may lag behind an edge's.
const (
	sealLife = 30 * time.Second
	maxLife  = 60 * time.Second
)

var b64 = base64.RawURLEncoding.Strict()

// A Binding is the request that an identity was sealed for. Opened with
// another, it is refused.
type Binding struct {
	Method, Host string
	Path, Query  string // raw, as received
	RequestID    string
	// BodyHash is the SHA-256 of the body for whoever holds all of it, else
	// nil. It counts only where both sides have one: an edge streams a large
	// body unseen, and a region judges the caller before it reads the body. One
	// that has read it may open the seal again, with the hash.
	BodyHash []byte
}

// An EdgeKey is what one edge seals with. All regions hold it.
type EdgeKey struct {
	ID      string `json:"id"` // the edge's node and the key's generation
	Secret  []byte `json:"secret"`
	Revoked bool   `json:"revoked,omitempty"`
}

// NewEdgeKey returns a key of 256 random bits.
func NewEdgeKey(id string) EdgeKey {
	k := EdgeKey{ID: id, Secret: make([]byte, sha256.Size)}
	rand.Read(k.Secret) // never fails: it crashes the program instead
	return k
}

// LogValue keeps the secret out of logs.
func (k EdgeKey) LogValue() slog.Value { return slog.StringValue(k.ID) }

// payload is what a sealed identity carries.
type payload struct {
	Principal *Principal `json:"p"`
	Expires   int64      `json:"x"` // Unix milliseconds
	Body      []byte     `json:"b,omitempty"`
}

// Seal returns the value of Meridian-Identity that lets p make the request b,
// and no other, for 30 seconds or until p's own token expires. It returns ""
// for a nil p, and for a key without a secret: an edge whose key is not known
// to the regions yet lets them verify the original credential.
func Seal(k EdgeKey, p *Principal, b Binding, now time.Time) string {
	if p == nil || len(k.Secret) == 0 {
		return ""
	}
	expires := now.Add(sealLife)
	_ = p.each(func(p *Principal) error {
		if !p.Expires.IsZero() && p.Expires.Before(expires) {
			expires = p.Expires
		}
		return nil
	})
	raw, err := json.Marshal(payload{p, expires.UnixMilli(), b.BodyHash})
	if err != nil {
		panic("identity: a principal that JSON cannot write: " + err.Error())
	}
	signed := strings.Join([]string{sealVersion, b64.EncodeToString([]byte(k.ID)), b64.EncodeToString(raw)}, ".")
	return signed + "." + b64.EncodeToString(mac(k.Secret, signed, b))
}

// mac authenticates the text of a sealed identity together with its binding,
// but for the body's hash, which the text itself carries.
func mac(secret []byte, signed string, b Binding) []byte {
	h := hmac.New(sha256.New, secret)
	for _, field := range []string{signed, b.Method, b.Host, b.Path, b.Query, b.RequestID} {
		writeField(h, field)
	}
	return h.Sum(nil)
}

func writeField(h hash.Hash, field string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(field)))
	h.Write(n[:])
	h.Write([]byte(field))
}
