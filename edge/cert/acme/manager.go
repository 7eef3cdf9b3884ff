package acme

import (
	"context"
	"crypto/x509"
	"errors"
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
	// Check is how often certificates are looked at; 0 means 10 min.
	Check time.Duration
}

// Deps is what the program provides.
type Deps struct {
	Storage *Storage
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
	magic *certmagic.Config // renews
	quiet *certmagic.Config // the same, for first certificates
	cache *certmagic.Cache
	names map[string]bool
	alone map[string]chan struct{} // by name: its renewal was refused for what it would replace
}

// defaultCheck is how often certificates are looked at.
const defaultCheck = 10 * time.Minute

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
	m := &Manager{cfg: cfg, deps: deps, names: map[string]bool{}, alone: map[string]chan struct{}{}}
	for _, n := range cfg.Names {
		m.names[n], m.alone[n] = true, make(chan struct{}, 1)
	}
	return m
}

// open makes certmagic's part.
func (m *Manager) open(ctx context.Context) error {
	log := newZap(m.deps.Log)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		RenewCheckInterval: m.cfg.Check, Logger: log,
	})
	of := certmagic.Config{
		Storage: m.deps.Storage, Logger: log, DisableStorageCheck: true, OnEvent: m.event,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}, // this cache is shown to nobody
	}
	m.magic, m.quiet = certmagic.New(m.cache, of), certmagic.New(m.cache, of)
	issuer, err := m.issuer(log)
	if err != nil {
		m.cache.Stop()
		return err
	}
	m.magic.Issuers = []certmagic.Issuer{issuer}
	m.quiet.Issuers = []certmagic.Issuer{silent{issuer}}
	m.deps.Storage.reseal(ctx)
	return nil
}

// A silent issuer never asks at the terminal, which certmagic would for an e-mail
// address. It cannot tell the authority which certificate is replaced.
type silent struct{ *certmagic.ACMEIssuer }

// PreCheck implements certmagic.PreChecker.
func (s silent) PreCheck(ctx context.Context, names []string, _ bool) error {
	return s.ACMEIssuer.PreCheck(ctx, names, false)
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

// keep gets a name's certificate, if there is none yet, shows it, and leaves its
// renewal to the cache and to tend. It tries until ctx is over, with growing pauses
// that all edges share.
func (m *Manager) keep(ctx context.Context, name string) {
	for ctx.Err() == nil {
		watch := m.deps.Storage.keep.Watch()
		again, err := m.try(ctx, name)
		if err == nil {
			m.tend(ctx, name)
		}
		if ctx.Err() != nil {
			return
		}
		wait := time.NewTimer(time.Until(again))
		for due := false; !due; {
			select {
			case <-ctx.Done():
				due = true
			case <-wait.C:
				due = true
			case <-watch: // an operator's order may have been fulfilled
				watch = m.deps.Storage.keep.Watch()
				due = m.issued(name)
			}
		}
		wait.Stop()
	}
}

// errLater says that another edge tried a moment ago.
var errLater = errors.New("it was tried a moment ago")

// try makes one try for a certificate, unless one is there or it is too soon for
// the next. Its error comes with the time of the next.
func (m *Manager) try(ctx context.Context, name string) (again time.Time, err error) {
	lock := "keep_" + name
	again = time.Now().Add(pauses[0])
	if err := m.deps.Storage.Lock(ctx, lock); err != nil {
		return again, err
	}
	defer m.deps.Storage.Unlock(context.WithoutCancel(ctx), lock)
	if !m.issued(name) {
		if r, _ := Reported(m.deps.Storage.keep, name); r.Error != "" && time.Now().Before(r.Next) {
			return r.Next, errLater
		}
		if err := m.quiet.ObtainCertSync(ctx, name); err != nil {
			r, _ := Reported(m.deps.Storage.keep, name)
			return later(r.Next, again), err
		}
	}
	if _, err = m.magic.CacheManagedCertificate(ctx, name); err != nil {
		m.deps.Log.Error("a certificate was issued and is not shown yet", "name", name, "why", err.Error())
		return again, err
	}
	if err := m.show(ctx, name); err != nil { // tend will
		m.deps.Log.Error("a certificate was issued and is not shown yet", "name", name, "why", err.Error())
	}
	return again, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// issued reports whether the storage has a name's certificate.
func (m *Manager) issued(name string) bool {
	return m.deps.Storage.Exists(context.Background(), certmagic.StorageKeys.SiteCert(m.magic.Issuers[0].IssuerKey(), name))
}

// pauses lie between tries that fail, the last again and again: an authority
// refuses who asks too often.
var pauses = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour}

// pause returns how long to wait after the nth try that failed.
func pause(n int) time.Duration { return pauses[min(max(n, 1), len(pauses))-1] }

// event hears what certmagic does.
func (m *Manager) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	forced, _ := data["forced"].(bool)
	switch event {
	case "cert_obtaining":
		if renewal && !forced && ctx.Value(atOnce{}) == nil {
			return m.soon(name)
		}
	case "cert_obtained":
		m.say(ctx, name, nil)
		if err := m.show(ctx, name); err != nil {
			m.deps.Log.Error("a certificate was issued and is not shown yet", "name", name, "why", err.Error())
		}
	case "cert_failed":
		err, _ := data["error"].(error)
		m.say(ctx, name, err)
		if renewal && refusedFor(err) && ctx.Value(atOnce{}) == nil {
			select {
			case m.alone[name] <- struct{}{}:
			default: // tend knows
			}
		}
	}
	return nil
}

// show gives all edges what the storage has for a name.
func (m *Manager) show(ctx context.Context, name string) error {
	issuer := m.magic.Issuers[0].IssuerKey()
	chain, err := m.deps.Storage.Load(ctx, certmagic.StorageKeys.SiteCert(issuer, name))
	if err != nil {
		return err
	}
	key, err := m.deps.Storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(issuer, name))
	if err != nil {
		return err
	}
	return m.deps.Show(ctx, name, chain, key)
}
