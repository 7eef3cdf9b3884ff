package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/client"
	"meridian/internal/keyring"
)

// respondedPair returns a certificate with its authority, and its key, that names a
// responder which is not there.
func respondedPair(t *testing.T) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "home"}, IsCA: true, BasicConstraintsValid: true, NotBefore: from, NotAfter: to}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{certDomain}, OCSPServer: []string{"http://127.0.0.1:1/"}, NotBefore: from, NotAfter: to}
	for _, c := range []*x509.Certificate{leaf, ca} {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, k.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return chain, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestTheResponderOfANewCertificateIsAskedAtOnce adds one while nothing else is due for a
// minute.
func TestTheResponderOfANewCertificateIsAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCertWorld(t, ringOf(t, keyring.NewLine()))
		var log bytes.Buffer
		w.shelf.log = slog.New(slog.NewTextHandler(&log, nil))
		ctx, stop := context.WithCancel(t.Context())
		var parts sync.WaitGroup
		defer parts.Wait()
		defer stop()
		w.add(t, 1) // it names no responder
		w.shelf.look(ctx)
		parts.Go(func() { w.shelf.staple(ctx, func() {}) })
		synctest.Wait()
		if strings.Contains(log.String(), "responder") { // the control
			t.Errorf("somebody was asked: %s", log.String())
		}
		chain, key := respondedPair(t)
		if _, err := w.Add(ctx, client.NewCertificate{Chain: chain, Key: key, Name: "new"}); err != nil {
			t.Fatal(err)
		}
		w.shelf.look(ctx)
		synctest.Wait()
		if !strings.Contains(log.String(), "OCSP of") {
			t.Errorf("the responder was not asked: %s", log.String())
		}
	})
}
