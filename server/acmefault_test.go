package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"meridian/edge/cert/acme"
)

// looking returns a manager of edge a that looks at its certificates all the time.
func (w *acmeWorld) looking(name string, show func(ctx context.Context, name string, chain, key []byte) error) *acme.Manager {
	return acme.New(
		acme.Config{Names: []string{name}, Email: "admin@example.test", Directory: w.directory, Challenge: acme.DNS01, Roots: w.roots, Check: 20 * time.Millisecond},
		acme.Deps{Storage: w.a.storage, Check: certConfig(w.file).CheckIssued, Show: show, Log: slog.New(slog.DiscardHandler)})
}

// TestARenewedCertificateIsShownLater has the store refuse a renewed certificate once.
// The authority names a time for no third.
func TestARenewedCertificateIsShownLater(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	w.urged = true
	shown := make(chan string, 100)
	var refused atomic.Bool
	w.run(w.looking(certDomain, func(_ context.Context, _ string, chain, _ []byte) error {
		if w.orders.Load() == 2 && !refused.Swap(true) {
			return errors.New("the store has no leader")
		}
		shown <- string(chain)
		return nil
	}).Run)
	another(shown)
}

// another waits until a second certificate is shown.
func another(shown <-chan string) {
	for first := <-shown; <-shown == first; {
	}
}

// TestACertificateIsRenewedThatTheAuthorityWillNotSeeReplaced has the authority refuse
// each order that says what it replaces, as one does after the account's address is
// another.
func TestACertificateIsRenewedThatTheAuthorityWillNotSeeReplaced(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	w.urged = true
	w.refuses.Store(true)
	shown := make(chan string, 100)
	w.run(w.looking(certDomain, func(_ context.Context, _ string, chain, _ []byte) error {
		shown <- string(chain)
		return nil
	}).Run)
	another(shown)
}

// TestAnAuthorityThatForgotAllIssuesAgain starts the authority anew between a first
// certificate and an operator's order.
func TestAnAuthorityThatForgotAllIssuesAgain(t *testing.T) {
	w := newACMEWorld(t, acme.DNS01, false)
	w.run(w.looking(certDomain, w.show).Run)
	first := w.shown("")
	w.forget()
	if err := w.Issue(t.Context(), certDomain); err != nil {
		t.Fatal(err)
	}
	w.shown(first)
}
