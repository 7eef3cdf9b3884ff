package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"meridian/edge/trust"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// An issuer signs for tests.
type issuer struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *issuer) sign(name string, serial int64, change func(*x509.Certificate)) *issuer {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	change(c)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return &issuer{a.t, out, key}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.ExtKeyUsage, c.KeyUsage = true, nil, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
}

func (a *issuer) list(next time.Time, serials ...int64) []byte {
	a.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon.Add(-time.Hour), NextUpdate: next}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: noon.Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func inPEM(kind string, blocks ...[]byte) (out []byte) {
	for _, b := range blocks {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
	}
	return out
}

func TestAClientIsBelievedForAReason(t *testing.T) {
	root := (&issuer{t: t}).sign("root", 1, authority)
	mid := root.sign("mid", 2, authority)
	other := (&issuer{t: t}).sign("other", 1, authority)
	good := mid.sign("good", 10, func(*x509.Certificate) {})
	ended := mid.sign("ended", 11, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
	early := mid.sign("early", 12, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Minute) })
	server := mid.sign("server", 13, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	stranger := other.sign("stranger", 10, func(*x509.Certificate) {})
	for _, tt := range []struct {
		name  string
		ca    []byte
		chain []*issuer
		lax   bool
		want  string
	}{
		{"no certificate", root.cert.Raw, nil, false, "the client showed no certificate"},
		{"with its intermediate", root.cert.Raw, []*issuer{good, mid}, false, ""},
		{"without it", root.cert.Raw, []*issuer{good}, false, `the client's certificate "CN=good": x509: certificate signed by unknown authority`},
		{"the store has it", inPEM("CERTIFICATE", root.cert.Raw, mid.cert.Raw), []*issuer{good}, false, ""},
		{"another authority", root.cert.Raw, []*issuer{stranger}, false, "unknown authority"},
		{"ended", root.cert.Raw, []*issuer{ended, mid}, false, "expired or is not yet valid"},
		{"ended, and that is let be", root.cert.Raw, []*issuer{ended, mid}, true, ""},
		{"not begun", root.cert.Raw, []*issuer{early, mid}, false, "expired or is not yet valid"},
		{"not begun, and that is let be", root.cert.Raw, []*issuer{early, mid}, true, ""},
		{"for servers", root.cert.Raw, []*issuer{server, mid}, false, "incompatible key usage"},
	} {
		if !bytes.HasPrefix(tt.ca, []byte("-----")) {
			tt.ca = inPEM("CERTIFICATE", tt.ca)
		}
		s, err := trust.New(trust.Config{CA: tt.ca, IgnoreExpiry: tt.lax})
		if err != nil {
			t.Fatal(err)
		}
		var chain []*x509.Certificate
		for _, c := range tt.chain {
			chain = append(chain, c.cert)
		}
		if err := s.Verify(chain, noon); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want ... %s", tt.name, err, tt.want)
		}
	}
}

