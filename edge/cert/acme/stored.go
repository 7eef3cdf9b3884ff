package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"

	"github.com/caddyserver/certmagic"
	proto "github.com/mholt/acmez/v3/acme"
)

// parts are the keys of the storage that a name's certificate has.
func (m *Manager) parts(name string) []string {
	of, k := m.from.IssuerKey(), certmagic.StorageKeys
	return []string{k.SiteCert(of, name), k.SitePrivateKey(of, name), k.SiteMeta(of, name)}
}

// stored returns the revision of a name's certificate in the storage: of its chain and
// key. 0: there is none.
func (m *Manager) stored(name string) (rev int64) {
	for _, key := range m.parts(name)[:2] {
		_, r, _ := m.deps.Storage.keep.Get(prefix + key)
		rev = max(rev, r)
	}
	return rev
}

// load returns what the storage has.
func (m *Manager) load(ctx context.Context, name string) (chain, key []byte, err error) {
	at := m.parts(name)
	if chain, err = m.deps.Storage.Load(ctx, at[0]); err == nil {
		key, err = m.deps.Storage.Load(ctx, at[1])
	}
	return chain, key, err
}

// errTorn says that the parts of a stored certificate do not belong together.
var errTorn = errors.New("the stored certificate and its key do not belong together")

// pair returns the stored certificate; nil without one.
func (m *Manager) pair(ctx context.Context, name string) (*x509.Certificate, error) {
	there := 0
	for _, key := range m.parts(name) {
		if _, _, ok := m.deps.Storage.keep.Get(prefix + key); ok {
			there++
		}
	}
	chain, key, err := m.load(ctx, name)
	switch {
	case there == 0:
		return nil, nil
	case there < 3 || errors.Is(err, fs.ErrNotExist):
		return nil, errTorn
	case err != nil:
		return nil, err
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, errTorn
	}
	return c.Leaf, nil
}

// read brings what is known of a certificate up to date. Its parts are written one after
// the other; where the store stood still between them, or whoever wrote died, they do not
// belong together once nobody has the lock, and another certificate is got.
func (m *Manager) read(ctx context.Context, k *kept) error {
	rev := m.stored(k.name)
	if rev == k.rev && rev != 0 {
		return nil
	}
	leaf, err := m.pair(ctx, k.name)
	if errors.Is(err, errTorn) {
		if leaf, err = m.mend(ctx, k.name); err != nil {
			return err
		}
		rev = m.stored(k.name)
	}
	if err != nil {
		return err
	}
	k.rev, k.leaf, k.id = rev, leaf, ""
	if leaf != nil {
		k.id, err = proto.ARIUniqueIdentifier(leaf)
	}
	return err
}

// mend takes away what does not belong together.
func (m *Manager) mend(ctx context.Context, name string) (leaf *x509.Certificate, err error) {
	lock := issueLock + name
	if err := m.deps.Storage.Lock(ctx, lock); err != nil {
		return nil, err
	}
	defer m.deps.Storage.Unlock(context.WithoutCancel(ctx), lock)
	if leaf, err = m.pair(ctx, name); !errors.Is(err, errTorn) {
		return leaf, err
	}
	m.deps.Log.Warn("a stored certificate is got anew", "name", name, "why", err.Error())
	return nil, m.deps.Storage.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(m.from.IssuerKey(), name))
}
