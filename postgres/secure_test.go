package postgres

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meridian/postgres/pgtest"
)

// TestLoginsAreBoundToTheirConnection logs in with libpq, which knows the
// proxy's certificate, and through somebody between who has another one and
// passes everything on. Control: a login that is not bound gets through there.
func TestLoginsAreBoundToTheirConnection(t *testing.T) {
	cert := selfSigned(t)
	w := newWorld(t, func(_ *Config, d *Deps) { d.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	psql, err := pgtest.Binary("psql")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root.pem")
	write(t, root, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	login := func(addr, options string) string {
		url := strings.Replace(dsn(w.dub), w.dub.Addr().String(), addr, 1)
		url = strings.Replace(url, "sslmode=disable", options, 1)
		out, _ := exec.Command(psql, url, "-qAtc", "select 42").CombinedOutput()
		return string(out)
	}
	proxy, between := w.dub.Addr().String(), w.between(w.dub)
	for _, c := range []struct{ addr, options, want string }{
		{proxy, "sslmode=verify-full&channel_binding=require&sslrootcert=" + root, "42\n"},
		{proxy, "sslmode=verify-full&channel_binding=disable&sslrootcert=" + root, "42\n"},
		{proxy, "sslmode=disable&channel_binding=prefer", "42\n"},
		{proxy, "sslmode=disable&channel_binding=require", "channel binding"},
		{between, "sslmode=verify-full&sslrootcert=" + root, "certificate verify failed"},
		{between, "sslmode=require&channel_binding=require", "password authentication failed"},
		{between, "sslmode=require&channel_binding=prefer", "password authentication failed"},
		{between, "sslmode=require&channel_binding=disable", "42\n"}, // the control
	} {
		if got := login(c.addr, c.options); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", strings.Replace(c.options, root, "FILE", 1), got, c.want)
		}
	}
}

// between returns the address of somebody who ends TLS with a certificate of
// their own, and passes on what they hear.
func (w *world) between(p *Proxy) string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	own := &tls.Config{Certificates: []tls.Certificate{selfSigned(w.t)}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go passOn(c, p.Addr().String(), own)
		}
	}()
	return l.Addr().String()
}

// passOn serves one client of a man in the middle.
func passOn(client net.Conn, addr string, own *tls.Config) {
	defer client.Close()
	request, answer := make([]byte, 8), make([]byte, 1)
	if _, err := io.ReadFull(client, request); err != nil {
		return
	}
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	server.Write(request)
	io.ReadFull(server, answer)
	client.Write(answer)
	a, b := tls.Server(client, own), tls.Client(server, &tls.Config{InsecureSkipVerify: true})
	go func() { io.Copy(b, a); b.Close() }()
	io.Copy(a, b)
}
