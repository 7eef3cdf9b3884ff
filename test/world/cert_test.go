package world_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/test/harness"
)

// An authority signs certificates that a world did not make.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a key and a certificate of it, its own if a has none yet.
func (a *authority) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, by := c, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed, key
}

// files writes a certificate for a domain, and its key.
func (a *authority) files(t *testing.T, dir, domain string, serial int64) (chain, key string) {
	t.Helper()
	c, k := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{domain}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, fmt.Sprintf("%d.%s", serial, name))
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("pem", "CERTIFICATE", c.Raw), write("key", "PRIVATE KEY", der)
}

// A greeter does handshakes with one edge, each on a connection of its own and none
// with a ticket, and notes what it was shown.
type greeter struct {
	addr   string
	tls    *tls.Config
	done   atomic.Int64
	serial atomic.Int64 // that was shown last
	failed atomic.Pointer[error]
}

func (g *greeter) greet() error {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", g.addr, g.tls)
	if err != nil {
		return err
	}
	defer c.Close()
	g.serial.Store(c.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
	g.done.Add(1)
	return nil
}

// TestACertificateThatIsAddedIsShownByAllEdges adds certificates one after another
// while clients do handshakes with every edge: each edge shows the newest, none
// shows an older one after it, and no handshake fails. One that is for another name
// is refused and changes nothing.
func TestACertificateThatIsAddedIsShownByAllEdges(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s, dir, a := w.Status(), t.TempDir(), newAuthority(t)
	roots := s.Roots(t)
	roots.AddCert(a.cert)
	var edges []*greeter
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for _, e := range s.Edges {
		g := &greeter{addr: e.HTTPS, tls: &tls.Config{RootCAs: roots, ServerName: s.Domain}}
		edges = append(edges, g)
		for range 2 {
			clients.Go(func() {
				tick := time.NewTicker(50 * time.Millisecond) // a steady load, and not all that the machine can do
				defer tick.Stop()
				for {
					if err := g.greet(); err != nil {
						g.failed.CompareAndSwap(nil, &err)
					}
					select {
					case <-stop:
						return
					case <-tick.C:
					}
				}
			})
		}
	}
	shown := func(serial int64) {
		t.Helper()
		begin := time.Now()
		for _, g := range edges {
			harness.Eventually(t, 30*time.Second, func() error {
				if n := g.serial.Load(); n != serial {
					return fmt.Errorf("%s shows %d, want %d", g.addr, n, serial)
				}
				return nil
			})
		}
		t.Logf("certificate %d is shown by %d edges, %v after the command", serial, len(edges), time.Since(begin).Round(time.Millisecond))
	}
	for serial := int64(100); serial < 110; serial++ {
		chain, key := a.files(t, dir, s.Domain, serial)
		w.Do("cert", "add", chain, key)
		shown(serial)
	}
	chain, key := a.files(t, dir, "www.example.org", 200)
	if out, err := w.Try(time.Minute, "cert", "add", chain, key); err == nil {
		t.Errorf("a certificate for another name was taken: %s", out)
	}
	shown(109)
	close(stop)
	clients.Wait()
	total := int64(0)
	for _, g := range edges {
		total += g.done.Load()
		if err := g.failed.Load(); err != nil {
			t.Errorf("a handshake with %s failed: %v", g.addr, *err)
		}
	}
	t.Logf("%d handshakes", total)
	// The control: whoever does not trust the authority hears of each change.
	strict := &greeter{addr: edges[0].addr, tls: &tls.Config{RootCAs: s.Roots(t), ServerName: s.Domain}}
	w.Do("cert", "remove", "--yes", s.Domain)
	harness.Eventually(t, 30*time.Second, strict.greet)
	w.Do("cert", "add", filepath.Join(dir, "109.pem"), filepath.Join(dir, "109.key"))
	harness.Eventually(t, 30*time.Second, func() error {
		if strict.greet() == nil {
			return fmt.Errorf("who does not trust the authority still does handshakes: the test shows nothing")
		}
		return nil
	})
}
