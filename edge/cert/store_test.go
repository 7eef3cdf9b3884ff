package cert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian/edge/cert"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// An authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t *testing.T, name string, parent *authority) *authority {
	a := &authority{t: t, key: newKey(t)}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	if parent == nil {
		parent = &authority{t, c, a.key}
	}
	a.cert = parent.sign(c, a.key)
	return a
}

func (a *authority) sign(c *x509.Certificate, key crypto.Signer) *x509.Certificate {
	c.SerialNumber = big.NewInt(1)
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = noon.Add(-time.Hour), noon.Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// files writes a certificate, its chain and a key.
func files(t *testing.T, key crypto.Signer, chain ...*x509.Certificate) cert.Pair {
	dir := t.TempDir()
	p := cert.Pair{Cert: filepath.Join(dir, "tls.pem"), Key: filepath.Join(dir, "tls.key")}
	var text []byte
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{p.Cert: text, p.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestBadCertificateIsRefusedAndNeverReplacesAGoodOne(t *testing.T) {
	root := newAuthority(t, "root", nil)
	mid := newAuthority(t, "mid", root)
	other := newAuthority(t, "other", nil)
	key := newKey(t)
	leaf := func(a *authority, c x509.Certificate) *x509.Certificate {
		if c.DNSNames == nil {
			c.DNSNames = []string{"api.example.test"}
		}
		return a.sign(&c, key)
	}
	good := leaf(mid, x509.Certificate{})
	write := func(p cert.Pair, file *string, text string) cert.Pair {
		if err := os.WriteFile(*file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	store := cert.New(cert.Config{Domains: []string{"api.example.test"}, Roots: pool(root), Now: func() time.Time { return noon }})
	if err := store.Load([]cert.Pair{files(t, key, good, mid.cert)}); err != nil {
		t.Fatal(err)
	}
	noPEM, noKey := files(t, key, good, mid.cert), files(t, key, good, mid.cert)
	for _, tt := range []struct {
		name string
		pair cert.Pair
		want string
	}{
		{"missing file", cert.Pair{Cert: "/does/not/exist.pem"}, "read certificate: open /does/not/exist.pem: no such file or directory"},
		{"no certificate", write(noPEM, &noPEM.Cert, "hello"), "tls.pem: found no PEM block, want a PEM block CERTIFICATE"},
		{"no key", write(noKey, &noKey.Key, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "tls.key: found only CERTIFICATE, want a PEM block PRIVATE KEY"},
		{"another's key", files(t, newKey(t), good, mid.cert), "found the key of another certificate, want that of \"api.example.test\", a key of type ECDSA"},
		{"chain out of order", files(t, key, good, other.cert, mid.cert), `found "other" after "api.example.test" in the chain, want its issuer, CN=mid`},
		{"no intermediate", files(t, key, good), "found a chain that ends at CN=mid, want one that leads to a trusted root"},
		{"another root", files(t, key, leaf(other, x509.Certificate{})), "found a chain that ends at CN=other, want one that leads to a trusted root"},
		{"another name", files(t, key, leaf(mid, x509.Certificate{DNSNames: []string{"www.example.test"}}), mid.cert), "found a certificate for www.example.test, want one for api.example.test"},
		{"ended", files(t, key, leaf(mid, x509.Certificate{NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(-time.Second)}), mid.cert), "which ended at 2026-06-01T11:59:59Z; it is 2026-06-01T12:00:00Z"},
		{"not begun", files(t, key, leaf(mid, x509.Certificate{NotBefore: noon.Add(time.Second), NotAfter: noon.Add(time.Hour)}), mid.cert), "which begins at 2026-06-01T12:00:01Z"},
		{"for clients", files(t, key, leaf(mid, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), mid.cert), "not for servers, want the extended key usage serverAuth"},
	} {
		err := store.Load([]cert.Pair{files(t, key, good, mid.cert), tt.pair})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want ... %s", tt.name, err, tt.want)
		}
	}
	if err := store.Load(nil); err == nil || !strings.Contains(err.Error(), "found none") {
		t.Errorf("an empty set: %v", err)
	}
	if got := store.Certificates(); len(got) != 1 || !got[0].Equal(good) {
		t.Errorf("the good certificate was replaced: %v", got)
	}
}

// A key that no client takes is found before clients do.
func TestAKeyThatNoClientTakesIsRefused(t *testing.T) {
	root := newAuthority(t, "root", nil)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	strong, _ := rsa.GenerateKey(rand.Reader, 2048)
	odd, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	even, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for _, tt := range []struct {
		key  crypto.Signer
		want string // "" if it is taken
	}{
		{weak, `found "api.example.test" with an RSA key of 1024 bits, want 2048 at least: clients refuse it`}, {strong, ""},
		{odd, `found "api.example.test" with a key on P-224, want P-256, P-384 or P-521: TLS has no other`}, {even, ""},
	} {
		store := cert.New(cert.Config{Domains: []string{"api.example.test"}, Roots: pool(root), Now: func() time.Time { return noon }})
		leaf := root.sign(&x509.Certificate{DNSNames: []string{"api.example.test"}}, tt.key)
		if err := store.Load([]cert.Pair{files(t, tt.key, leaf)}); (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%T: %v, want ... %s", tt.key, err, tt.want)
		}
	}
}

func TestHandshakeGetsTheCertificateOfItsName(t *testing.T) {
	root := newAuthority(t, "root", nil)
	store := cert.New(cert.Config{Roots: pool(root), Now: func() time.Time { return noon }})
	if _, err := store.GetCertificate(&tls.ClientHelloInfo{}); err == nil {
		t.Error("an empty store has a certificate")
	}
	var set []tls.Certificate
	for _, names := range [][]string{{"first.test"}, {"*.example.test"}, {"api.example.test", "Api2.example.test"}} {
		key := newKey(t)
		set = append(set, tls.Certificate{PrivateKey: key, Certificate: [][]byte{root.sign(&x509.Certificate{DNSNames: names}, key).Raw}})
	}
	if err := store.Use(set...); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"api.example.test": "api.example.test", "API.example.test.": "api.example.test", "api2.example.test": "api.example.test",
		"other.example.test": "*.example.test", "a.b.example.test": "first.test", "example.test": "first.test", "": "first.test", "first.test": "first.test",
	} {
		c, err := store.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || c.Leaf.DNSNames[0] != want {
			t.Errorf("%q gets %v, %v; want %s", name, c.Leaf.DNSNames, err, want)
		}
	}
}

// A certificate may be for what is under a name that needs none; who names nothing
// is shown one of the domain all the same, whichever stands first.
func TestNamesUnderAnotherMayHaveACertificate(t *testing.T) {
	root := newAuthority(t, "root", nil)
	store := cert.New(cert.Config{Domains: []string{"a.test"}, Under: "origin.a.test", Now: func() time.Time { return noon }})
	pair := func(names ...string) tls.Certificate {
		key := newKey(t)
		return tls.Certificate{PrivateKey: key, Certificate: [][]byte{root.sign(&x509.Certificate{DNSNames: names}, key).Raw}}
	}
	if err := store.Use(pair("*.Origin.a.test"), pair("origin.a.test"), pair("a.test")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "a.test", "b.test": "a.test", "a.test": "a.test", "origin.a.test": "origin.a.test", "eu.origin.a.test": "*.Origin.a.test"} {
		if c, err := store.GetCertificate(&tls.ClientHelloInfo{ServerName: name}); err != nil || c.Leaf.DNSNames[0] != want {
			t.Errorf("%q gets %v, %v; want %s", name, c.Leaf.DNSNames, err, want)
		}
	}
	for _, name := range []string{"origin.b.test", "xorigin.a.test", "test"} {
		if err := store.Use(pair("a.test"), pair(name)); err == nil || !strings.Contains(err.Error(), "want one for a.test, or for origin.a.test or a name under it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := store.Use(pair("origin.a.test")); err == nil || !strings.Contains(err.Error(), "found none for a.test") {
		t.Errorf("the domain is not covered: %v", err)
	}
}

// TestWhatIsOverIsShownLast has an operator's certificate end before one of the
// authority, and then that one too.
func TestWhatIsOverIsShownLast(t *testing.T) {
	root := newAuthority(t, "root", nil)
	root.cert.NotAfter = noon.Add(100 * time.Hour)
	now := noon
	store := cert.New(cert.Config{Now: func() time.Time { return now }})
	bundle := func(source string, life time.Duration) cert.Bundle {
		key := newKey(t)
		leaf := root.sign(&x509.Certificate{DNSNames: []string{"a.test"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(life)}, key)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Bundle{Name: "a.test", Source: source,
			Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	}
	both := []cert.Bundle{bundle(cert.SourceUpload, time.Hour), bundle(cert.SourceACME, 2*time.Hour)}
	for _, at := range []struct{ after, ends time.Duration }{{0, time.Hour}, {90 * time.Minute, 2 * time.Hour}, {3 * time.Hour, time.Hour}} {
		now = noon.Add(at.after)
		store.Take(both)
		if c, err := store.GetCertificate(&tls.ClientHelloInfo{ServerName: "a.test"}); err != nil || !c.Leaf.NotAfter.Equal(noon.Add(at.ends)) {
			t.Errorf("after %v one is shown that ends at %v, %v; want %v", at.after, c.Leaf.NotAfter, err, noon.Add(at.ends))
		}
	}
}

func TestEveryDomainNeedsACertificate(t *testing.T) {
	root, key := newAuthority(t, "root", nil), newKey(t)
	store := cert.New(cert.Config{Domains: []string{"a.test", "b.test"}, Now: func() time.Time { return noon }})
	err := store.Load([]cert.Pair{files(t, key, root.sign(&x509.Certificate{DNSNames: []string{"a.test"}}, key))})
	if err == nil || !strings.Contains(err.Error(), "found none for b.test") {
		t.Error(err)
	}
}

func TestTheFirstEndIsMeasured(t *testing.T) {
	root, key := newAuthority(t, "root", nil), newKey(t)
	store := cert.New(cert.Config{Now: func() time.Time { return noon }})
	var set []tls.Certificate
	for _, left := range []time.Duration{time.Hour, 20 * time.Minute, 3 * time.Hour} {
		c := root.sign(&x509.Certificate{DNSNames: []string{left.String() + ".test"}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(left)}, key)
		set = append(set, tls.Certificate{PrivateKey: key, Certificate: [][]byte{c.Raw}})
	}
	if err := store.Use(set...); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(store.Collector()); got != 1200 {
		t.Errorf("%v s are left, want 1200", got)
	}
}

func pool(a *authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// FuzzCheck reads what somebody may upload for a certificate and a key.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END EC PRIVATE KEY-----\n"))
	f.Add([]byte(nil), []byte("hello"))
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		if _, err := (cert.Config{}).Check(cert.Bundle{Name: "x", Chain: chain, Key: key}); err == nil {
			t.Skip("a good one")
		}
	})
}
