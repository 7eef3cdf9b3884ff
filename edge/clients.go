package edge

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"meridian/edge/trust"
	"meridian/identity"
)

// The modes of Clients, as CloudFront calls them.
const (
	ClientsRequired    = "required"    // who shows no good certificate gets no handshake
	ClientsOptional    = "optional"    // nor who shows a bad one
	ClientsPassthrough = "passthrough" // what is shown goes to the origin, which judges it
)

// Clients says what certificates clients show. The zero Clients asks for none.
type Clients struct {
	Mode      string
	Trust     *trust.Store // nil with ClientsPassthrough
	Advertise bool         // tell clients which authorities are trusted
}

func (c Clients) check() error {
	switch {
	case c.Mode == "" || c.Mode == ClientsPassthrough:
		return nil
	case c.Mode != ClientsRequired && c.Mode != ClientsOptional:
		return fmt.Errorf("clients' certificates: mode %q: want required, optional or passthrough", c.Mode)
	case c.Trust == nil:
		return errors.New("clients' certificates: want a trust store")
	}
	return nil
}

// askClients lets handshakes ask for a certificate. The chain is judged by
// VerifyConnection, which resumed handshakes go through as well: a ticket does not
// outlive a revocation.
func (e *Edge) askClients(c *tls.Config) {
	by := e.cfg.TLS.Clients
	switch by.Mode {
	case "":
		return
	case ClientsRequired:
		c.ClientAuth = tls.RequireAnyClientCert
	default:
		c.ClientAuth = tls.RequestClientCert
	}
	if by.Trust != nil && by.Advertise {
		c.ClientCAs = by.Trust.Authorities()
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		err := e.judgeClient(s.PeerCertificates)
		if err != nil {
			e.metrics.guarded("client certificate", "handshake")
			e.deps.Log.Info("a client's certificate was refused", "why", err.Error(), "resumed", s.DidResume)
		}
		return err
	}
}

// judgeClient says why a client may not come in with what it showed.
func (e *Edge) judgeClient(shown []*x509.Certificate) error {
	by := e.cfg.TLS.Clients
	if by.Mode == "" || by.Mode == ClientsPassthrough || by.Mode == ClientsOptional && len(shown) == 0 {
		return nil
	}
	return by.Trust.Verify(shown, e.deps.Now())
}

// refuseRevoked answers on a connection whose certificate was revoked since.
var refuseRevoked = answer{status: http.StatusForbidden, message: "The client's certificate was revoked."}

// revoked reports whether the client's certificate was revoked after its
// handshake.
func (e *Edge) revoked(r *http.Request) bool {
	t := e.cfg.TLS.Clients.Trust
	if t == nil || r.TLS == nil || t.Refused(r.TLS.PeerCertificates, e.deps.Now()) == nil {
		return false
	}
	e.metrics.guarded("client certificate", "revoked")
	return true
}

// The headers by which an origin learns of the client's certificate (RFC 9440).
const (
	headerClientCert  = "Client-Cert"
	headerClientChain = "Client-Cert-Chain"
)

// presentClient tells the origin which certificate the client showed. Whatever the
// client said of that itself is dropped.
func (x *exchange) presentClient(h http.Header) {
	stripClient(h)
	if x.cfg.TLS.Clients.Mode == "" || x.r.TLS == nil || len(x.r.TLS.PeerCertificates) == 0 {
		return
	}
	shown := x.r.TLS.PeerCertificates
	h[headerClientCert] = []string{item(shown[0])}
	if len(shown) > 1 {
		var chain []string
		for _, c := range shown[1:] {
			chain = append(chain, item(c))
		}
		h[headerClientChain] = []string{strings.Join(chain, ", ")}
	}
}

// stripClient removes the headers of RFC 9440, also with _ for -, since some
// programs that functions are written in do not tell those apart.
func stripClient(h http.Header) {
	for name := range h {
		if len(name) < len(headerClientCert) || name[0]|0x20 != headerClientCert[0]|0x20 {
			continue
		}
		if n := strings.ReplaceAll(name, "_", "-"); strings.EqualFold(n, headerClientCert) || strings.EqualFold(n, headerClientChain) {
			delete(h, name)
		}
	}
}

// item writes a certificate as a byte sequence (RFC 9651, section 3.3.5).
func item(c *x509.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }

// certified returns who asks, with the certificate that the client showed beside
// another credential, or for want of one. One that nobody judged proves nothing.
func (x *exchange) certified(p *identity.Principal) *identity.Principal {
	if x.cfg.TLS.Clients.Trust == nil || x.cfg.TLS.Clients.Mode == ClientsPassthrough || x.r.TLS == nil || len(x.r.TLS.PeerCertificates) == 0 {
		return p
	}
	leaf := x.r.TLS.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	return p.And(&identity.Principal{Kind: identity.KindCertificate, ID: hex.EncodeToString(sum[:]), Name: leaf.Subject.String(), Expires: leaf.NotAfter})
}
