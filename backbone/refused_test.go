package backbone

import (
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"

	"meridian"
	"meridian/internal/pki"
)

func TestUnknownServiceIsRefused(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	for name, open := range map[string]opener{"Dial": w.nodes["fra"].Dial, "Open": w.nodes["fra"].Open} {
		_, err := open(t.Context(), "gru", "shell")
		if meridian.KindOf(err) != meridian.Unavailable || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%s = %v", name, err)
		}
	}
}

func TestUnknownNodeIsNotFound(t *testing.T) {
	w := newWorld(t, 0, "gru")
	if _, err := w.nodes["gru"].Open(t.Context(), "mars", "echo"); meridian.KindOf(err) != meridian.NotFound {
		t.Errorf("Open = %v", err)
	}
}

// strangers are TLS configurations that must get nowhere, and one that must
// not be refused: the control that shows the others are refused for what they
// lack.
func TestStrangersAreRefused(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	if _, err := pki.Create(w.dir+"/other", "fra"); err != nil {
		t.Fatal(err)
	}
	ours, _, err := pki.LoadNode(w.dir, "fra")
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, err := pki.LoadNode(w.dir+"/other", "fra")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Create(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, err := ca.IssueServer("api.example.test")
	if err != nil {
		t.Fatal(err)
	}
	public, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		config  *tls.Config
		refused bool
	}{
		{"a node of ours", &tls.Config{Certificates: []tls.Certificate{ours}, NextProtos: []string{alpn("echo")}}, false},
		{"a node of another authority", &tls.Config{Certificates: []tls.Certificate{theirs}, NextProtos: []string{alpn("echo")}}, true},
		{"a server certificate of ours", &tls.Config{Certificates: []tls.Certificate{public}, NextProtos: []string{alpn("echo")}}, true},
		{"no certificate", &tls.Config{NextProtos: []string{alpn("echo")}}, true},
		{"no service", &tls.Config{Certificates: []tls.Certificate{ours}}, true},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{ours}, NextProtos: []string{alpn("echo")}, MaxVersion: tls.VersionTLS12}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.InsecureSkipVerify = true
			got, err := greeting(w.nodes["gru"].addr, tt.config)
			if refused := err != nil; refused != tt.refused {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// greeting returns the first bytes that the echo service of a node sends.
func greeting(addr string, config *tls.Config) (string, error) {
	c, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b := make([]byte, 4)
	_, err = io.ReadFull(c, b)
	return string(b), err
}

func TestNodeThatIsSomebodyElseIsRefused(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	p := w.nodes["fra"].peers["gru"]
	p.Node = "iad" // the address of gru under the name of another
	w.nodes["fra"].peers["iad"] = p
	_, err := w.nodes["fra"].Dial(t.Context(), "iad", "echo")
	if err == nil || !strings.Contains(err.Error(), "the certificate is that of node gru") {
		t.Errorf("Dial = %v", err)
	}
}

// TestANodeThatWasRemovedIsNotCalledAndNotHeard: its links end, nobody dials it,
// and its certificate opens nothing. Control: before, it is heard; and once it is
// named again.
func TestANodeThatWasRemovedIsNotCalledAndNotHeard(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra", "iad")
	gru, fra := w.nodes["gru"], w.nodes["fra"]
	named := gru.deps.Peers
	before, err := gru.Open(t.Context(), "fra", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, before, 4)
	if c, err := fra.Dial(t.Context(), "gru", "echo"); err != nil || hear(t, c, 4) != "fra:" {
		t.Fatalf("control: fra is not heard: %v", err)
	}
	gru.SetPeers(slices.DeleteFunc(slices.Clone(named), func(p Peer) bool { return p.Node == "fra" }), []string{"fra"})
	if _, err := before.Read(make([]byte, 1)); err == nil {
		t.Error("a stream to a removed node goes on")
	}
	for name, open := range map[string]opener{"Dial": gru.Dial, "Open": gru.Open} {
		if _, err := open(t.Context(), "fra", "echo"); meridian.KindOf(err) != meridian.NotFound {
			t.Errorf("%s to a removed node = %v", name, err)
		}
	}
	if c, err := fra.Dial(t.Context(), "gru", "echo"); err == nil {
		if _, err = c.Read(make([]byte, 1)); err == nil { // TLS 1.3: the client learns of a refusal at its first read
			t.Error("a removed node is heard")
		}
	}
	if c, err := gru.Open(t.Context(), "iad", "echo"); err != nil || hear(t, c, 4) != "gru:" {
		t.Errorf("another node: %v", err)
	}
	gru.SetPeers(named, nil)
	if c, err := fra.Dial(t.Context(), "gru", "echo"); err != nil || hear(t, c, 4) != "fra:" {
		t.Errorf("named again: %v", err)
	}
	if c, err := gru.Open(t.Context(), "fra", "echo"); err != nil || hear(t, c, 4) != "gru:" {
		t.Errorf("named again: %v", err)
	}
}
