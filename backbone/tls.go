package backbone

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"meridian/internal/pki"
)

// ALPN names of a service, for connections of their own and for links.
func alpn(service string) string    { return "meridian-" + service + "/1" }
func alpnMux(service string) string { return "meridian-mux-" + service + "/1" }

// parseALPN reads what alpn and alpnMux write.
func parseALPN(proto string) (service string, mux bool) {
	service = strings.TrimSuffix(strings.TrimPrefix(proto, "meridian-"), "/1")
	service, mux = strings.CutPrefix(service, "mux-")
	return service, mux
}

// serverTLS accepts nodes that the authority named, for the registered
// services alone: crypto/tls refuses a client that offers no other.
func (b *Backbone) serverTLS() *tls.Config {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{b.deps.Cert},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              b.deps.Roots,
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol == "" {
				return errors.New("the client names no service")
			}
			node, err := peerName(s)
			if err == nil && !b.mayCall(node) {
				err = fmt.Errorf("node %s was removed from this world", node)
			}
			return err
		},
	}
	for s := range b.listeners {
		c.NextProtos = append(c.NextProtos, alpn(s), alpnMux(s))
	}
	return c
}

// clientTLS accepts one node: its certificate must be of the authority and
// name it. crypto/tls knows only DNS names, which nodes do not have, so its own
// check is off and ours, which is stricter, runs instead.
func (b *Backbone) clientTLS(node, proto string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{b.deps.Cert},
		NextProtos:         []string{proto},
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return b.verifyPeer(s, node, proto) },
	}
}

func (b *Backbone) verifyPeer(s tls.ConnectionState, node, proto string) error {
	opts := x509.VerifyOptions{Roots: b.deps.Roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, c := range s.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
		return err
	}
	name, err := peerName(s)
	switch {
	case err != nil:
		return err
	case name != node:
		return fmt.Errorf("the certificate is that of node %s", name)
	case s.NegotiatedProtocol != proto:
		return fmt.Errorf("the node does not speak %s", proto)
	}
	return nil
}

func peerName(s tls.ConnectionState) (string, error) {
	if len(s.PeerCertificates) > 0 {
		if name, ok := pki.NodeOf(s.PeerCertificates[0]); ok {
			return name, nil
		}
	}
	return "", errors.New("the certificate names no node")
}
