package pki

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustCreate(t *testing.T, dir string, now time.Time, nodes ...string) *CA {
	t.Helper()
	ca, err := create(dir, func() time.Time { return now }, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestNodeProvesItsNameBothWays(t *testing.T) {
	dir := t.TempDir()
	for _, node := range []string{"eu-west-1", "eu-west-1/edge", "a b%2F+c"} {
		if _, err := Create(dir, node); err != nil {
			t.Fatal(err)
		}
		cert, roots, err := LoadNode(dir, node)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Errorf("%s: %v", node, err)
			}
		}
		if name, ok := NodeOf(cert.Leaf); name != node || !ok {
			t.Errorf("the certificate of %q names %q", node, name)
		}
	}
}

func TestOtherAuthorityIsNotTrusted(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	now := time.Now()
	mustCreate(t, ours, now, "fra")
	other := mustCreate(t, theirs, now, "fra")
	cert, _, err := LoadNode(ours, "fra")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: other.Pool()}); err == nil {
		t.Error("a certificate of another authority is trusted")
	}
}

func TestWhatIsGoodIsKept(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	mustCreate(t, dir, now, "fra")
	ca, leaf := read(t, dir, "ca.pem"), read(t, dir, "node-fra.pem")
	mustCreate(t, dir, now.Add(leafLife/2), "fra")
	if !bytes.Equal(leaf, read(t, dir, "node-fra.pem")) {
		t.Error("a good certificate was replaced")
	}
	mustCreate(t, dir, now.Add(leafLife*3/4), "fra")
	if bytes.Equal(leaf, read(t, dir, "node-fra.pem")) {
		t.Error("a certificate that ends soon was kept")
	}
	if !bytes.Equal(ca, read(t, dir, "ca.pem")) {
		t.Error("the authority was replaced")
	}
}

func TestDamagedLeafIsMadeAnewAndDamagedAuthorityIsNot(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	mustCreate(t, dir, now, "fra")
	if err := os.WriteFile(filepath.Join(dir, "node-fra.key"), []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, dir, now, "fra")
	if _, _, err := LoadNode(dir, "fra"); err != nil {
		t.Errorf("after repair: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	ca := read(t, dir, "ca.pem")
	if _, err := Create(dir, "fra"); err == nil {
		t.Error("an authority without its key was opened")
	}
	if !bytes.Equal(ca, read(t, dir, "ca.pem")) {
		t.Error("the authority was replaced")
	}
}

func TestServerCertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ca := mustCreate(t, dir, now)
	certFile, keyFile, err := ca.IssueServer("api.example.test", "*.origin.api.example.test", "127.10.1.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := load(certFile[:len(certFile)-len(".pem")])
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"api.example.test":                  true,
		"us-east-1.origin.api.example.test": true,
		"127.10.1.1":                        true,
		"example.test":                      false,
	} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: host})
		if (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, ok := NodeOf(pair.Leaf); ok {
		t.Error("a server certificate names a node")
	}
	for _, f := range []string{keyFile, filepath.Join(dir, "ca.key")} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

func TestOtherNamesAreIssuedAnew(t *testing.T) {
	ca := mustCreate(t, t.TempDir(), time.Now())
	certFile, _, err := ca.IssueServer("api.example.test")
	if err != nil {
		t.Fatal(err)
	}
	before := read(t, certFile)
	if _, _, err := ca.IssueServer("api.example.test", "www.example.test"); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, read(t, certFile)) {
		t.Error("a certificate without the new name was kept")
	}
}
