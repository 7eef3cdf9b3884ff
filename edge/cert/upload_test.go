package cert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"meridian/edge/cert"
)

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key crypto.Signer) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func chainText(chain ...*x509.Certificate) (text string) {
	for _, c := range chain {
		text += block("CERTIFICATE", c.Raw)
	}
	return text
}

func wide(s string) string {
	out := "\xff\xfe"
	for _, u := range utf16.Encode([]rune(s)) {
		out += string([]byte{byte(u), byte(u >> 8)})
	}
	return out
}

// TestWhatOperatorsUpload has chains and keys as tools and editors write them, and as they
// should not be.
func TestWhatOperatorsUpload(t *testing.T) {
	const name = "api.example.test"
	root := newAuthority(t, "root", nil)
	mid := newAuthority(t, "mid", root)
	other := newAuthority(t, "other", nil)
	key := newKey(t)
	leaf := func(a *authority, c x509.Certificate, k crypto.Signer) *x509.Certificate {
		if c.DNSNames == nil && c.IPAddresses == nil && c.Subject.CommonName == "" {
			c.DNSNames = []string{name}
		}
		return a.sign(&c, k)
	}
	under := func(c x509.Certificate) *authority {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid = "mid", true, true
		if c.KeyUsage == 0 {
			c.KeyUsage = x509.KeyUsageCertSign
		}
		a := &authority{t: t, key: newKey(t)}
		a.cert = root.sign(&c, a.key)
		return a
	}
	good := leaf(mid, x509.Certificate{}, key)
	text := chainText(good, mid.cert)
	ec, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	sha1 := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), SignatureAlgorithm: x509.SHA1WithRSA}
	rsaRoot := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rsa root"}, IsCA: true, BasicConstraintsValid: true, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
	rootDER, _ := x509.CreateCertificate(rand.Reader, rsaRoot, rsaRoot, rsaKey.Public(), rsaKey)
	sha1DER, err := x509.CreateCertificate(rand.Reader, sha1, rsaRoot, key.Public(), rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	narrow := under(x509.Certificate{PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"other.test"}})
	flat := under(x509.Certificate{MaxPathLenZero: true})
	deep := &authority{t: t, key: newKey(t)}
	deep.cert = flat.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "deep"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, deep.key)
	past := under(x509.Certificate{NotBefore: noon.Add(-2 * time.Hour), NotAfter: noon.Add(-time.Hour)})
	mail := under(x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})
	plain := &authority{t: t, key: newKey(t)}
	plain.cert = root.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "no authority"}, DNSNames: []string{"x.test"}}, plain.key)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	damaged := strings.Replace(chainText(mid.cert), "\nM", "\n!", 1)

	for _, x := range []struct{ name, chain, key, want string }{
		{"PKCS #8", text, pkcs8(t, key), ""},
		{"SEC 1, after its parameters", text, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + block("EC PRIVATE KEY", ec), ""},
		{"PKCS #1", chainText(leaf(mid, x509.Certificate{}, rsaKey), mid.cert), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), ""},
		{"Ed25519", chainText(leaf(mid, x509.Certificate{}, edKey), mid.cert), pkcs8(t, edKey), ""},
		{"CRLF", strings.ReplaceAll(text, "\n", "\r\n"), strings.ReplaceAll(pkcs8(t, key), "\n", "\r\n"), ""},
		{"CR alone", strings.ReplaceAll(text, "\n", "\r"), pkcs8(t, key), ""},
		{"a byte order mark", "\ufeff" + text, "\ufeff" + pkcs8(t, key), ""},
		{"no last newline", strings.TrimSpace(text), strings.TrimSpace(pkcs8(t, key)), ""},
		{"indented", strings.ReplaceAll("\n"+text, "\n", "\n    "), pkcs8(t, key), ""},
		{"words of openssl between", "Bag Attributes\n    friendlyName: x\nsubject=CN = x\n" + text, "Bag Attributes\n" + pkcs8(t, key), ""},
		{"the key in one file with the chain", text + pkcs8(t, key), text + pkcs8(t, key), ""},
		{"the root too", chainText(good, mid.cert, root.cert), pkcs8(t, key), ""},
		{"upper case", chainText(leaf(mid, x509.Certificate{DNSNames: []string{"API.Example.TEST"}}, key), mid.cert), pkcs8(t, key), ""},
		{"a wildcard", chainText(leaf(mid, x509.Certificate{DNSNames: []string{"*.example.test"}}, key), mid.cert), pkcs8(t, key), ""},
		{"without its intermediate", chainText(good), pkcs8(t, key), ""}, // a note says so

		{"UTF-16", wide(text), pkcs8(t, key), "certificate: found text in UTF-16, want PEM"},
		{"DER", string(good.Raw), pkcs8(t, key), "certificate: found a binary file (DER or PKCS #12), want PEM"},
		{"a DER key", text, string(ec), "certificate: its key: found a binary file"},
		{"a page", "<html><body>", pkcs8(t, key), "found no PEM block, want a PEM block CERTIFICATE"},
		{"nothing", "", "", "certificate: found nothing, want PEM"},
		{"chain and key the other way around", pkcs8(t, key), text, "found only PRIVATE KEY, want a PEM block CERTIFICATE"},
		{"a request", block("CERTIFICATE REQUEST", []byte{1}), pkcs8(t, key), "found only CERTIFICATE REQUEST, want"},
		{"trusted certificate", block("TRUSTED CERTIFICATE", good.Raw), pkcs8(t, key), "found only TRUSTED CERTIFICATE, want"},
		{"a damaged intermediate", chainText(good) + damaged, pkcs8(t, key), "found a PEM block CERTIFICATE, number 2 of the file, that is cut or damaged, want it whole"},
		{"a cut file", text[:len(text)-60], pkcs8(t, key), "found a PEM block CERTIFICATE, number 2 of the file, that is cut or damaged, want it whole"},
		{"a cut key", text, pkcs8(t, key)[:100], "its key: found a PEM block PRIVATE KEY, number 1 of the file, that is cut"},
		{"garbage in a block", block("CERTIFICATE", []byte("hello")), pkcs8(t, key), "certificate 1 of the chain cannot be read"},
		{"garbage in a key", text, block("PRIVATE KEY", []byte("hello")), "its key: found a block PRIVATE KEY that cannot be read: its content is no key"},
		{"SEC 1 under another name", text, block("PRIVATE KEY", ec), ""},
		{"an encrypted key", text, block("ENCRYPTED PRIVATE KEY", []byte{1}), "its key: found an encrypted key, want one without a passphrase"},
		{"an old encrypted key", text, "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n", "its key: found an encrypted key, want one without a passphrase"},
		{"an OpenSSH key", text, block("OPENSSH PRIVATE KEY", []byte{1}), "its key: found only OPENSSH PRIVATE KEY, want"},
		{"a public key", text, block("PUBLIC KEY", []byte{1}), "its key: found only PUBLIC KEY, want"},
		{"the wrong order", chainText(mid.cert, good), pkcs8(t, key), "found the certificate of this key, \"api.example.test\", at place 2 of the chain, want it first"},
		{"another key", text, pkcs8(t, newKey(t)), "found the key of another certificate, want that of \"api.example.test\""},
		{"twice the same", chainText(good, good, mid.cert), pkcs8(t, key), "found \"api.example.test\" twice in the chain, at places 1 and 2, want it once"},
		{"an intermediate twice", chainText(good, mid.cert, mid.cert), pkcs8(t, key), "found \"mid\" twice in the chain, at places 2 and 3, want it once"},
		{"one that has nothing to do with it", chainText(good, mid.cert, other.cert), pkcs8(t, key), "found \"other\" after \"mid\" in the chain, want its issuer, CN=root"},
		{"the root in the middle", chainText(good, root.cert, mid.cert), pkcs8(t, key), "found \"root\" after \"api.example.test\" in the chain, want its issuer, CN=mid"},
		{"an intermediate that is over", chainText(leaf(past, x509.Certificate{}, key), past.cert), pkcs8(t, key), "found \"mid\", which ended at 2026-06-01T11:00:00Z"},
		{"SHA-1", block("CERTIFICATE", sha1DER) + block("CERTIFICATE", rootDER), pkcs8(t, key), "found \"api.example.test\", signed with SHA1-RSA, want SHA-256"},
		{"SHA-1 alone", block("CERTIFICATE", sha1DER), pkcs8(t, key), "found \"api.example.test\", signed with SHA1-RSA, want SHA-256"},
		{"an intermediate for other names", chainText(leaf(narrow, x509.Certificate{}, key), narrow.cert), pkcs8(t, key), "found a chain that clients refuse, want one whose authorities may sign for api.example.test, for servers, in a chain of 2"},
		{"too long a chain", chainText(leaf(deep, x509.Certificate{}, key), deep.cert, flat.cert), pkcs8(t, key), "in a chain of 3: x509: too many intermediates"},
		{"an intermediate for mail", chainText(leaf(mail, x509.Certificate{}, key), mail.cert), pkcs8(t, key), "for servers, in a chain of 2: x509: certificate specifies an incompatible key usage"},
		{"signed by no authority", chainText(leaf(plain, x509.Certificate{}, key), plain.cert), pkcs8(t, key), "want its issuer, CN=no authority: x509: invalid signature: parent certificate cannot sign"},
		{"for another name", chainText(leaf(mid, x509.Certificate{DNSNames: []string{"www.example.test"}}, key), mid.cert), pkcs8(t, key), "found a certificate for www.example.test, want one for api.example.test"},
		{"a wildcard above", chainText(leaf(mid, x509.Certificate{DNSNames: []string{"*.test"}}, key), mid.cert), pkcs8(t, key), "found a certificate for *.test, want one for api.example.test, or for origin.api.example.test or a name under it; a wildcard stands for one label"},
		{"a wildcard below", chainText(leaf(mid, x509.Certificate{DNSNames: []string{"*.api.example.test"}}, key), mid.cert), pkcs8(t, key), "; a wildcard stands for one label, and not for none"},
		{"a trailing dot", chainText(leaf(mid, x509.Certificate{DNSNames: []string{"api.example.test."}}, key), mid.cert), pkcs8(t, key), "; no client takes a name that ends with a dot"},
		{"an address", chainText(leaf(mid, x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, key), mid.cert), pkcs8(t, key), "no DNS name, only the addresses [192.0.2.1], want one for"},
		{"a common name alone", chainText(leaf(mid, x509.Certificate{Subject: pkix.Name{CommonName: name}}, key), mid.cert), pkcs8(t, key), "no DNS name, only the common name \"api.example.test\""},
		{"P-224", chainText(leaf(mid, x509.Certificate{}, p224), mid.cert), pkcs8(t, p224), "with a key on P-224, want P-256"},
		{"for clients", chainText(leaf(mid, x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key), mid.cert), pkcs8(t, key), "which is not for servers, want the extended key usage serverAuth"},
		{"an authority's own", chainText(leaf(mid, x509.Certificate{IsCA: true, BasicConstraintsValid: true, DNSNames: []string{name}}, key), mid.cert), pkcs8(t, key), ""},
	} {
		cfg := cert.Config{Domains: []string{name}, Under: "origin." + name, Now: func() time.Time { return noon }}
		_, err := cfg.Check(cert.Bundle{Name: "certificate", Chain: []byte(x.chain), Key: []byte(x.key)})
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
	}
}
