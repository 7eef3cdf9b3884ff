package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// A kept is what one edge knows of a name's certificate.
type kept struct {
	name  string
	rev   int64             // of the storage, that leaf was read at
	leaf  *x509.Certificate // nil: there is none
	id    string            // of leaf, as RFC 9773 names it
	shown int64             // the revision that was shown
	again time.Time         // not shown before this time
	said  string            // of errors, the newest
}

// What is done for a certificate.
type action int

const (
	nothing action = iota
	obtain
	renew
	ask
)

// next says what is to be done for a certificate now, or else when to look again.
func (k *kept) next(p plan, r Report, now time.Time) (do action, again time.Time) {
	var due time.Time
	if r.Error != "" {
		due = r.Next
	}
	if k.leaf == nil {
		do = obtain
	} else if do = renew; p.Of != k.id {
		return ask, now
	} else if due = later(due, p.At); now.Before(due) && !now.Before(p.Ask) {
		return ask, now
	}
	if !now.Before(due) {
		return do, now
	}
	if do == renew {
		due = earlier(due, p.Ask)
	}
	return nothing, due
}

// keep gets a name's certificate, shows and renews it, until ctx is over. All edges do
// so, and share what is planned and what failed.
func (m *Manager) keep(ctx context.Context, name string) {
	k := &kept{name: name}
	for ctx.Err() == nil {
		watch := m.deps.Storage.keep.Watch()
		again, err := m.look(ctx, k)
		if err != nil {
			watch = nil // the try itself is a change
		}
		m.tell(ctx, k, err)
		wait := time.NewTimer(min(time.Until(again), m.cfg.Check))
		select {
		case <-ctx.Done():
		case <-wait.C:
		case <-watch:
		}
		wait.Stop()
	}
}

// tell logs what keeps a certificate from being kept, once.
func (m *Manager) tell(ctx context.Context, k *kept, err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && said != k.said && ctx.Err() == nil {
		m.deps.Log.Error("a certificate waits", "name", k.name, "why", said)
	}
	k.said = said
}

// look does what is to be done for a certificate, and returns when to look again.
func (m *Manager) look(ctx context.Context, k *kept) (again time.Time, err error) {
	now := time.Now()
	if err := m.read(ctx, k); err != nil {
		return now.Add(m.cfg.Check), err
	}
	unseen := m.showStored(ctx, k, now) // it may be over: then there is another to get
	keep := m.deps.Storage.keep
	r, _ := Reported(keep, k.name)
	do, again := k.next(planOf(keep, k.name), r, now)
	if err := m.do(ctx, k, do); err != nil && !errors.Is(err, errLater) {
		if r, _ := Reported(keep, k.name); r.Error != "" && r.Next.After(now) {
			return r.Next, unseen // there is no other try until then, whatever happens
		}
		return now.Add(m.cfg.Check), err
	}
	return again, unseen
}

func (m *Manager) do(ctx context.Context, k *kept, do action) error {
	ctx = context.WithValue(ctx, basis{}, k.rev)
	switch do {
	case obtain:
		return m.magic.ObtainCertSync(ctx, k.name)
	case renew:
		return m.magic.RenewCertSync(ctx, k.name, true)
	case ask:
		return m.ask(ctx, k.name, k.id, k.leaf)
	}
	return nil
}

// basis is the key of contexts whose try was decided by what the storage had at a revision.
type basis struct{}

// errLater says that another edge was faster.
var errLater = errors.New("another edge got it, or tried a moment ago")

// stillDue is asked by who has the lock.
func (m *Manager) stillDue(name string, rev int64) error {
	r, _ := Reported(m.deps.Storage.keep, name)
	if m.stored(name) != rev || r.Error != "" && time.Now().Before(r.Next) {
		return errLater
	}
	return nil
}

// issueLock begins the names of the locks under which certmagic stores what was issued.
const issueLock = "issue_cert_"

// showStored shows what the storage has while nobody stores another: whoever got it may
// have been lost before it was shown, or the store may have refused it, or its time may
// not have begun.
func (m *Manager) showStored(ctx context.Context, k *kept, now time.Time) error {
	if k.leaf == nil || k.shown == k.rev || now.Before(k.again) {
		return nil
	}
	lock := issueLock + k.name
	if err := m.deps.Storage.Lock(ctx, lock); err != nil {
		return err
	}
	defer m.deps.Storage.Unlock(context.WithoutCancel(ctx), lock)
	rev := m.stored(k.name)
	if err := m.show(ctx, k.name); err != nil {
		k.again = now.Add(m.cfg.Check)
		return fmt.Errorf("it was issued and is not shown yet: %w", err)
	}
	k.shown = rev
	return nil
}
