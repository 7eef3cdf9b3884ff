package httpcache

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meridian"
	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/cert"
	"meridian/edge/origin"
	"meridian/topology"
)

// otherSuite is the folder of another version of the suite, to be run in place of
// the one that is installed.
var otherSuite = os.Getenv("CACHE_SUITE")

// suite is where the suite's files are, and where in them its programs.
func suite(t *testing.T) (dir, engine string) {
	dir = otherSuite
	if dir == "" {
		dir = "../../../build/cache-tests/node_modules/http-cache-tests"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{"", "test-engine"} { // later versions have a folder for them
		if _, err = os.Stat(filepath.Join(dir, engine, "cli.mjs")); err == nil {
			return dir, engine
		}
	}
	t.Fatalf("the suite is not there: %v; make deps installs it, CACHE_SUITE names another folder", err)
	return "", ""
}

// node returns a command that runs the suite's program.
func node(ctx context.Context, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "node", append([]string{"--no-warnings"}, args...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), append(env, "npm_package_config_id=", "npm_config_id=")...)
	return cmd
}

var listening = regexp.MustCompile(`^Listening on .*:(\d+)/`)

// startOrigin starts the suite's server on a port of its own choice.
func startOrigin(t *testing.T, dir, engine string) (addr string) {
	cmd := node(t.Context(), dir, []string{"npm_config_protocol=http", "npm_config_port=0", "npm_config_pidfile=" + filepath.Join(t.TempDir(), "pid")}, filepath.Join(engine, "server/server.mjs"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, out) // ends with the server
			return "127.0.0.1:" + m[1]
		}
	}
	t.Fatalf("the suite's server did not say where it listens: %v", lines.Err())
	return ""
}

// hops may not stand in HTTP/2 (RFC 9113, section 8.2.2): a gateway drops them
// and what they name.
var hops = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade"}

// startGateway starts an HTTP/2 server that passes all on to the origin, and all
// that comes back, 1xx responses and broken connections too.
func startGateway(t *testing.T, origin string) net.Addr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true, DialContext: dialFiltered}
	srv := &http.Server{Protocols: protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			for name, values := range h {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			clear(w.Header())
			return nil
		}}
		out := r.Clone(httptrace.WithClientTrace(r.Context(), trace))
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", origin, ""
		resp, err := tr.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		for _, line := range resp.Header["Connection"] {
			for _, name := range regexp.MustCompile(`[^, ]+`).FindAllString(line, -1) {
				resp.Header.Del(name)
			}
		}
		for _, name := range hops {
			resp.Header.Del(name)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close(); tr.CloseIdleConnections() })
	return l.Addr()
}

// dialFiltered connects to the origin. One test's origin names a transfer coding
// that does not exist: net/http would read no further, but what an origin says of
// its connection is for the gateway to bear. The edge never sees it.
func dialFiltered(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &filtered{Conn: c, from: bufio.NewReader(c)}, err
}

// A filtered connection takes Transfer-Encoding out of one response's head,
// unless it is chunked.
type filtered struct {
	net.Conn
	from *bufio.Reader
	line []byte
	body bool // the head has passed
}

func (f *filtered) Read(b []byte) (int, error) {
	for len(f.line) == 0 {
		if f.body {
			return f.from.Read(b)
		}
		line, err := f.from.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		name, value, _ := strings.Cut(string(line), ":")
		if strings.EqualFold(name, "Transfer-Encoding") && strings.TrimSpace(value) != "chunked" {
			continue
		}
		f.line, f.body = line, len(bytes.TrimSpace(line)) == 0
	}
	n := copy(b, f.line)
	f.line = f.line[n:]
	return n, nil
}

// startEdge starts an edge before a gateway and before an origin that somebody
// else runs, to which all requests go if own is true. It returns where the edge
// is, and the file of what to trust.
func startEdge(t *testing.T, gateway net.Addr, server string, own bool) (base, roots string) {
	const region = meridian.Region("eu-west-1")
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{Domain: "localhost", Regions: []topology.Region{{Name: region, Healthy: true, Primary: true}}})
	pair, roots := certificate(t)
	certs := cert.New(cert.Config{Domains: []string{"localhost"}})
	if err := certs.Load([]cert.Pair{pair}); err != nil {
		t.Fatal(err)
	}
	cfg := edge.Config{Place: region, Node: "eu-west-1/edge", Domain: "localhost", HTTPS: "127.0.0.1:0"}
	if own {
		all := cache.Selection{Mode: cache.All}
		cfg.Origins = []origin.CustomConfig{{Name: "suite", URL: &url.URL{Scheme: "http", Host: server}}}
		cfg.Behaviors = []edge.Behavior{{Path: "*", Origin: "suite", Request: edge.RequestPolicy{Name: "AllViewer", Headers: all, Cookies: all, Query: all}}}
	}
	e, err := edge.New(cfg, edge.Deps{
		Map: m, Certs: certs, Dial: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
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
	_, port, _ := net.SplitHostPort(https.String())
	return "https://localhost:" + port, roots
}

// certificate makes a certificate for localhost, signed by itself.
func certificate(t *testing.T) (pair cert.Pair, roots string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair = cert.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{pair.Cert: {Type: "CERTIFICATE", Bytes: der}, pair.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tls.LoadX509KeyPair(pair.Cert, pair.Key); err != nil {
		t.Fatal(fmt.Errorf("the certificate just made: %w", err))
	}
	return pair, pair.Cert
}
