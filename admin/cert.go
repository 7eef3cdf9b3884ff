package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"meridian"
	"meridian/client"
)

// Certificates is the authority over the certificates of all edges.
type Certificates interface {
	Add(context.Context, client.NewCertificate) (client.Certificate, error)
	List() []client.Certificate
	Remove(ctx context.Context, name string) error
	Issue(ctx context.Context, name string) error
	Revoke(context.Context, client.RevokedClient) (client.RevokedClient, error)
	Revoked() []client.RevokedClient
}

func (s *Server) listCerts(*http.Request) (any, error) { return list(s.deps.Certs.List()), nil }

func (s *Server) addCert(r *http.Request) (any, error) {
	var in client.NewCertificate
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("add certificate: %w", err))
	}
	c, err := s.deps.Certs.Add(r.Context(), in)
	if err == nil {
		s.deps.Log.Info("certificate added", "name", c.Name, "names", c.Names, "issuer", c.Issuer, "serial", c.Serial, "ends", c.NotAfter)
	}
	return c, err
}

func (s *Server) listRevoked(*http.Request) (any, error) { return list(s.deps.Certs.Revoked()), nil }

func (s *Server) revokeClient(r *http.Request) (any, error) {
	var in client.RevokedClient
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, meridian.WithKind(meridian.Invalid, fmt.Errorf("revoke a client's certificate: %w", err))
	}
	done, err := s.deps.Certs.Revoke(r.Context(), in)
	if err == nil {
		s.deps.Log.Info("client's certificate revoked", "serial", done.Serial, "why", done.Why)
	}
	return done, err
}

func (s *Server) issueCert(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := s.deps.Certs.Issue(r.Context(), name); err != nil {
		return nil, err
	}
	s.deps.Log.Info("certificate issued", "name", name)
	return map[string]any{"name": name, "issued": true}, nil
}

func (s *Server) removeCert(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := s.deps.Certs.Remove(r.Context(), name); err != nil {
		return nil, err
	}
	s.deps.Log.Info("certificate removed", "name", name)
	return map[string]any{"name": name, "removed": true}, nil
}
