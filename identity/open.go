package identity

import (
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"meridian"
)

// An Opener opens sealed identities. Until SetKeys it opens none. Its methods
// may be called by many goroutines at once.
type Opener struct {
	now  func() time.Time
	keys atomic.Pointer[map[string]EdgeKey]
	ring atomic.Pointer[KeyRing]

	off guard // what the negative controls of the tests turn off
}

// A guard is one of the checks of Open.
type guard int

const (
	allGuardsOn guard = iota
	withoutMAC
	withoutBinding
	withoutExpiry
	withoutEdgeRevocation
	withoutKeyRevocation
)

// NewOpener returns an Opener that tells the time by now; nil means time.Now.
func NewOpener(now func() time.Time) *Opener {
	if now == nil {
		now = time.Now
	}
	return &Opener{now: now}
}

// SetKeys replaces the keys of the edges.
func (o *Opener) SetKeys(keys []EdgeKey) {
	m := make(map[string]EdgeKey, len(keys))
	for _, k := range keys {
		m[k.ID] = k
	}
	o.keys.Store(&m)
}

// SetRing replaces the API keys, of which Open asks only which were revoked.
func (o *Opener) SetRing(r *KeyRing) { o.ring.Store(r) }

// Open returns the principal that an edge sealed for the request b. An error
// has kind Unauthenticated: the text was not made by an edge whose key is known
// and good, or was made for another request, or is too old, or the API key
// behind it was revoked since.
//
// An API key that the ring does not know passes: the edge has verified it
// within the minute, and it may not have reached this region yet.
func (o *Opener) Open(header string, b Binding) (*Principal, error) {
	p, err := o.open(header, b)
	if err != nil {
		return nil, meridian.WithKind(meridian.Unauthenticated, fmt.Errorf("sealed identity: %w", err))
	}
	return p, nil
}

func (o *Opener) open(header string, b Binding) (*Principal, error) {
	raw, err := o.authentic(header, b)
	if err != nil {
		return nil, err
	}
	var pl payload
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&pl); err != nil || pl.Principal == nil {
		return nil, errors.New("it carries no principal")
	}
	if err := o.fresh(pl.Expires); err != nil {
		return nil, err
	}
	if pl.Body != nil && b.BodyHash != nil && !hmac.Equal(pl.Body, b.BodyHash) && o.off != withoutBinding {
		return nil, errors.New("it was made for another body")
	}
	return pl.Principal, pl.Principal.each(func(p *Principal) error {
		if p.Kind == KindAPIKey && o.ring.Load().Revoked(p.ID) && o.off != withoutKeyRevocation {
			return fmt.Errorf("API key %s was revoked", p.ID)
		}
		return nil
	})
}

// authentic returns the payload of header, if an edge made it for b. It reads
// nothing of the payload before its MAC has proved good.
func (o *Opener) authentic(header string, b Binding) ([]byte, error) {
	f := strings.Split(header, ".")
	if len(f) != 4 || f[0] != sealVersion {
		return nil, errors.New("it is malformed")
	}
	id, err1 := b64.DecodeString(f[1])
	raw, err2 := b64.DecodeString(f[2])
	got, err3 := b64.DecodeString(f[3])
	if err1 != nil || err2 != nil || err3 != nil {
		return nil, errors.New("it is malformed")
	}
	var k EdgeKey
	if keys := o.keys.Load(); keys != nil {
		k = (*keys)[string(id)]
	}
	switch {
	case len(k.Secret) == 0:
		return nil, fmt.Errorf("no edge has the key %.80q", id)
	case k.Revoked && o.off != withoutEdgeRevocation:
		return nil, fmt.Errorf("the edge's key %.80q was revoked", id)
	case o.off == withoutMAC:
		return raw, nil
	}
	if o.off == withoutBinding {
		b = Binding{}
	}
	if !hmac.Equal(got, mac(k.Secret, header[:strings.LastIndexByte(header, '.')], b)) {
		return nil, errors.New("it was not made by that edge for this request")
	}
	return raw, nil
}

func (o *Opener) fresh(expires int64) error {
	left := time.UnixMilli(expires).Sub(o.now())
	switch {
	case o.off == withoutExpiry:
		return nil
	case left <= 0:
		return fmt.Errorf("it expired %v ago", -left)
	case left > maxLife:
		return fmt.Errorf("it would last another %v; no edge makes such", left)
	}
	return nil
}
