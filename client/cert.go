package client

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"meridian"
)

// A NewCertificate is a certificate that all edges are to show.
type NewCertificate struct {
	Name  string `json:"name,omitempty"` // in place of the one that is called so; "" is its first DNS name
	Chain string `json:"chain"`          // PEM: the certificate, then its intermediates
	Key   string `json:"key"`            // PEM
}

// A Certificate is one that edges show, or are to show.
type Certificate struct {
	Name      string    `json:"name"`
	Source    string    `json:"source"` // upload, acme or file
	Names     []string  `json:"names"`
	Issuer    string    `json:"issuer,omitempty"`
	Serial    string    `json:"serial,omitempty"` // hexadecimal
	KeyType   string    `json:"key_type,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Added     time.Time `json:"added,omitzero"`
	// Edges that show what the store has now, and Waiting those that do not yet,
	// each with the reason. Both are empty for a source of file.
	Edges   int               `json:"edges,omitempty"`
	Waiting map[string]string `json:"waiting,omitempty"`
	Error   string            `json:"error,omitempty"` // why the last try to issue it failed
	Next    time.Time         `json:"next,omitzero"`   // when it is tried again, or renewed
	Notes   []string          `json:"notes,omitempty"` // what is worth a look, and no mistake
}

// AddCertificate gives all edges a certificate.
func (c *Client) AddCertificate(ctx context.Context, n NewCertificate) (done Certificate, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/certificates", n, &done)
}

// Certificates lists the certificates.
func (c *Client) Certificates(ctx context.Context) (all []Certificate, err error) {
	return all, c.call(ctx, http.MethodGet, "/v1/certificates", nil, &all)
}

// RemoveCertificate takes a certificate that was added from all edges.
func (c *Client) RemoveCertificate(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/v1/certificates/"+url.PathEscape(name), nil, nil)
}

// IssueCertificate gets a new certificate for a domain from the authority of the
// world's file, and returns once it is there.
func (c *Client) IssueCertificate(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/v1/certificates/"+url.PathEscape(name)+"/issue", nil, nil)
}

// A RevokedClient is a certificate of a client that no edge takes any more.
type RevokedClient struct {
	Serial string    `json:"serial"` // hexadecimal
	Why    string    `json:"why,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// ParseSerial reads the serial number of a certificate, as openssl prints it, and
// returns it as it is kept.
func ParseSerial(text string) (string, error) {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(strings.ToLower(text), ":", ""), 16)
	if !ok || n.Sign() < 0 || n.BitLen() > 20*8 {
		return "", meridian.WithKind(meridian.Invalid, fmt.Errorf("the serial number %.80q; expected up to 40 hexadecimal digits", text))
	}
	return n.Text(16), nil
}

// RevokeClient refuses a client's certificate at every edge, for good.
func (c *Client) RevokeClient(ctx context.Context, r RevokedClient) (done RevokedClient, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/revoked-clients", r, &done)
}

// RevokedClients lists them.
func (c *Client) RevokedClients(ctx context.Context) (all []RevokedClient, err error) {
	return all, c.call(ctx, http.MethodGet, "/v1/revoked-clients", nil, &all)
}