func TestWhatIsRevokedIsRefusedAndABadListChangesNothing(t *testing.T) {
	root := (&issuer{t: t}).sign("root", 1, authority)
	other := (&issuer{t: t}).sign("root", 1, authority) // of the same name
	mid := root.sign("mid", 2, authority)
	a, b := root.sign("a", 0xa, func(*x509.Certificate) {}), mid.sign("b", 0xb, func(*x509.Certificate) {})
	s, err := trust.New(trust.Config{CA: inPEM("CERTIFICATE", root.cert.Raw)})
	if err != nil {
		t.Fatal(err)
	}
	refused := func() (out string) {
		for name, chain := range map[string][]*x509.Certificate{"a": {a.cert}, "b": {b.cert, mid.cert}} {
			if err := s.Verify(chain, noon); err != nil {
				if out += name; !strings.Contains(err.Error(), "was revoked") {
					t.Error(err)
				}
			}
		}
		return out
	}
	if got := refused(); got != "" { // the control
		t.Errorf("%s refused, and nothing was revoked", got)
	}
	if _, err := s.RevokeLists(root.list(noon.Add(time.Hour), 0xa), noon); err != nil || refused() != "a" {
		t.Error(err)
	}
	for want, text := range map[string][]byte{
		"list 1: found one of \"CN=root\", want one that is signed by an authority of the trust store": other.list(noon.Add(time.Hour)),
		"found no list, want a PEM block X509 CRL, or DER":                                             []byte("hello"),
		"found a list that cannot be read":                                                             {0x30, 0},
		"list 2: found one of \"CN=mid\"":                                                              inPEM("X509 CRL", root.list(noon.Add(time.Hour)), mid.list(noon.Add(time.Hour))),
	} {
		if _, err := s.RevokeLists(text, noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want ... %s", err, want)
		}
		if got := refused(); got != "a" {
			t.Errorf("after a bad list %q is refused", got)
		}
	}
	cut := inPEM("X509 CRL", root.list(noon.Add(time.Hour)), root.list(noon.Add(time.Hour), 0xa))
	for _, text := range [][]byte{cut[:len(cut)-40], cut[:len(cut)-200]} { // somebody writes the file
		if _, err := s.RevokeLists(text, noon); err == nil || !strings.Contains(err.Error(), "number 2 of the file, that is cut or damaged") || refused() != "a" {
			t.Errorf("after a list that is cut %q is refused, %v", refused(), err)
		}
	}
	late, err := s.RevokeLists(inPEM("X509 CRL", root.list(noon.Add(-time.Minute), 2)), noon)
	if err != nil || len(late) != 1 || !strings.Contains(late[0], "should have been replaced by 2026-06-01T11:59:00Z") {
		t.Errorf("%v, %v", late, err)
	}
	if got := refused(); got != "b" { // through its intermediate
		t.Errorf("%q is refused, want b", got)
	}
	s.RevokeSerials([]string{"A"})
	if got := refused(); got != "ab" && got != "ba" {
		t.Errorf("%q is refused, want both", got)
	}
}

// TestAnAuthorityOfTheStoreIsRevokedUnderAnOpenConnection has clients send their own
// certificate alone: the one between is in the trust store.
func TestAnAuthorityOfTheStoreIsRevokedUnderAnOpenConnection(t *testing.T) {
	root := (&issuer{t: t}).sign("root", 1, authority)
	mid, other := root.sign("mid", 2, authority), root.sign("other", 3, authority)
	a, b := mid.sign("a", 0xa, func(*x509.Certificate) {}), other.sign("b", 0xb, func(*x509.Certificate) {})
	s, err := trust.New(trust.Config{CA: inPEM("CERTIFICATE", root.cert.Raw, mid.cert.Raw, other.cert.Raw)})
	if err != nil {
		t.Fatal(err)
	}
	stay := func(c *issuer) bool { return s.Refused([]*x509.Certificate{c.cert}, noon.Add(1000*time.Hour)) == nil } // their time is over by then
	if !stay(a) || !stay(b) || s.Refused(nil, noon) != nil {
		t.Error("who was let in is refused, and nothing was revoked")
	}
	if _, err := s.RevokeLists(root.list(noon.Add(time.Hour), 2), noon); err != nil {
		t.Fatal(err)
	}
	if stay(a) || !stay(b) || s.Refused(nil, noon) != nil {
		t.Errorf("after mid was revoked a stays: %v, and b: %v", stay(a), stay(b))
	}
	if _, err := s.RevokeLists(root.list(noon.Add(time.Hour)), noon); err != nil || !stay(a) {
		t.Errorf("after the list is empty a is refused: %v", err)
	}
}

func TestABadTrustStoreIsRefused(t *testing.T) {
	leaf := (&issuer{t: t}).sign("leaf", 1, func(*x509.Certificate) {})
	for want, text := range map[string][]byte{
		"found no certificate, want a PEM block CERTIFICATE":                            []byte("hello"),
		`certificate 1: found "CN=leaf", which is no authority, want one that may sign`: inPEM("CERTIFICATE", leaf.cert.Raw),
		"certificate 1: x509: malformed certificate":                                    inPEM("CERTIFICATE", []byte("x")),
	} {
		if _, err := trust.New(trust.Config{CA: text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want ... %s", err, want)
		}
	}
}

// FuzzLists reads what somebody may have put into a file of lists.
func FuzzLists(f *testing.F) {
	root := (&issuer{t: f}).sign("root", 1, authority)
	s, err := trust.New(trust.Config{CA: inPEM("CERTIFICATE", root.cert.Raw)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(root.list(noon, 1, 2))
	f.Add(inPEM("X509 CRL", root.list(noon, 1)))
	f.Add([]byte{0x30, 0x80})
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) { s.RevokeLists(text, noon) })
}
