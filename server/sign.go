package server

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"meridian/edge/sign"
)

// A Grant is what one signature shall let somebody do.
type Grant struct {
	URL      string
	Key      string // file of the private key
	KeyID    string
	Resource string       // a pattern of URLs; "" means the URL alone
	Until    time.Time    // exclusive
	From     time.Time    // zero if there is none
	Client   netip.Prefix // invalid means everybody
	SHA256   bool
}

// Sign returns the URL that bears a grant, and the cookies that bear the same.
// The policy is a canned one where that can say it.
func Sign(g Grant) (url string, cookies [][2]string, err error) {
	if url, err = sign.CheckURL(g.URL); err != nil {
		return "", nil, err
	}
	text, err := os.ReadFile(g.Key)
	if err != nil {
		return "", nil, fmt.Errorf("private key: %w", err)
	}
	key, err := sign.ParsePrivateKey(text)
	if err != nil {
		return "", nil, fmt.Errorf("private key: %s: %w", g.Key, err)
	}
	s := sign.Signer{KeyID: g.KeyID, Key: key}
	if g.SHA256 {
		s.Hash = "SHA256"
	}
	p := sign.Policy{Resource: g.Resource, Until: g.Until, From: g.From, Client: g.Client}
	signed, err := grantOf(s, url, p)
	if err != nil {
		return "", nil, err
	}
	return signed.Onto(url), signed.Cookies(), nil
}

func grantOf(s sign.Signer, url string, p sign.Policy) (sign.Grant, error) {
	if p.Resource == "" && p.From.IsZero() && !p.Client.IsValid() {
		return s.Canned(url, p)
	}
	if p.Resource == "" {
		p.Resource = url
	}
	return s.Custom(p)
}
