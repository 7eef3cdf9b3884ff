package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cert/acme"
)

// issued orders certificates until one is had: an authority may refuse ten nonces in a row.
func (w *acmeWorld) issued() {
	w.t.Helper()
	for err := w.Issue(w.t.Context(), certDomain); err != nil; err = w.Issue(w.t.Context(), certDomain) {
		if !strings.Contains(err.Error(), "badNonce") && !strings.Contains(err.Error(), "could not find an order") {
			w.t.Fatal(err)
		}
	}
}

// TestAnAuthorityWithItsFaultsOnIssues gets certificates from pebble as it may be set.
func TestAnAuthorityWithItsFaultsOnIssues(t *testing.T) {
	for _, x := range []struct {
		name string
		env  map[string]string
		as   func(*acmeWorld)
	}{
		{"half of all nonces are refused", map[string]string{"PEBBLE_WFE_NONCEREJECT": "50"}, nil},
		{"most nonces are refused", map[string]string{"PEBBLE_WFE_NONCEREJECT": "70"}, nil},
		{"validations take their time", map[string]string{"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "2"}, nil},
		{"no authorization is used again", map[string]string{"PEBBLE_AUTHZREUSE": "0"}, nil},
		{"each authorization is used again", map[string]string{"PEBBLE_AUTHZREUSE": "100"}, nil},
		{"lists have pages", map[string]string{"PEBBLE_WFE_ORDERS_PER_PAGE": "1"}, nil},
		{"there are more roots and longer chains", nil, func(w *acmeWorld) { w.roots2, w.chain = 2, 3 }},
		{"it is not strict", nil, func(w *acmeWorld) { w.strict = false }},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newACMEWorld(t, acme.DNS01, false)
			for k, v := range x.env {
				t.Setenv(k, v)
			}
			if x.as != nil {
				x.as(w)
			}
			w.forget() // and begins anew, as it is set now
			w.run(w.manager(w.a, acme.DNS01).Run)
			w.run(w.manager(w.b, acme.DNS01).Run)
			w.issued()
			first := w.shown("")
			w.issued()
			w.shown(first)
			if l := w.planned(); l.Error != "" || l.Next.Before(time.Now()) {
				t.Errorf("the operator sees %+v", l)
			}
		})
	}
}

// TestCertificatesOfSecondsAreRenewedUnderHandshakes has an authority issue what is over
// after 45 s. Both edges keep it, and no handshake fails or shows one that is over.
func TestCertificatesOfSecondsAreRenewedUnderHandshakes(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	w.life = 45 * time.Second
	w.forget()
	w.run(w.manager(w.a, acme.DNS01).Run)
	w.run(w.manager(w.b, acme.DNS01).Run)
	w.shown("")
	seen, shakes := map[string]bool{}, 0
	often := time.NewTicker(10 * time.Millisecond) // other tests need the machine
	defer often.Stop()
	for ; len(seen) < 2; shakes++ {
		<-often.C
		e := w.a
		if shakes%2 == 1 {
			e = w.b
		}
		https, _ := e.Addrs()
		began := time.Now()
		c, err := tls.Dial("tcp", https.String(), &tls.Config{ServerName: certDomain, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		c.Close()
		if began.After(leaf.NotAfter) {
			t.Fatalf("at %v one is shown that ended at %v; the operator sees %+v", began, leaf.NotAfter, w.List())
		}
		seen[leaf.SerialNumber.Text(16)] = true
	}
	if n := w.orders.Load(); n > int64(len(seen)) {
		t.Errorf("%d were issued, and %d shown", n, len(seen))
	}
}

// TestTwoEdgesGetOneCertificate begins on both at once.
func TestTwoEdgesGetOneCertificate(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	w.forget()
	w.run(w.manager(w.a, acme.DNS01).Run)
	w.run(w.manager(w.b, acme.DNS01).Run)
	w.shown("")
	if n := w.orders.Load(); n != 1 {
		t.Errorf("%d were issued", n)
	}
}

// TestAnAuthorityThatForgetsAllAmidAnOrderIssues starts the authority anew at one step of
// the first order. Nothing fails that an operator would see.
func TestAnAuthorityThatForgetsAllAmidAnOrderIssues(t *testing.T) {
	for _, step := range []string{newOrder, "/authZ", "/chalZ"} {
		t.Run(step, func(t *testing.T) {
			w := newACMEWorld(t, acme.DNS01, false)
			t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
			w.forget()
			var forgot atomic.Bool
			w.fault.Store(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, step) && !forgot.Swap(true) {
					w.forget()
				}
				return false
			})
			var log strings.Builder
			m := acme.New(
				acme.Config{Names: []string{certDomain}, Email: "admin@example.test", Directory: w.directory, Challenge: acme.DNS01, Roots: w.roots},
				acme.Deps{Storage: w.a.storage, Show: w.show, Log: slog.New(slog.NewTextHandler(&log, nil))})
			w.run(m.Run)
			w.shown("")
			if l := w.List()[0]; l.Error != "" || !forgot.Load() || strings.Contains(log.String(), "was not issued") {
				t.Errorf("the operator sees %+v", l)
			}
		})
	}
}

