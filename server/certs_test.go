package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/edge/cert"
	"meridian/internal/keyring"
	"meridian/store"
)

func (e *ledgerEnd) Delete(_ context.Context, key string) error {
	if e.isCut() {
		return errCut
	}
	e.memoryLedger.mu.Lock()
	defer e.memoryLedger.mu.Unlock()
	e.rev++
	delete(e.entries, key)
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

func newLedger() *memoryLedger {
	return &memoryLedger{entries: map[string]store.Entry{}, changed: make(chan struct{})}
}

// pairFor returns a self-signed certificate and its key as PEM.
func pairFor(t testing.TB, serial int64, names ...string) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: now.Add(-time.Hour + time.Duration(serial)*time.Second), NotAfter: now.Add(60 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}))
}

func ringOf(t testing.TB, lines ...string) func() (keyring.Ring, error) {
	t.Helper()
	r, err := keyring.Parse(strings.Join(lines, ""))
	if err != nil {
		t.Fatal(err)
	}
	return func() (keyring.Ring, error) { return r, nil }
}

const certDomain = "api.example.test"

// A certWorld is the certificates of a world: an operator's side, and edges.
type certWorld struct {
	certAdmin
	ledger *memoryLedger
	shelf  *shelf // of one edge
	mark   atomic.Pointer[string]
}

func newCertWorld(t testing.TB, ring func() (keyring.Ring, error)) *certWorld {
	t.Helper()
	w := &certWorld{ledger: newLedger()}
	f := &config.File{Domain: certDomain}
	w.certAdmin = certAdmin{file: f, store: &ledgerEnd{memoryLedger: w.ledger}, ring: ring, now: time.Now, edges: func() map[string]string {
		told := map[string]string{"a/edge": ""}
		if m := w.mark.Load(); m != nil {
			told["a/edge"] = *m
		}
		return told
	}}
	w.shelf = w.newShelf(ring)
	return w
}

func (w *certWorld) newShelf(ring func() (keyring.Ring, error)) *shelf {
	return &shelf{
		certs: cert.New(certConfig(&config.File{Domain: certDomain})), store: &ledgerEnd{memoryLedger: w.ledger}, ring: ring,
		log: slog.New(slog.DiscardHandler), tell: func(mark string) { w.mark.Store(&mark) }, now: time.Now, fresh: make(chan struct{}, 1),
	}
}

// shows returns the serial number of what a handshake gets.
func shows(t testing.TB, s *shelf) int64 {
	t.Helper()
	c, err := s.certs.GetCertificate(&tls.ClientHelloInfo{ServerName: certDomain})
	if err != nil {
		return 0
	}
	return c.Leaf.SerialNumber.Int64()
}

func (w *certWorld) add(t testing.TB, serial int64) {
	t.Helper()
	chain, key := pairFor(t, serial, certDomain)
	if _, err := w.Add(t.Context(), client.NewCertificate{Chain: chain, Key: key}); err != nil {
		t.Fatal(err)
	}
}

// TestACertificateIsRotatedWithoutAFailedHandshake adds 100 certificates one after
// another while clients do handshakes all the time.
func TestACertificateIsRotatedWithoutAFailedHandshake(t *testing.T) {
	w := newCertWorld(t, ringOf(t, keyring.NewLine()))
	w.add(t, 1)
	ctx, stop := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	ready := make(chan struct{})
	parts.Go(func() { w.shelf.run(ctx, func() { close(ready) }) })
	<-ready
	done, failed, seen, clients := atomic.Int64{}, atomic.Int64{}, sync.Map{}, sync.WaitGroup{}
	ended := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				leaf, err := handshake(w.shelf.certs.GetCertificate)
				if done.Add(1); err != nil {
					failed.Add(1)
					continue
				}
				seen.Store(leaf.SerialNumber.Int64(), true)
			}
		})
	}
	for serial := int64(2); serial <= 100; serial++ {
		watch := w.shelf.store.Watch()
		w.add(t, serial)
		for shows(t, w.shelf) != serial {
			<-watch
		}
	}
	close(ended)
	clients.Wait()
	rotations := 0
	seen.Range(func(any, any) bool { rotations++; return true })
	if failed.Load() != 0 || done.Load() == 0 {
		t.Errorf("%d of %d handshakes failed", failed.Load(), done.Load())
	}
	t.Logf("%d handshakes saw %d certificates", done.Load(), rotations)

	// The control: who changes certificate and key one after the other shows, in
	// between, a pair that no client can use.
	halves := &tls.Certificate{}
	oldChain, oldKey := pairFor(t, 1, certDomain)
	newChain, _ := pairFor(t, 2, certDomain)
	was, err1 := tls.X509KeyPair([]byte(oldChain), []byte(oldKey))
	block, _ := pem.Decode([]byte(newChain))
	halves.PrivateKey, halves.Certificate = was.PrivateKey, [][]byte{block.Bytes}
	if _, err := handshake(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return halves, nil }); err == nil || err1 != nil {
		t.Errorf("a handshake with the key of another certificate: %v, %v", err, err1)
	}
}

