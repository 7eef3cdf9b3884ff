package server

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/internal/keyring"
)

// TestARevokedClientIsRefusedAtEveryEdge revokes by an operator's word and by a
// file that changes.
func TestARevokedClientIsRefusedAtEveryEdge(t *testing.T) {
	dir := t.TempDir()
	chain, key := pairFor(t, 0xa11ce, "alice")
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pair.Leaf.Subject, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	signer := pair.PrivateKey.(crypto.Signer)
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := func(number int64, serials ...int64) []byte {
		l := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
		for _, s := range serials {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
		}
		der, err := x509.CreateRevocationList(rand.Reader, l, root, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	f := &config.File{Domain: certDomain, TLS: config.TLS{Clients: &config.TLSClients{Mode: "required", CA: write("ca.pem", "CERTIFICATE", der), CRL: write("crl.pem", "X509 CRL", list(1))}}}
	asks, err := clients(f)
	if err != nil {
		t.Fatal(err)
	}
	w := newCertWorld(t, ringOf(t, keyring.NewLine()))
	w.file = f
	edge := &revocations{trust: asks.Trust, crl: f.TLS.Clients.CRL, store: w.store, log: slog.New(slog.DiscardHandler), now: time.Now}
	revoked := func(serial int64) bool {
		edge.lists()
		edge.serials()
		return asks.Trust.Revoked([]*x509.Certificate{{SerialNumber: big.NewInt(serial), RawIssuer: root.RawSubject}}) != nil
	}
	if revoked(0xa11ce) || revoked(0xb0b) { // the control
		t.Error("somebody is refused, and nobody was revoked")
	}
	for _, wrong := range []string{"", "xyz", "-1", "11223344556677889900aabbccddeeff1122334455667788"} {
		if _, err := w.Revoke(t.Context(), client.RevokedClient{Serial: wrong}); meridian.KindOf(err) != meridian.Invalid {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if done, err := w.Revoke(t.Context(), client.RevokedClient{Serial: "0A:11:CE", Why: "left"}); err != nil || done.Serial != "a11ce" {
		t.Errorf("%+v, %v", done, err)
	}
	if !revoked(0xa11ce) || revoked(0xb0b) {
		t.Error("who an operator revoked is let in, or another refused")
	}
	write("crl.pem", "X509 CRL", list(2, 0xb0b))
	if !revoked(0xa11ce) || !revoked(0xb0b) {
		t.Error("who the new list has is let in")
	}
	write("crl.pem", "HELLO", nil)
	if !revoked(0xb0b) || edge.said == "" {
		t.Error("a bad list replaced a good one, or nobody was told")
	}
	if l := w.Revoked(); len(l) != 1 || l[0].Why != "left" {
		t.Errorf("%+v", l)
	}
	w.file = &config.File{Domain: certDomain}
	if _, err := w.Revoke(t.Context(), client.RevokedClient{Serial: "1"}); meridian.KindOf(err) != meridian.Invalid {
		t.Error(err)
	}
}
