package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"net"

	"meridian/postgres/wire"
)

// A secureConn is a client's TLS connection.
type secureConn struct {
	*tls.Conn
	leaf *x509.Certificate // that the client was shown
}

// secure makes the handshake with a client. As PostgreSQL does, it resumes no
// session: the certificate to which a login is bound is shown each time.
func (p *Proxy) secure(conn net.Conn) (*secureConn, error) {
	var shown *tls.Certificate
	cfg := p.tls.Clone()
	cfg.SessionTicketsDisabled = true
	cfg.Certificates = nil // where there are some, not all clients are asked about
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (_ *tls.Certificate, err error) {
		shown, err = choose(p.tls, hello)
		return shown, err
	}
	c := &secureConn{Conn: tls.Server(conn, cfg)}
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	if shown == nil || len(shown.Certificate) == 0 {
		return c, nil
	}
	if c.leaf = shown.Leaf; c.leaf == nil {
		c.leaf, _ = x509.ParseCertificate(shown.Certificate[0]) // without it nothing is bound
	}
	return c, nil
}

// choose returns the certificate that cfg has for a client, as package tls
// chooses.
func choose(cfg *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cfg.GetCertificate != nil {
		if c, err := cfg.GetCertificate(hello); c != nil || err != nil {
			return c, err
		}
	}
	for i := range cfg.Certificates {
		if hello.SupportsCertificate(&cfg.Certificates[i]) == nil {
			return &cfg.Certificates[i], nil
		}
	}
	if len(cfg.Certificates) == 0 {
		return nil, nil
	}
	return &cfg.Certificates[0], nil
}

// bindingOf returns what ties a client's login to its connection.
func bindingOf(conn net.Conn) wire.Binding {
	if c, ok := conn.(*secureConn); ok && c.leaf != nil {
		return wire.BindTo(c.leaf)
	}
	return wire.Binding{}
}
