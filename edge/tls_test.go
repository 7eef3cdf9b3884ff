package edge

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// dialTLS does a handshake with a door, and reads what comes after it.
func dialTLS(t *testing.T, w *world, conf *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	https, _ := w.Addrs()
	conf.ServerName, conf.RootCAs = domain, w.roots
	c, err := tls.Dial("tcp", https.String(), conf)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	// The tickets of TLS 1.3 come after the handshake.
	c.Write([]byte("GET /landing HTTP/1.1\r\nHost: " + domain + "\r\nConnection: close\r\n\r\n"))
	c.Read(make([]byte, 1))
	return c.ConnectionState(), nil
}

func TestAPolicySaysWhatClientsMustSpeak(t *testing.T) {
	const weak, cbcOnly, good = tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	for policy, want := range map[string]map[string]bool{
		"":             {"1.1": false, "cbc": false, "1.2": true, "1.3": true},
		"intermediate": {"1.1": false, "cbc": false, "1.2": true, "1.3": true},
		"TLSv1.2_2021": {"1.1": false, "cbc": false, "1.2": true, "1.3": true},
		"TLSv1.2_2019": {"1.1": false, "cbc": true, "1.2": true, "1.3": true},
		"modern":       {"1.1": false, "cbc": false, "1.2": false, "1.3": true},
		"TLSv1.3_2025": {"1.1": false, "cbc": false, "1.2": false, "1.3": true},
	} {
		w := newWorld(t, nil, func(c *Config, _ *Deps, _ *world) { c.TLS.Policy = policy })
		for client, conf := range map[string]*tls.Config{
			"1.1": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
			"cbc": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{weak, cbcOnly}},
			"1.2": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{good}},
			"1.3": {MinVersion: tls.VersionTLS13},
		} {
			if _, err := dialTLS(t, w, conf); (err == nil) != want[client] {
				t.Errorf("policy %q, client %s: %v", policy, client, err)
			}
		}
	}
	if err := (TLS{Policy: "old"}).check(); err == nil || !strings.HasPrefix(err.Error(), `TLS policy "old": want one of TLSv1.2_2018, TLSv1.2_2019`) {
		t.Error(err)
	}
}

func TestKeyExchangeIsPostQuantum(t *testing.T) {
	w := newWorld(t, nil)
	s, err := dialTLS(t, w, &tls.Config{})
	if err != nil || s.CurveID != tls.X25519MLKEM768 {
		t.Errorf("%v, %v", s.CurveID, err)
	}
	s, err = dialTLS(t, w, &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}) // who cannot is served all the same
	if err != nil || s.CurveID != tls.X25519 {
		t.Errorf("%v, %v", s.CurveID, err)
	}
}

// TestAClientResumesAtAnotherEdge begins at one edge and goes on at another, while
// the keys of tickets change.
func TestAClientResumesAtAnotherEdge(t *testing.T) {
	var keys atomic.Pointer[[][32]byte]
	rotate := func(ks ...[32]byte) { keys.Store(&ks) }
	old, fresh, newest := [32]byte{1}, [32]byte{2}, [32]byte{3}
	shared := func(_ *Config, d *Deps, _ *world) { d.Tickets = func() [][32]byte { return *keys.Load() } }
	a := newWorld(t, nil, shared)
	// b shows the same certificate: a client resumes with whom it knows.
	b := newWorld(t, nil, shared, func(_ *Config, d *Deps, w *world) { d.Certs = a.deps.Certs })
	b.roots = a.roots
	alone := newWorld(t, nil, func(_ *Config, d *Deps, w *world) { d.Certs = a.deps.Certs })
	alone.roots = a.roots
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		rotate(old)
		conf := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(4), MaxVersion: version}
		resumes := func(w *world) bool {
			t.Helper()
			before := conf.Clone()
			s, err := dialTLS(t, w, before)
			if err != nil {
				t.Fatal(err)
			}
			return s.DidResume
		}
		if resumes(a) {
			t.Error("a first handshake resumes")
		}
		if !resumes(b) {
			t.Error("it does not resume at another edge")
		}
		rotate(fresh, old)
		if !resumes(a) {
			t.Error("a ticket of the key before is not taken")
		}
		rotate(newest)
		if resumes(b) {
			t.Error("a ticket of a key that is gone is taken")
		}
		if resumes(alone) { // the control: without shared keys
			t.Error("it resumes at an edge that has not the keys")
		}
	}
}

// pending is a validation that an authority waits for.
type pending struct{ cert tls.Certificate }

func (p pending) HTTP(_ context.Context, _, path string) (string, bool) {
	return "abc.def", path == "/.well-known/acme-challenge/abc"
}

func (p pending) TLS(hello *tls.ClientHelloInfo) (*tls.Certificate, bool, error) {
	return &p.cert, len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == "acme-tls/1", nil
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAValidationsConnectionIsForNothingElse(t *testing.T) {
	leaf, _ := certificate(t, domain)
	w := newWorld(t, nil, func(_ *Config, d *Deps, _ *world) { d.Challenges = pending{leaf} })
	https, plain := w.Addrs()
	c, err := tls.Dial("tcp", https.String(), &tls.Config{ServerName: domain, InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p != "acme-tls/1" {
		t.Errorf("negotiated %q", p)
	}
	c.Write([]byte("GET / HTTP/1.1\r\nHost: " + domain + "\r\nConnection: close\r\n\r\n"))
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("a request on it is answered: %v", err)
	}
	for path, want := range map[string]int{"/.well-known/acme-challenge/abc": 200, "/.well-known/acme-challenge/x": 308, "/": 308} {
		resp, err := (&http.Transport{}).RoundTrip(mustRequest(t, "http://"+plain.String()+path))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}
