package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"time"

	"github.com/caddyserver/certmagic"
	proto "github.com/mholt/acmez/v3/acme"
)

// A plan says when a certificate is renewed, by any edge.
type plan struct {
	Of   string    `json:"of"`            // the certificate, as RFC 9773 names it
	At   time.Time `json:"at"`            // it is renewed
	From time.Time `json:"from,omitzero"` // of the window that the authority suggested
	To   time.Time `json:"to,omitzero"`
	Ask  time.Time `json:"ask"` // the authority is asked again
}

// planPrefix is a key of the store, before a name.
const planPrefix = "acme-plans/"

// The authority is asked again when it says, but neither at once nor after years.
const (
	askLeast   = time.Minute
	askDefault = 6 * time.Hour
	askMost    = 24 * time.Hour
)

func planOf(k Keeper, name string) (p plan) {
	text, _, _ := k.Get(planPrefix + name)
	json.Unmarshal(text, &p) // what cannot be read is no plan
	return p
}

// planned says when a certificate is renewed: when the authority said (the zero time: it
// did not), or after two thirds of its life. What it says holds between a time of rest,
// so that one that always says now is not asked for a certificate after the other, and
// five sixths of that life.
func planned(leaf *x509.Certificate, said time.Time, rest time.Duration) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if said.IsZero() {
		return leaf.NotBefore.Add(life / 3 * 2)
	}
	return later(leaf.NotBefore.Add(min(rest, life/3)), earlier(said, leaf.NotBefore.Add(life/6*5)))
}

// after returns the plan once the authority was asked for a certificate's (RFC 9773).
func (p plan) after(of string, leaf *x509.Certificate, said proto.RenewalInfo, err error, now time.Time, rest time.Duration) plan {
	next := plan{Of: of, At: planned(leaf, time.Time{}, rest), Ask: now.Add(rest)}
	switch {
	case errors.Is(err, proto.ErrUnsupported):
		next.Ask = now.Add(askMost)
	case err != nil && p.Of == of:
		next.At, next.From, next.To = p.At, p.From, p.To
	case err == nil:
		next.From, next.To, next.Ask = said.SuggestedWindow.Start, said.SuggestedWindow.End, now.Add(askDefault)
		if said.RetryAfter != nil {
			next.Ask = earlier(later(*said.RetryAfter, now.Add(askLeast)), now.Add(askMost))
		}
		if next.At = p.At; p.Of != of || !p.From.Equal(next.From) || !p.To.Equal(next.To) { // a time is chosen once
			next.At = planned(leaf, said.SelectedTime, rest)
		}
	}
	return next
}

// rest is how long a new certificate is left alone, and an authority that did not answer.
func (m *Manager) rest() time.Duration { return 60 * m.cfg.Check }

// ask asks the authority when a certificate should be renewed, and tells all edges.
func (m *Manager) ask(ctx context.Context, name, of string, leaf *x509.Certificate) error {
	said, err := m.from.GetRenewalInfo(ctx, certmagic.Certificate{Certificate: tls.Certificate{Leaf: leaf}})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, rev, _ := m.deps.Storage.keep.Get(planPrefix + name)
	p := planOf(m.deps.Storage.keep, name).after(of, leaf, said, err, time.Now().UTC(), m.rest())
	m.deps.Log.Debug("when a certificate is renewed", "name", name, "at", p.At, "from", p.From, "to", p.To, "asked again", p.Ask)
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = m.deps.Storage.keep.CompareAndSwap(ctx, planPrefix+name, rev, text) // another edge's plan is as good
	return err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