// handshake does one as a client that looks at the certificate alone.
func handshake(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (*x509.Certificate, error) {
	a, b := net.Pipe()
	var server sync.WaitGroup
	defer server.Wait()
	defer a.Close()
	server.Go(func() {
		defer b.Close()
		tls.Server(b, serverTLS(get)).Handshake()
	})
	c := tls.Client(a, &tls.Config{ServerName: certDomain, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0], nil
}

func TestABadCertificateIsRefusedAndNeverReplacesAGoodOne(t *testing.T) {
	w := newCertWorld(t, ringOf(t, keyring.NewLine()))
	w.add(t, 1)
	w.shelf.look(t.Context())
	chain, key := pairFor(t, 2, certDomain)
	_, another := pairFor(t, 3, certDomain)
	other, otherKey := pairFor(t, 4, "www.example.test")
	for want, in := range map[string]client.NewCertificate{
		"found the key of another certificate":                                                    {Chain: chain, Key: another},
		"found a certificate for www.example.test, want one for api.example.test":                 {Chain: other, Key: otherKey},
		"found no PEM block, want a PEM block CERTIFICATE":                                        {Chain: "hello", Key: key},
		"found only CERTIFICATE, want a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY": {Chain: chain, Key: chain},
		`found "api.example.test" twice in the chain, at places 1 and 2, want it once`:            {Chain: chain + chain, Key: key},
		`the name "a/b"; expected at most 253 characters, without spaces and slashes`:             {Chain: chain, Key: key, Name: "a/b"},
	} {
		if _, err := w.Add(t.Context(), in); err == nil || !strings.Contains(err.Error(), want) || meridian.KindOf(err) != meridian.Invalid {
			t.Errorf("%v, want ... %s", err, want)
		}
	}
	// What comes into the store in another way is refused at each edge.
	at := certKey(cert.SourceUpload, certDomain)
	e, _ := w.store.View().Get(at)
	if ok, err := w.store.CompareAndSwap(t.Context(), at, e.Rev, []byte(`{"source":"upload","chain":"hello"}`)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.shelf.look(t.Context())
	if got := shows(t, w.shelf); got != 1 {
		t.Errorf("certificate %d is shown, want the good one", got)
	}
	if l := w.List(); len(l) != 1 || l[0].Edges != 0 || !strings.Contains(l[0].Waiting["a/edge"], "its private key") {
		t.Errorf("the operator sees %+v", l)
	}
	w.add(t, 5) // the control: a good one does replace it
	w.shelf.look(t.Context())
	if got := shows(t, w.shelf); got != 5 {
		t.Errorf("certificate %d is shown, want 5", got)
	}
}

// TestPrivateKeysAreEncryptedInTheStore looks for the key's bytes there, and
// changes the key that they are encrypted with.
func TestPrivateKeysAreEncryptedInTheStore(t *testing.T) {
	first, second := keyring.NewLine(), keyring.NewLine()
	w := newCertWorld(t, ringOf(t, first))
	chain, key := pairFor(t, 1, certDomain)
	if _, err := w.Add(t.Context(), client.NewCertificate{Chain: chain, Key: key}); err != nil {
		t.Fatal(err)
	}
	at := certKey(cert.SourceUpload, certDomain)
	e, _ := w.store.View().Get(at)
	for _, line := range strings.Split(key, "\n")[1:3] {
		if strings.Contains(string(e.Value), line) {
			t.Error("the store has the private key in clear")
		}
	}
	stranger := w.newShelf(ringOf(t, second)) // the control: without the key nobody reads it
	if stranger.look(t.Context()); shows(t, stranger) != 0 {
		t.Error("a node without the key shows the certificate")
	}
	both := w.newShelf(ringOf(t, second, first))
	if both.look(t.Context()); shows(t, both) != 1 {
		t.Error("a node with both keys does not show the certificate")
	}
	now, _ := w.store.View().Get(at)
	if now.Rev == e.Rev {
		t.Error("the private key stays under the old key")
	}
	stranger.seen = ""
	if stranger.look(t.Context()); shows(t, stranger) != 1 {
		t.Error("a node with the new key alone does not show the certificate")
	}
	text, _ := keyring.Parse(second)
	if _, _, err := cert.Decode(text, certDomain, at+"x", now.Value); err == nil {
		t.Error("an encrypted key opens at another place")
	}
}

func TestTheLastCertificateIsNotRemoved(t *testing.T) {
	w := newCertWorld(t, ringOf(t, keyring.NewLine()))
	w.add(t, 1)
	if err := w.Remove(t.Context(), certDomain); meridian.KindOf(err) != meridian.Invalid {
		t.Error(err)
	}
	if err := w.Remove(t.Context(), "nobody"); meridian.KindOf(err) != meridian.NotFound {
		t.Error(err)
	}
	chain, key := pairFor(t, 2, certDomain)
	if _, err := w.Add(t.Context(), client.NewCertificate{Name: "second", Chain: chain, Key: key}); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), certDomain); err != nil { // the control: another is there
		t.Error(err)
	}
	if l := w.List(); len(l) != 1 || l[0].Name != "second" {
		t.Errorf("%+v", l)
	}
}
