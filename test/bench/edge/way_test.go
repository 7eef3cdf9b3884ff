package edge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/test/bench/peer"
	"meridian/test/harness"
)

// domain is the name by which clients ask.
const domain = "bench.example.test"

// A way is a door, and what stands behind it.
type way struct {
	name string
	addr string // with its port
	pid  int
}

// origin runs the plain server behind all doors: 1 KiB, which may be kept below
// /hit and may not below /pass.
func origin(b *testing.B) (port int) {
	port = peer.FreePort(b)
	body := strings.Repeat("meridian", 128)
	peer.Start(b, "nginx", fmt.Sprintf(`daemon off; worker_processes 1; pid DIR/pid; error_log stderr; events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  server {
    listen 127.0.0.1:%d; default_type text/plain;
    location /hit { add_header Cache-Control "public, max-age=3600"; return 200 %[2]s; }
    location /pass { add_header Cache-Control no-store; return 200 %[2]s; }
  }
}`, port, body), nil, "-e", "stderr", "-c", "FILE")
	peer.Listening(b, port)
	return port
}

func nginx(b *testing.B, origin int) way {
	port := peer.FreePort(b)
	pid := peer.Start(b, "nginx", fmt.Sprintf(`daemon off; worker_processes 1; pid DIR/pid; error_log stderr; events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h; http2_max_requests 100000000;
  client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  proxy_cache_path DIR/cache keys_zone=c:10m;
  upstream origin { server 127.0.0.1:%d; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%d ssl http2; ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/cert.pem; ssl_protocols TLSv1.3;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host %s;
    location /hit { proxy_cache c; proxy_pass http://origin; }
    location /pass { proxy_pass http://origin; }
  }
}`, origin, port, domain), map[string]string{"cert.pem": certificate(b)}, "-e", "stderr", "-c", "FILE")
	peer.Listening(b, port)
	return way{"nginx", fmt.Sprintf("127.0.0.1:%d", port), pid}
}

func haproxy(b *testing.B, origin int) way {
	port := peer.FreePort(b)
	pid := peer.Start(b, "haproxy", fmt.Sprintf(`global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  http-reuse always
cache c
  total-max-size 16
  max-age 3600
frontend door
  bind 127.0.0.1:%d ssl crt DIR/cert.pem alpn h2,http/1.1 ssl-min-ver TLSv1.3
  http-request cache-use c if { path_beg /hit }
  http-response cache-store c if { res.hdr(Cache-Control) -m sub max-age }
  default_backend origin
backend origin
  server origin 127.0.0.1:%d
`, port, origin), map[string]string{"cert.pem": certificate(b)}, "-f", "FILE")
	peer.Listening(b, port)
	return way{"HAProxy", fmt.Sprintf("127.0.0.1:%d", port), pid}
}

const world = `domain: ` + domain + `
regions: {us-east-1: {primary: true}}
edges: [us-east-1]
api: openapi.yaml
origins: {plain: {url: http://127.0.0.1:%d, connections: 512}}
behaviors:
  - {path: /hit*, origin: plain, cache: {defaultTTL: 1h, maxTTL: 1h}}
  - {path: /pass*, origin: plain, cache: CachingDisabled}
`

// meridian brings up a world of one region, and is its edge.
func meridian(b *testing.B, origin int) way {
	dir := harness.Folder(b)
	for name, text := range map[string]string{
		"meridian.yaml": fmt.Sprintf(world, origin),
		"openapi.yaml":  "openapi: 3.0.3\ninfo: {title: bench, version: '1'}\npaths: {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	w := harness.Up(b, filepath.Join(dir, "meridian.yaml"), filepath.Join(dir, "state"))
	s := w.Status()
	for _, n := range s.Nodes {
		if n.Name == "us-east-1/edge" {
			return way{"meridian", strings.TrimPrefix(s.Edge("us-east-1"), "https://"), n.PID}
		}
	}
	b.Fatalf("no process of the edge: %+v", s.Nodes)
	return way{}
}

// certificate returns a certificate and its key, as the world has them: ECDSA on
// P-256.
func certificate(b *testing.B) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{domain}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}