// TestAnEdgeThatStopsAmidAnOrderKeepsNobodyWaiting stops one while the authority looks at
// the challenge. Another goes on at once, and an operator sees no failure.
func TestAnEdgeThatStopsAmidAnOrderKeepsNobodyWaiting(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	w.forget()
	ctx, end := context.WithCancel(t.Context())
	var once sync.Once
	w.fault.Store(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/chalZ") {
			once.Do(end)
		}
		return false
	})
	over := make(chan error, 1)
	go func() { over <- w.manager(w.a, acme.DNS01).Run(ctx, func() {}) }() // awaited below
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if l := w.List()[0]; l.Error != "" || !l.Next.IsZero() {
		t.Errorf("the operator sees %+v", l)
	}
	for _, key := range w.keep.Keys("acme-locks/") {
		if text, _, _ := w.keep.Get(key); strings.Contains(string(text), "owner") {
			t.Errorf("%s is held: %s", key, text)
		}
	}
	w.run(w.manager(w.b, acme.DNS01).Run)
	w.shown("")
}

// TestAnOperatorsOrderOutlivesTheEdgeThatTookIt stops an edge amid one, and another fulfils
// it.
func TestAnOperatorsOrderOutlivesTheEdgeThatTookIt(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	w.forget()
	ctx, end := context.WithCancel(t.Context())
	var second atomic.Bool
	w.fault.Store(func(_ http.ResponseWriter, r *http.Request) bool {
		if second.Load() && strings.HasPrefix(r.URL.Path, "/finalize") {
			end()
		}
		return false
	})
	over := make(chan error, 1)
	go func() { over <- w.manager(w.a, acme.DNS01).Run(ctx, func() {}) }() // awaited below
	first := w.shown("")
	second.Store(true)
	ordered := make(chan error, 1)
	go func() { ordered <- w.order() }() // awaited below
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	w.run(w.manager(w.b, acme.DNS01).Run)
	if err := <-ordered; err != nil {
		t.Error(err)
	}
	w.shown(first)
}

// TestAStoredCertificateWithoutItsKeyIsGotAnew has the store stand still between the parts
// of a renewed certificate, and then the edges begin anew.
func TestAStoredCertificateWithoutItsKeyIsGotAnew(t *testing.T) {
	for _, x := range []struct {
		name string
		tear func(w *acmeWorld, part string)
	}{
		{"the key is missing", func(w *acmeWorld, part string) { w.keep.Delete(w.t.Context(), "acme/"+part+".key") }},
		{"the rest is missing", func(w *acmeWorld, part string) { w.keep.Delete(w.t.Context(), "acme/"+part+".json") }},
		{"the key is another's", func(w *acmeWorld, part string) {
			_, key := pairFor(w.t, 9, certDomain)
			if err := w.a.storage.Store(w.t.Context(), part+".key", []byte(key)); err != nil {
				w.t.Error(err)
			}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newACMEWorld(t, acme.DNS01, false)
			t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
			w.forget()
			ctx, end := context.WithCancel(t.Context())
			over := make(chan error, 1)
			go func() { over <- w.manager(w.a, acme.DNS01).Run(ctx, func() {}) }() // awaited below
			first := w.shown("")
			end()
			if err := <-over; err != nil {
				t.Fatal(err)
			}
			for _, key := range w.keep.Keys("acme/certificates/") {
				if part, ok := strings.CutSuffix(strings.TrimPrefix(key, "acme/"), ".crt"); ok {
					x.tear(w, part)
				}
			}
			w.run(w.manager(w.b, acme.DNS01).Run)
			w.shown(first)
		})
	}
}
