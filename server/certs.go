package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"meridian/config"
	"meridian/edge/cert"
	"meridian/internal/keyring"
	"meridian/internal/pki"
	"meridian/store"
)

// certPrefix is the key of the store, before cert.SourceUpload or
// cert.SourceACME, a slash and a name, that holds a certificate for all nodes.
const certPrefix = "certs/"

// A shelf keeps the certificates of a node: those of its file, and those that the
// store has for all nodes.
type shelf struct {
	certs *cert.Store
	store certLedger
	ring  func() (keyring.Ring, error)
	log   *slog.Logger
	tell  func(mark string) // what of the store is in use
	now   func() time.Time
	fresh chan struct{} // has room for one: there are others than before

	seen string    // the mark of what was taken last
	at   time.Time // when that was
	said string    // of errors, the newest
}

// A certLedger is what certificates need of the store.
type certLedger interface {
	View() interface {
		entry
		entries
	}
	Watch() <-chan struct{}
	CompareAndSwap(ctx context.Context, key string, oldRev int64, value []byte) (bool, error)
	Delete(ctx context.Context, key string) error
}

// certificates returns the certificates that the file names.
func certificates(f *config.File) (*cert.Store, error) {
	var pairs []cert.Pair
	for _, c := range f.Pairs() {
		pairs = append(pairs, cert.Pair{Cert: c.Cert, Key: c.Key})
	}
	s := cert.New(certConfig(f))
	return s, placed(f, s.Load(pairs))
}

// placed says of each mistake in certificates where their file is named.
func placed(f *config.File, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, f.At(keyOf(f.Certificates, e.Error()), e))
	}
	return errors.Join(out...)
}

// keyOf returns the key whose file a mistake begins with.
func keyOf(cs []config.Certificate, mistake string) string {
	for i, c := range cs {
		switch {
		case c.Cert != "" && strings.HasPrefix(mistake, c.Cert+": "):
			return fmt.Sprintf("certificates[%d].cert", i)
		case c.Key != "" && strings.HasPrefix(mistake, c.Key+": "):
			return fmt.Sprintf("certificates[%d].key", i)
		}
	}
	return "certificates"
}

// certConfig says what certificates of this world must be good for. Those that an
// authority issues come later.
func certConfig(f *config.File) cert.Config {
	return cert.Config{Domains: []string{f.Domain}, Under: gateways + f.Domain, Later: f.ACME() != nil}
}

// gateways is what stands before the domain in the name of the nearest region's
// gateway, and after a region in the name of its own; see package zone.
const gateways = "origin."

// newShelf returns the certificates of this node. Its part "certificates" keeps
// them.
func (n *node) newShelf() (*shelf, error) {
	certs, err := certificates(n.file)
	if err != nil {
		return nil, err
	}
	if err := n.tele.Metrics.Register(certs.Collector()); err != nil {
		return nil, err
	}
	return &shelf{
		certs: certs, store: inStore{n.store}, ring: n.keyring, log: n.log.With("hop", "edge"), now: time.Now,
		tell: func(mark string) { n.fact(factCerts, mark) }, fresh: make(chan struct{}, 1),
	}, nil
}

// keyring reads the keys that private keys are encrypted with in the store.
func (n *node) keyring() (keyring.Ring, error) { return readKeyring(n.file.PKI) }

func readKeyring(dir string) (keyring.Ring, error) {
	path := filepath.Join(dir, pki.CertKeys)
	text, err := os.ReadFile(path)
	if err != nil {
		return keyring.Ring{}, fmt.Errorf("keys of the certificates' private keys: %w; `meridian pki` makes them, and each node needs a copy", err)
	}
	r, err := keyring.Parse(string(text))
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// factCerts is the fact by which a node tells the mark of the certificates that
// it shows.
const factCerts = "certs"

// certMark names the certificates that a view of the store has: how many, and
// when the last one changed.
func certMark(stored []store.Entry) string {
	var newest int64
	for _, e := range stored {
		newest = max(newest, e.Rev)
	}
	return fmt.Sprintf("%d@%d", len(stored), newest)
}

// shelfAgain is how often certificates are looked at without a change: one may
// have ended, and the keys' file may be another.
const shelfAgain = time.Minute

// run keeps the shelf, until ctx is over.
func (s *shelf) run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	follow(ctx, s.store, shelfAgain, func() {
		s.look(ctx)
		ready()
	})
	return nil
}

// look takes what the store has, if that is another than at the last time.
func (s *shelf) look(ctx context.Context) {
	stored := s.store.View().Prefix(certPrefix)
	mark, now := certMark(stored), s.now()
	if mark == s.seen && now.Sub(s.at) < shelfAgain {
		return
	}
	if mark != s.seen {
		defer s.renew()
	}
	s.seen, s.at = mark, now
	if len(stored) == 0 {
		s.certs.Take(nil)
		s.tell(mark)
		return
	}
	why := s.take(ctx, stored)
	if s.tell(markOf(mark, why)); why == s.said {
		return
	}
	if s.said = why; why != "" {
		s.log.Error("certificates of the store are left out; what was good stays", "why", why)
		return
	}
	s.log.Info("certificates", "stored", len(stored))
}

// renew tells whoever asks responders that there are other certificates.
func (s *shelf) renew() {
	select {
	case s.fresh <- struct{}{}:
	default: // it knows
	}
}

// markOf is what a node tells of the certificates that it shows.
func markOf(mark, why string) string {
	if why != "" {
		return mark + " but " + why
	}
	return mark
}

// take puts the certificates of the store to use, and seals those anew whose key
// is no longer the newest. It returns what was wrong.
func (s *shelf) take(ctx context.Context, stored []store.Entry) string {
	ring, err := s.ring()
	var wrong []string
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	var bundles []cert.Bundle
	for _, e := range stored {
		source, name, _ := strings.Cut(strings.TrimPrefix(e.Key, certPrefix), "/")
		b, old, err := cert.Decode(ring, name, e.Key, e.Value)
		if err != nil {
			wrong = append(wrong, err.Error())
			b = cert.Bundle{Name: name, Source: source}
		} else if old {
			s.reseal(ctx, ring, e, b)
		}
		bundles = append(bundles, b)
	}
	if err := s.certs.Take(bundles); err != nil && len(wrong) == 0 {
		wrong = append(wrong, err.Error())
	}
	return strings.Join(wrong, "; ")
}

// reseal encrypts a key anew. Any node does; whoever is first has done it for all.
func (s *shelf) reseal(ctx context.Context, ring keyring.Ring, e store.Entry, b cert.Bundle) {
	text, err := b.Encode(ring, e.Key)
	if err == nil {
		_, err = s.store.CompareAndSwap(ctx, e.Key, e.Rev, text)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the private key of a certificate stays under an old key", "certificate", b.Name, "why", err.Error())
	}
}

// certKey is where the store has a certificate.
func certKey(source, name string) string { return certPrefix + source + "/" + name }
