package acme

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// The challenges, as the file calls them.
const (
	HTTP01    = "http-01"
	TLSALPN01 = "tls-alpn-01"
	DNS01     = "dns-01"
)

// A Config is what an operator may say.
type Config struct {
	Names     []string // each gets a certificate of its own
	Email     string   // of the account; may be ""
	Directory string   // URL; "" means Let's Encrypt's
	Challenge string   // "" means TLSALPN01
	Roots     *x509.CertPool
	// Door is where this node answers HTTP-01 or TLS-ALPN-01, host:port.
	Door string
	// Check is how often certificates are looked at though nothing happened; 0 means a
	// minute. A new one is left alone for 60 times that, or a third of its life, whatever
	// the authority says.
	Check time.Duration
}

// Deps is what the program provides.
type Deps struct {
	Storage *Storage
	// Check says what is wrong with what an authority answers to a request: PEM. May be nil.
	Check func(csr *x509.CertificateRequest, chain []byte) error
	// Show gives all edges a certificate: PEM.
	Show func(ctx context.Context, name string, chain, key []byte) error
	// Seen returns once the name servers show a TXT record; nil does not wait.
	Seen func(ctx context.Context, name, text string) error
	Log  *slog.Logger
}

// A Manager gets certificates and renews them. Every edge runs one; the locks of
// the storage let one issue for all.
type Manager struct {
	cfg   Config
	deps  Deps
	magic *certmagic.Config
	from  issuer
	cache *certmagic.Cache // certmagic wants one; nothing is in it
	names map[string]bool
}

// defaultCheck is how often certificates are looked at.
const defaultCheck = time.Minute

// Run gets what is missing and renews what is due, until ctx is over.
func (m *Manager) Run(ctx context.Context, ready func()) error {
	if err := m.open(ctx); err != nil {
		return err
	}
	defer m.cache.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work.Go(func() { m.obey(ctx) })
	ready()
	for _, name := range m.cfg.Names { // side by side: one that fails keeps no other waiting
		work.Go(func() { m.keep(ctx, name) })
	}
	<-ctx.Done()
	return nil
}

// New returns a manager that Run starts.
func New(cfg Config, deps Deps) *Manager {
	if cfg.Challenge == "" {
		cfg.Challenge = TLSALPN01
	}
	if cfg.Check == 0 {
		cfg.Check = defaultCheck
	}
	m := &Manager{cfg: cfg, deps: deps, names: map[string]bool{}}
	for _, n := range cfg.Names {
		m.names[n] = true
	}
	return m
}

// open makes certmagic's part.
func (m *Manager) open(ctx context.Context) error {
	log := newZap(m.deps.Log)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil }, Logger: log,
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: m.deps.Storage, Logger: log, DisableStorageCheck: true, OnEvent: m.event,
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	of, err := m.issuer(log)
	if err != nil {
		m.cache.Stop()
		return err
	}
	m.from = issuer{ACMEIssuer: of, storage: m.deps.Storage, check: m.deps.Check}
	m.magic.Issuers = []certmagic.Issuer{m.from}
	m.deps.Storage.reseal(ctx)
	return nil
}

// issuer returns who speaks ACME. Certmagic finds the door of this node open, and
// trusts that whoever is there answers from the storage: any edge does.
func (m *Manager) issuer(log *zap.Logger) (*certmagic.ACMEIssuer, error) {
	of := certmagic.ACMEIssuer{
		CA: m.cfg.Directory, Email: m.cfg.Email, Agreed: true, TrustedRoots: m.cfg.Roots, Logger: log,
		DisableHTTPChallenge: m.cfg.Challenge != HTTP01, DisableTLSALPNChallenge: m.cfg.Challenge != TLSALPN01,
	}
	if of.CA == "" {
		of.CA = certmagic.LetsEncryptProductionCA
	}
	if m.cfg.Challenge == DNS01 {
		of.DNS01Solver = textSolver{m.deps.Storage.keep, m.deps.Seen}
		return certmagic.NewACMEIssuer(m.magic, of), nil
	}
	host, port, err := net.SplitHostPort(m.cfg.Door)
	if err != nil {
		return nil, fmt.Errorf("acme: where %s is answered: %w", m.cfg.Challenge, err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("acme: where %s is answered: %w", m.cfg.Challenge, err)
	}
	of.ListenHost, of.AltHTTPPort, of.AltTLSALPNPort = host, n, n
	return certmagic.NewACMEIssuer(m.magic, of), nil
}

// event hears what certmagic does.
func (m *Manager) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtaining": // with the lock
		if rev, ok := ctx.Value(basis{}).(int64); ok {
			return m.stillDue(name, rev)
		}
	case "cert_obtained":
		m.say(ctx, name, nil)
		if err := m.show(ctx, name); err != nil {
			m.deps.Log.Error("a certificate was issued and is not shown yet", "name", name, "why", err.Error())
		}
	case "cert_failed":
		if ctx.Err() != nil {
			return nil // this edge stops: another goes on, and nothing failed
		}
		err, _ := data["error"].(error)
		m.say(ctx, name, err)
	}
	return nil
}

// show gives all edges what the storage has for a name.
func (m *Manager) show(ctx context.Context, name string) error {
	chain, key, err := m.load(ctx, name)
	if err != nil {
		return err
	}
	return m.deps.Show(ctx, name, chain, key)
}
