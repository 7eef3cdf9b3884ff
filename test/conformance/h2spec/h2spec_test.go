package h2spec

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"meridian"
	"meridian/edge"
	"meridian/edge/cert"
	"meridian/topology"
)

// suiteSize is how many tests h2spec has, strict ones included.
const suiteSize = 146

// TestEveryTestOfH2specPasses takes some ten seconds: h2spec waits for what
// must not come.
func TestEveryTestOfH2specPasses(t *testing.T) {
	if testing.Short() {
		t.Skip("h2spec takes ten seconds")
	}
	report, out := run(t, startEdge(t, startGateway(t)))
	passed := 0
	for _, s := range report.Suites {
		for _, c := range s.Cases {
			if c.Failure == nil && c.Error == nil {
				passed++
				continue
			}
			t.Errorf("%s %s %s", s.Package, s.Name, c.Class)
		}
	}
	if passed != suiteSize {
		t.Errorf("%d tests passed, want %d\n%s", passed, suiteSize, out)
	}
}

// A report is what h2spec writes in JUnit's form.
type report struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		Name    string `xml:"name,attr"`
		Cases   []struct {
			Class   string  `xml:"classname,attr"`
			Failure *string `xml:"failure"`
			Error   *string `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// run runs the suite. Its exit code says only what the report says too.
func run(t *testing.T, edge string) (r report, out []byte) {
	t.Helper()
	host, port, _ := net.SplitHostPort(edge)
	file := filepath.Join(t.TempDir(), "report.xml")
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../../tools/go.mod", "h2spec", "-t", "-k", "-S", "-h", host, "-p", port, "-j", file)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	raw, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatalf("h2spec wrote no report: %v\n%s", err, text.Bytes())
	}
	if err := xml.Unmarshal(raw, &r); err != nil {
		t.Fatalf("h2spec's report: %v", err)
	}
	return r, text.Bytes()
}

// startGateway starts a region that answers everything with a few bytes.
func startGateway(t *testing.T) net.Addr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello, h2spec")
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr()
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
