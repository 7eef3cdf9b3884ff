package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cert/acme"
)

// garble returns what stands before an authority and does f to requests whose path has a
// part, while it is on.
func (w *acmeWorld) garble(part string, f http.HandlerFunc) (on *atomic.Bool) {
	on = new(atomic.Bool)
	on.Store(true)
	w.fault.Store(func(rw http.ResponseWriter, r *http.Request) bool {
		if !on.Load() || !strings.Contains(r.URL.Path, part) {
			return false
		}
		f(rw, r)
		return true
	})
	return on
}

func problem(status int, kind, detail string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(status)
		io.WriteString(rw, `{"type":"urn:ietf:params:acme:error:`+kind+`","detail":"`+detail+`","status":`+strconv.Itoa(status)+`}`)
	}
}

func answering(kind, text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", kind)
		io.WriteString(rw, text)
	}
}

// reset ends the connection amid an answer.
func reset(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Length", "1000")
	io.WriteString(rw, `{"status":`)
	rw.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestWhatAnAuthorityDoesWrongIsSaid has an authority that errs at one step of an order,
// then one that does not. What an operator sees says what happened, once.
func TestWhatAnAuthorityDoesWrongIsSaid(t *testing.T) {
	for _, x := range []struct {
		name, part string
		do         http.HandlerFunc
		want       string
	}{
		{"its directory is garbage", "/dir", answering("application/json", "<html>"), "JSON"},
		{"its directory is empty", "/dir", answering("application/json", "{}"), "directory"},
		{"its directory is a page", "/dir", answering("text/html", "<html>"), "text/html"},
		{"it is down", "/", problem(503, "serverInternal", "down for maintenance"), "down for maintenance"},
		{"it is asked too often", newOrder, problem(429, "rateLimited", "too many orders"), "too many orders"},
		{"it hangs up amid an answer", newOrder, reset, "EOF"},
		{"an order is garbage", newOrder, answering("application/json", "<html>"), "JSON"},
		{"a proxy answers orders", newOrder, func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "Bad Gateway\n"+strings.Repeat("<p>", 1<<15), http.StatusBadGateway)
		}, "Bad Gateway <p>"},
		{"an authorization is garbage", "/authZ", answering("application/json", "[]"), "JSON"},
		{"a certificate is garbage", "/certZ", answering("application/pem-certificate-chain", "<html>"), "PEM"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newACMEWorld(t, acme.DNS01, false)
			t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
			w.forget()
			on := w.garble(x.part, x.do)
			w.run(w.manager(w.a, acme.DNS01).Run)
			l := w.failed()
			if !strings.Contains(l.Error, x.want) || !strings.Contains(l.Error, strings.TrimSuffix(w.directory, "dir")) || strings.Contains(l.Error, "\n") || strings.Contains(l.Error, "in a row") || !l.Next.After(time.Now()) {
				t.Errorf("the operator sees %+v, want %q", l, x.want)
			}
			if err := w.Issue(t.Context(), certDomain); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("who orders hears %v, want %q", err, x.want)
			}
			if l := w.failed(); !strings.Contains(l.Error, "2 times in a row") {
				t.Errorf("the operator sees %+v after two tries", l)
			}
			on.Store(false)
			w.issued()
			w.shown("")
			if l := w.List()[0]; l.Error != "" {
				t.Errorf("the operator still sees %+v", l)
			}
		})
	}
}

// wrongly returns a chain that answers an order with another certificate than it asks for:
// f changes it, and may sign for another key.
func wrongly(asked *atomic.Value, f func(*x509.Certificate) any) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		csr := asked.Load().(*x509.CertificateRequest)
		c := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		key := f(c)
		if key == nil {
			key = csr.PublicKey
		}
		root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, &x509.Certificate{Subject: pkix.Name{CommonName: "Pebble, wrong"}, SerialNumber: big.NewInt(8)}, key, root)
		if err != nil {
			panic(err)
		}
		rw.Header().Set("Content-Type", "application/pem-certificate-chain")
		pem.Encode(rw, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
}

// requested returns the request of an order that is finalized; nil without one.
func requested(r *http.Request) *x509.CertificateRequest {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var signed struct{ Payload string }
	var order struct{ CSR string }
	if json.Unmarshal(body, &signed) == nil {
		text, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
		json.Unmarshal(text, &order)
	}
	der, _ := base64.RawURLEncoding.DecodeString(order.CSR)
	csr, _ := x509.ParseCertificateRequest(der)
	return csr
}

// TestAWrongCertificateIsNeverShown has an authority answer an order with what was not
// asked for: the first, and once there is a good one, which stays.
func TestAWrongCertificateIsNeverShown(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, want string
		f          func(*x509.Certificate) any
	}{
		{"for another key", "the key of another certificate", func(*x509.Certificate) any { return other.Public() }},
		{"for another name", "found a certificate for www.example.test, want one for " + certDomain, func(c *x509.Certificate) any { c.DNSNames = []string{"www.example.test"}; return nil }},
		{"that is over", "which ended at", func(c *x509.Certificate) any { c.NotAfter = time.Now().Add(-time.Minute); return nil }},
		{"for clients", "not for servers", func(c *x509.Certificate) any {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			return nil
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newACMEWorld(t, acme.DNS01, false)
			t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
			w.forget()
			var asked atomic.Value
			var on atomic.Bool
			on.Store(true)
			wrong := wrongly(&asked, x.f)
			w.fault.Store(func(rw http.ResponseWriter, r *http.Request) bool {
				if csr := requested(r); csr != nil {
					asked.Store(csr)
				}
				switch {
				case on.Load() && strings.Contains(r.URL.Path, "/renewalInfo/"): // of what it never issued
					answering("application/json", `{"suggestedWindow":{"start":"2030-01-01T00:00:00Z","end":"2030-01-02T00:00:00Z"}}`)(rw, r)
				case on.Load() && strings.HasPrefix(r.URL.Path, "/certZ"):
					wrong(rw, r)
				default:
					return false
				}
				return true
			})
			w.run(w.manager(w.a, acme.DNS01).Run)
			if l := w.failed(); !strings.Contains(l.Error, x.want) || len(l.Names) != 0 {
				t.Errorf("the operator sees %+v, want %q", l, x.want)
			}
			on.Store(false)
			w.issued()
			good := w.shown("")
			on.Store(true)
			if err := w.Issue(t.Context(), certDomain); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("who orders hears %v, want %q", err, x.want)
			}
			if again := w.shown(""); again != good {
				t.Error("the good one is shown no more")
			}
			on.Store(false)
			w.run(w.manager(w.b, acme.DNS01).Run) // an edge that begins now keeps the good one too
			w.issued()
			w.shown(good)
		})
	}
}
