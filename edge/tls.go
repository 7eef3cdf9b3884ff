package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// TLS says what clients must speak.
type TLS struct {
	Policy  string // Mozilla's or CloudFront's name; "" means intermediate
	Clients Clients
}

// A tlsPolicy is what a name allows. Go decides the cipher suites of TLS 1.3 and
// the order of all.
type tlsPolicy struct {
	min     uint16
	ciphers []uint16 // of TLS 1.2
}

// DefaultPolicy is the policy of an edge that names none.
const DefaultPolicy = "intermediate"

// aead are the suites with forward secrecy and authenticated encryption, all that
// Mozilla's intermediate and CloudFront's TLSv1.2_2021 have but for DHE, which Go
// has not.
func aead() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// cbc are the suites that CloudFront's TLSv1.2_2018 and 2019 allow beside those,
// as far as Go has them: not those with SHA-384.
func cbc() []uint16 {
	return append(aead(), tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256)
}

// tlsPolicies are Mozilla's (Server Side TLS, version 5.7) and those of CloudFront
// whose protocols are not deprecated (RFC 8996).
func tlsPolicies() map[string]tlsPolicy {
	return map[string]tlsPolicy{
		"modern":       {tls.VersionTLS13, nil},
		DefaultPolicy:  {tls.VersionTLS12, aead()},
		"TLSv1.2_2018": {tls.VersionTLS12, append(cbc(), tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA256)},
		"TLSv1.2_2019": {tls.VersionTLS12, cbc()},
		"TLSv1.2_2021": {tls.VersionTLS12, aead()},
		"TLSv1.2_2025": {tls.VersionTLS12, aead()},
		"TLSv1.3_2025": {tls.VersionTLS13, nil},
	}
}

func (t TLS) check() error {
	if _, ok := tlsPolicies()[t.Policy]; !ok && t.Policy != "" {
		var names []string
		for name := range tlsPolicies() {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("TLS policy %q: want one of %s", t.Policy, strings.Join(names, ", "))
	}
	return t.Clients.check()
}

// Challenges answers the validations of certificate authorities.
type Challenges interface {
	// HTTP returns what a GET of that path at host is to be answered, if it is one.
	HTTP(ctx context.Context, host, path string) (body string, ok bool)
	// TLS returns the certificate for a handshake, if that is one.
	TLS(*tls.ClientHelloInfo) (cert *tls.Certificate, ok bool, err error)
}

// challengeProtocol is what a handshake that validates negotiates (RFC 8737). No
// engine knows it, so the connection ends with its handshake.
const challengeProtocol = "acme-tls/1"

// tlsConfig returns what handshakes go by. Key exchange is Go's choice, with
// X25519MLKEM768 first.
func (e *Edge) tlsConfig() *tls.Config {
	name := e.cfg.TLS.Policy
	if name == "" {
		name = DefaultPolicy
	}
	p := tlsPolicies()[name]
	c := &tls.Config{
		MinVersion: p.min, CipherSuites: p.ciphers,
		GetCertificate: e.deps.Certs.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1", "http/1.0"},
	}
	e.shareTickets(c)
	e.askClients(c)
	c.GetConfigForClient = e.greeted
	return c
}

// greeted notes what a client offers, and returns the configuration for its
// handshake; nil means the usual one.
func (e *Edge) greeted(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	keepHello(hello)
	if e.deps.Challenges == nil {
		return nil, nil
	}
	return e.challenged(hello)
}

// challenged returns the configuration for a handshake that validates, and nil for
// every other.
func (e *Edge) challenged(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	cert, ok, err := e.deps.Challenges.TLS(hello)
	if !ok || err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}, NextProtos: []string{challengeProtocol}, SessionTicketsDisabled: true}, nil
}

// validates answers a request of a certificate authority (RFC 8555, section 8.3).
func (e *Edge) validates(w http.ResponseWriter, r *http.Request, host string) bool {
	if e.deps.Challenges == nil || r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
		return false
	}
	body, ok := e.deps.Challenges.HTTP(r.Context(), host, r.URL.Path)
	if ok {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, body)
	}
	return ok
}
