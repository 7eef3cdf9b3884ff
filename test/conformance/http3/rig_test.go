package http3

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"meridian"
	"meridian/edge"
	"meridian/edge/cert"
	"meridian/topology"
)

// startGateway starts a region that sends back what it is sent: the method and the
// body, or with ?bytes=N as many of x.
func startGateway(t *testing.T) net.Addr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Early", r.Header.Get("Early-Data"))
		if n, err := strconv.Atoi(r.URL.Query().Get("bytes")); err == nil {
			io.CopyN(w, repeat('x'), int64(n))
			return
		}
		io.WriteString(w, r.Method+" ")
		io.Copy(w, r.Body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr()
}

// repeat reads as one byte for ever.
type repeat byte

func (c repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

// startEdge starts an edge before a gateway, and returns where it is.
func startEdge(t *testing.T, gateway net.Addr) string {
	const region = meridian.Region("eu-west-1")
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{Domain: "localhost", Regions: []topology.Region{{Name: region, Healthy: true, Primary: true}}})
	e, err := edge.New(edge.Config{Place: region, Node: "eu-west-1/edge", Domain: "localhost", HTTPS: "127.0.0.1:0"}, edge.Deps{
		Map: m, Certs: certificates(t), Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", gateway.String())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- e.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-ready
	https, _ := e.Addrs()
	return https.String()
}

// certificates makes a certificate for localhost, signed by itself.
func certificates(t *testing.T) edge.Certificates {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	store := cert.New(cert.Config{Domains: []string{"localhost"}, Roots: roots})
	if err := store.Use(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	return store
}
