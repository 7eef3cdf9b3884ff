package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/edge/trust"
	"meridian/identity"
)

// A clientCA signs certificates of clients.
type clientCA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClientCA(t testing.TB) *clientCA {
	t.Helper()
	ca := &clientCA{t: t}
	c := ca.sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign})
	ca.cert, ca.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return ca
}

func (ca *clientCA) sign(c *x509.Certificate) tls.Certificate {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (ca *clientCA) client(name string, serial int64) tls.Certificate {
	return ca.sign(&x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (ca *clientCA) store() *trust.Store {
	ca.t.Helper()
	s, err := trust.New(trust.Config{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})})
	if err != nil {
		ca.t.Fatal(err)
	}
	return s
}

// A certOrigin notes what a region is told of the client's certificate.
type certOrigin struct {
	mu   sync.Mutex // guards what follows
	seen http.Header
}

func (o *certOrigin) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = r.Header.Clone()
	io.WriteString(w, "hello")
}

func (o *certOrigin) header() http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

// as returns a client of the world that shows certificates; none is nil.
func (w *world) as(cs []tls.Certificate, sessions tls.ClientSessionCache) *http.Client {
	conf := &tls.Config{RootCAs: w.roots, ServerName: domain, Certificates: cs, ClientSessionCache: sessions}
	https, _ := w.Addrs()
	tr := &http.Transport{TLSClientConfig: conf, DisableKeepAlives: sessions != nil, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, https.String())
	}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestWhoMayComeInByTheirCertificate tries each mode with each client.
func TestWhoMayComeInByTheirCertificate(t *testing.T) {
	ca, other := newClientCA(t), newClientCA(t)
	good, bad := ca.client("alice", 0xa11ce), other.client("mallory", 0xbad)
	for mode, want := range map[string]string{"": "good bad none", ClientsRequired: "good", ClientsOptional: "good none", ClientsPassthrough: "good bad none"} {
		o := &certOrigin{}
		w := newWorld(t, []*region{{name: "eu-west-1", serve: o.serve}}, func(c *Config, d *Deps, _ *world) {
			if c.TLS.Clients.Mode = mode; mode != ClientsPassthrough && mode != "" {
				c.TLS.Clients.Trust = ca.store()
			}
			d.Key = func() identity.EdgeKey { return identity.EdgeKey{ID: "edge#1", Secret: make([]byte, 32)} }
		})
		for name, cs := range map[string][]tls.Certificate{"good": {good}, "bad": {bad}, "none": nil} {
			req := mustRequest(t, w.url+"/x")
			req.Header["Client-Cert"] = []string{":c3Bvb2ZlZA==:"}
			req.Header["client_cert"] = []string{":c3Bvb2ZlZA==:"}
			req.Header["Client-Cert-Chain"] = []string{":c3Bvb2ZlZA==:"}
			resp, err := w.as(cs, nil).Do(req)
			if in := err == nil; in != strings.Contains(want, name) {
				t.Errorf("mode %q, certificate %s: %v", mode, name, err)
			}
			if err != nil {
				continue
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			told := ""
			if mode != "" && cs != nil {
				told = ":" + base64.StdEncoding.EncodeToString(cs[0].Certificate[0]) + ":"
			}
			h := o.header()
			if got := h.Get("Client-Cert"); got != told || len(h["Client_cert"])+len(h["Client-Cert-Chain"]) > 0 {
				t.Errorf("mode %q, certificate %s: the region is told %.40q", mode, name, got)
			}
			sealed := h.Get(identity.HeaderIdentity) != ""
			if vouched := name == "good" && (mode == ClientsRequired || mode == ClientsOptional); sealed != vouched {
				t.Errorf("mode %q, certificate %s: an identity is sealed: %v", mode, name, sealed)
			}
		}
	}
}

// TestARevokedClientIsRefusedThoughItHasATicket revokes a certificate after its
// handshake, for a connection that is open and for one that resumes.
func TestARevokedClientIsRefusedThoughItHasATicket(t *testing.T) {
	ca := newClientCA(t)
	trusted := ca.store()
	w := newWorld(t, []*region{{name: "eu-west-1", serve: (&certOrigin{}).serve}}, func(c *Config, _ *Deps, _ *world) {
		c.TLS.Clients = Clients{Mode: ClientsRequired, Trust: trusted, Advertise: true}
	})
	get := func(c *http.Client) (status int, resumed bool, err error) {
		resp, err := c.Get(w.url + "/x")
		if err != nil {
			return 0, false, err
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.TLS.DidResume, nil
	}
	alice := []tls.Certificate{ca.client("alice", 0xa11ce)}
	open, again := w.as(alice, nil), w.as(alice, tls.NewLRUClientSessionCache(4))
	for i := range 2 { // the control: the second resumes, and is let in
		if status, resumed, err := get(again); status != 200 || resumed != (i == 1) || err != nil {
			t.Fatal(status, resumed, err)
		}
	}
	if status, _, err := get(open); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	trusted.RevokeSerials([]string{"a11ce"})
	if status, _, err := get(open); status != http.StatusForbidden || err != nil {
		t.Errorf("on an open connection: %d, %v", status, err)
	}
	if status, _, err := get(again); err == nil {
		t.Errorf("with a ticket: %d", status)
	}
	bob := w.as([]tls.Certificate{ca.client("bob", 0xb0b)}, nil) // another is let in
	if status, _, err := get(bob); status != 200 || err != nil {
		t.Errorf("another: %d, %v", status, err)
	}
}
