package acme

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	proto "github.com/mholt/acmez/v3/acme"
)

// Protocol is what a TLS-ALPN-01 validation negotiates (RFC 8737, section 4).
const Protocol = acmez.ACMETLS1Protocol

// An Answerer answers validations of orders that any node made. Its methods may
// be called by many goroutines at once.
type Answerer struct {
	storage *Storage
	asked   once
}

// NewAnswerer returns the answerer of a storage.
func NewAnswerer(s *Storage) *Answerer { return &Answerer{storage: s} }

// syncEvery bounds how often strangers who ask for a validation that is not there
// make this node ask the store, and syncPatience how long one then waits.
const (
	syncEvery    = 200 * time.Millisecond
	syncPatience = 2 * time.Second
)

// challenge returns the pending validation of a host.
func (a *Answerer) challenge(ctx context.Context, host string) (c proto.Challenge, ok bool) {
	if c, ok = a.stored(ctx, host); ok || !a.asked.due(time.Now(), syncEvery) {
		return c, ok
	}
	// The order may be so new that this node has not seen it.
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	if a.storage.keep.Sync(ctx) != nil {
		return c, false
	}
	return a.stored(ctx, host)
}

func (a *Answerer) stored(ctx context.Context, host string) (c proto.Challenge, ok bool) {
	name := "/challenge_tokens/" + certmagic.StorageKeys.Safe(strings.ToLower(host)) + ".json"
	for _, k := range a.storage.keep.Keys(prefix + "acme/") {
		if !strings.HasSuffix(k, name) {
			continue
		}
		text, err := a.storage.Load(ctx, strings.TrimPrefix(k, prefix))
		if err == nil && json.Unmarshal(text, &c) == nil && strings.EqualFold(c.Identifier.Value, host) {
			return c, true
		}
	}
	return c, false
}

// wellKnown begins the paths of HTTP-01.
const wellKnown = "/.well-known/acme-challenge/"

// HTTP returns what a GET of that path at host is to be answered; ok is false
// where it asks for no pending validation.
func (a *Answerer) HTTP(ctx context.Context, host, at string) (body string, ok bool) {
	token, found := strings.CutPrefix(at, wellKnown)
	if !found || token == "" || path.Base(token) != token {
		return "", false
	}
	c, ok := a.challenge(ctx, host)
	if !ok || c.Type != proto.ChallengeTypeHTTP01 || c.Token != token {
		return "", false
	}
	return c.KeyAuthorization, true
}

// TLS returns the certificate for a handshake that validates; ok is false for
// every other handshake.
func (a *Answerer) TLS(hello *tls.ClientHelloInfo) (cert *tls.Certificate, ok bool, err error) {
	if !slices.Equal(hello.SupportedProtos, []string{Protocol}) {
		return nil, false, nil
	}
	c, ok := a.challenge(hello.Context(), hello.ServerName)
	if !ok || c.Type != proto.ChallengeTypeTLSALPN01 {
		return nil, true, fmt.Errorf("no validation of %q is pending", hello.ServerName)
	}
	cert, err = acmez.TLSALPN01ChallengeCert(c)
	return cert, true, err
}

// textPrefix is the key of the store, before a name, that has its DNS-01 answers.
// They are no secrets: they are published.
const textPrefix = "acme-dns/"

// Texts returns the TXT records that validations want at a name, such as
// _acme-challenge.api.example.test.
func Texts(k Keeper, name string) (texts []string) {
	value, _, _ := k.Get(textPrefix + strings.ToLower(strings.TrimSuffix(name, ".")))
	json.Unmarshal(value, &texts)
	return texts
}

// A textSolver answers DNS-01 through the store.
type textSolver struct {
	keep Keeper
	// seen returns once every name server that answers shows a TXT record; may be nil.
	seen func(ctx context.Context, name, text string) error
}

// Present implements acmez.Solver.
func (s textSolver) Present(ctx context.Context, c proto.Challenge) error {
	return s.change(ctx, c, func(texts []string, text string) []string { return append(texts, text) })
}

// Wait implements acmez.Waiter.
func (s textSolver) Wait(ctx context.Context, c proto.Challenge) error {
	if s.seen == nil {
		return nil
	}
	return s.seen(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

// CleanUp implements acmez.Solver.
func (s textSolver) CleanUp(ctx context.Context, c proto.Challenge) error {
	return s.change(context.WithoutCancel(ctx), c, func(texts []string, text string) []string {
		return slices.DeleteFunc(texts, func(t string) bool { return t == text })
	})
}

func (s textSolver) change(ctx context.Context, c proto.Challenge, f func([]string, string) []string) error {
	key := textPrefix + strings.ToLower(strings.TrimSuffix(c.DNS01TXTRecordName(), "."))
	for range storeTries {
		value, rev, _ := s.keep.Get(key)
		var texts []string
		json.Unmarshal(value, &texts)
		text, err := json.Marshal(f(texts, c.DNS01KeyAuthorization()))
		if err != nil {
			return err
		}
		if ok, err := s.keep.CompareAndSwap(ctx, key, rev, text); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("the TXT records of %s kept changing", c.DNS01TXTRecordName())
}
