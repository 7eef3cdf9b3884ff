package acme

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	proto "github.com/mholt/acmez/v3/acme"
)

// tendPause is how often it is looked at whether all edges have what was issued.
const tendPause = time.Minute

// atOnce is the key of contexts whose try does not wait for its turn.
type atOnce struct{}

// tend shows what the storage has of a name whenever it is another certificate, until
// ctx is over: whoever got it may have been lost before it was shown, or the store may
// have refused it, or its time may not have begun. It also renews what the authority
// will not see replaced.
func (m *Manager) tend(ctx context.Context, name string) {
	tick := time.NewTicker(min(tendPause, m.cfg.Check))
	defer tick.Stop()
	var shown int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.alone[name]:
			m.quiet.RenewCertSync(context.WithValue(ctx, atOnce{}, true), name, false) // event tells how it went
		case <-tick.C:
		}
		if rev := m.stored(name); rev != shown && m.showStored(ctx, name) == nil {
			shown = rev
		}
	}
}

// stored returns the revision of a name's certificate in the storage.
func (m *Manager) stored(name string) int64 {
	_, rev, _ := m.deps.Storage.keep.Get(prefix + certmagic.StorageKeys.SiteCert(m.magic.Issuers[0].IssuerKey(), name))
	return rev
}

// showStored shows what the storage has while nobody stores another: it has the
// chain and the key at two places.
func (m *Manager) showStored(ctx context.Context, name string) error {
	lock := issueLock + name
	if err := m.deps.Storage.Lock(ctx, lock); err != nil {
		return err
	}
	defer m.deps.Storage.Unlock(context.WithoutCancel(ctx), lock)
	err := m.show(ctx, name)
	if err != nil && ctx.Err() == nil {
		m.deps.Log.Error("a certificate was issued and is not shown yet", "name", name, "why", err.Error())
	}
	return err
}

// issueLock begins the names of the locks under which certmagic stores what was issued.
const issueLock = "issue_cert_"

// soon says that a renewal failed and that it is too soon for the next try, by any edge.
func (m *Manager) soon(name string) error {
	if r, _ := Reported(m.deps.Storage.keep, name); r.Error != "" && time.Now().Before(r.Next) {
		return errLater
	}
	return nil
}

// refusedFor reports whether an authority may have refused an order for what it would
// replace (RFC 9773, section 5), since it knows that certificate no more, or as another
// account's. What to answer then the RFC leaves open, but for alreadyReplaced. Or it did
// not know the account: then certmagic has made another and tried once more as the old.
func refusedFor(err error) bool {
	if err == nil || strings.Contains(err.Error(), "no certificate chains") {
		return err != nil
	}
	var p proto.Problem
	return errors.As(err, &p) && p.Type != proto.ProblemTypeRateLimited && strings.Contains(err.Error(), "creating new order")
}
