package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caddyserver/certmagic"
	proto "github.com/mholt/acmez/v3/acme"
)

// An issuer is certmagic's, but for what is asked again at once, and for what it answers:
// certmagic keeps whatever an authority calls a certificate.
type issuer struct {
	*certmagic.ACMEIssuer
	storage *Storage
	check   func(csr *x509.CertificateRequest, chain []byte) error
}

// PreCheck implements certmagic.PreChecker. It never asks at the terminal, which certmagic
// would for an e-mail address.
func (i issuer) PreCheck(ctx context.Context, names []string, _ bool) error {
	return i.ACMEIssuer.PreCheck(ctx, names, false)
}

// Issue implements certmagic.Issuer.
func (i issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	old := i.replaced(ctx, csr)
	got, err := i.ACMEIssuer.Issue(replacing{ctx, old}, csr)
	if forgot(err) || old != nil && refusedFor(err) {
		got, err = i.ACMEIssuer.Issue(ctx, csr)
	}
	if err != nil && !strings.Contains(err.Error(), i.CA) { // such as what failed before there was an account
		err = fmt.Errorf("%w (ca=%s)", err, i.CA)
	}
	if err != nil || i.check == nil {
		return got, err
	}
	if err := i.check(csr, got.Certificate); err != nil {
		return nil, fmt.Errorf("what the authority answered is not used: %w (ca=%s)", err, i.CA)
	}
	return got, nil
}

// replaced returns the certificate that an order replaces; nil is none.
func (i issuer) replaced(ctx context.Context, csr *x509.CertificateRequest) *x509.Certificate {
	if len(csr.DNSNames) == 0 {
		return nil
	}
	text, err := i.storage.Load(ctx, certmagic.StorageKeys.SiteCert(i.IssuerKey(), csr.DNSNames[0]))
	if err != nil {
		return nil
	}
	b, _ := pem.Decode(text)
	if b == nil {
		return nil
	}
	c, _ := x509.ParseCertificate(b.Bytes) // nil with an error
	return c
}

// replacing tells certmagic what an order replaces (RFC 9773, section 5): it asks for it
// under a key that is its own.
type replacing struct {
	context.Context
	old *x509.Certificate
}

// Value implements context.Context.
func (r replacing) Value(key any) any {
	if v := reflect.ValueOf(key); r.old != nil && v.Kind() == reflect.String && v.String() == "ari_replaces" {
		return r.old
	}
	return r.Context.Value(key)
}

// refusedFor reports whether an authority may have refused an order for what it would
// replace, since it knows that certificate no more, or as another account's. What to
// answer then the RFC leaves open, but for alreadyReplaced.
func refusedFor(err error) bool {
	var p proto.Problem
	return errors.As(err, &p) && p.Type != proto.ProblemTypeRateLimited && strings.Contains(err.Error(), "creating new order")
}

// forgot reports whether an authority did not know the account: then certmagic has made
// another, and tried once more as the old.
func forgot(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no certificate chains")
}
