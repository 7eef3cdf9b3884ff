package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// A request is what a leaf certificate is to say.
type request struct {
	name   string // for people
	uris   []*url.URL
	hosts  []string // DNS names and IP addresses
	client bool     // it also proves a client
}

func (r request) template(now time.Time) *x509.Certificate {
	t := template(r.name, now, leafLife)
	t.URIs = r.uris
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if r.client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, h := range r.hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// template is what all certificates have. They begin an hour early, for
// machines whose clocks are behind; crypto/x509 draws the serial number.
func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Meridian"}, CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(life),
		BasicConstraintsValid: true,
	}
}

func selfSigned(now time.Time) (tls.Certificate, error) {
	t := template("Meridian CA of "+now.UTC().Format(time.DateTime), now, caLife)
	t.IsCA, t.MaxPathLenZero = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return certify(t, nil)
}

func (ca *CA) sign(r request) (tls.Certificate, error) {
	return certify(r.template(ca.now()), &ca.pair)
}

// certify makes a key and a certificate for it, signed by the issuer, or by
// itself where that is nil.
func certify(t *x509.Certificate, issuer *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	if issuer == nil {
		issuer = &tls.Certificate{Leaf: t, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, issuer.Leaf, key.Public(), issuer.PrivateKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read own certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// load reads base.pem and base.key, and checks that they belong together.
func load(base string) (tls.Certificate, error) { return tls.LoadX509KeyPair(base+".pem", base+".key") }

// store writes base.key and base.pem. A reader that comes between the two
// sees a pair that does not match, and never half a file.
func store(base string, pair tls.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	if err := replace(base+".key", 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return err
	}
	return replace(base+".pem", 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
}

// replace puts a PEM file in the place of another.
func replace(path string, mode os.FileMode, block *pem.Block) error {
	return replaceText(path, pem.EncodeToMemory(block), mode)
}

// replaceText puts a file in the place of another, on disk before it is seen.
func replaceText(path string, text []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
