package cert_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"meridian/edge/cert"
)

// A responder answers for an authority.
type responder struct {
	ca    *authority
	as    *authority // who signs; may be another
	state ocsp.Response
	asked int
	down  bool
}

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.asked++
	body, _ := io.ReadAll(req.Body)
	q, err := ocsp.ParseRequest(body)
	if err != nil || r.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer := r.state
	answer.SerialNumber = q.SerialNumber
	text, err := ocsp.CreateResponse(r.ca.cert, r.as.cert, answer, r.as.key)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Write(text)
}

func TestACertificateCarriesWhatItsResponderSays(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	r := &responder{ca: root, as: root}
	web := httptest.NewServer(r)
	defer web.Close()
	key := newKey(t)
	leaf := root.sign(&x509.Certificate{DNSNames: []string{"api.example.test"}, OCSPServer: []string{web.URL}}, key)
	now := noon
	store := cert.New(cert.Config{Now: func() time.Time { return now }})
	if err := store.Use(tls.Certificate{Certificate: [][]byte{leaf.Raw, root.cert.Raw}, PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	stapled := func() bool {
		t.Helper()
		c, err := store.GetCertificate(&tls.ClientHelloInfo{ServerName: "api.example.test"})
		if err != nil {
			t.Fatal(err)
		}
		return c.OCSPStaple != nil
	}
	round := func() (time.Time, string) {
		again, err := store.Staple(t.Context(), web.Client())
		if err != nil {
			return again, err.Error()
		}
		return again, ""
	}
	r.state = ocsp.Response{Status: ocsp.Good, ThisUpdate: noon, NextUpdate: noon.Add(10 * time.Minute)}
	if again, why := round(); why != "" || !stapled() || !again.Equal(noon.Add(5*time.Minute)) {
		t.Fatalf("again %v, why %q", again, why)
	}
	if round(); r.asked != 1 {
		t.Errorf("a fresh answer is asked for again: %d", r.asked)
	}
	now, r.down = noon.Add(6*time.Minute), true
	if again, why := round(); !strings.Contains(why, `OCSP of "api.example.test": the responder answered 503`) || !stapled() || !again.Equal(now.Add(time.Minute)) {
		t.Errorf("while the responder is away: again %v, why %q, stapled %v", again, why, stapled())
	}
	now = noon.Add(10*time.Minute - 1)
	if !stapled() { // the control
		t.Error("an answer is not shown before its end")
	}
	now = noon.Add(10 * time.Minute)
	if stapled() { // before anybody looked
		t.Error("an answer is shown after its end")
	}
	if round(); stapled() {
		t.Error("an answer is shown after its end and a look")
	}
	r.down = false
	for want, state := range map[string]ocsp.Response{
		"it was revoked at 2026-06-01T12:01:00Z":        {Status: ocsp.Revoked, RevokedAt: noon.Add(time.Minute), ThisUpdate: now, NextUpdate: now.Add(time.Hour)},
		"the responder does not know it":                {Status: ocsp.Unknown, ThisUpdate: now, NextUpdate: now.Add(time.Hour)},
		"the answer holds from 2026-06-01T11:00:00Z to": {Status: ocsp.Good, ThisUpdate: noon.Add(-time.Hour), NextUpdate: noon},
	} {
		r.state = state
		if _, why := round(); !strings.Contains(why, want) || stapled() {
			t.Errorf("%q, want ... %s; stapled %v", why, want, stapled())
		}
	}
	r.as, r.state = other, ocsp.Response{Status: ocsp.Good, ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	if _, why := round(); why == "" || stapled() {
		t.Error("an answer of another authority is shown")
	}
}
