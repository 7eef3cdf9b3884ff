package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"meridian"
)

// An order is an operator's wish for a certificate now.
type order struct {
	ID string `json:"id"`
}

// Order asks the edges for a new certificate of a name, and returns how that
// went. ID names the wish: asked twice it is done once.
func Order(ctx context.Context, k Keeper, name, id string) error {
	text, err := json.Marshal(order{id})
	if err != nil {
		return err
	}
	_, rev, _ := k.Get(orderPrefix + name)
	if ok, err := k.CompareAndSwap(ctx, orderPrefix+name, rev, text); !ok || err != nil {
		return errors.Join(err, meridian.WithKind(meridian.Unavailable, fmt.Errorf("another order for %s was given just now", name)))
	}
	for {
		watch := k.Watch()
		if r, ok := Reported(k, name); ok && r.Order == id {
			if r.Error != "" {
				return meridian.WithKind(meridian.Unavailable, errors.New(r.Error))
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return meridian.WithKind(meridian.Timeout, fmt.Errorf("no edge has issued a certificate for %s yet: %w", name, ctx.Err()))
		case <-watch:
		}
	}
}

// obey does what operators order, until ctx is over.
func (m *Manager) obey(ctx context.Context) {
	for {
		watch := m.deps.Storage.keep.Watch()
		for name := range m.names {
			if id, ok := m.ordered(name); ok {
				m.fulfil(ctx, name, id)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-watch:
		}
	}
}

// ordered returns the order for a name that nobody has fulfilled.
func (m *Manager) ordered(name string) (id string, ok bool) {
	text, _, ok := m.deps.Storage.keep.Get(orderPrefix + name)
	var o order
	if !ok || json.Unmarshal(text, &o) != nil {
		return "", false
	}
	r, _ := Reported(m.deps.Storage.keep, name)
	return o.ID, r.Order != o.ID
}

// fulfil gets a new certificate for an order, unless another edge did.
func (m *Manager) fulfil(ctx context.Context, name, id string) {
	lock := "order_" + name
	if m.deps.Storage.Lock(ctx, lock) != nil {
		return
	}
	defer m.deps.Storage.Unlock(context.WithoutCancel(ctx), lock)
	if now, ok := m.ordered(name); !ok || now != id {
		return
	}
	err := m.magic.RenewCertSync(ctx, name, true) // or gets the first
	if err != nil && ctx.Err() != nil {
		return // this edge stops: another fulfils it
	}
	change(ctx, m.deps.Storage.keep, name, func(r Report) Report {
		if r.Order = id; err == nil {
			r.Error = ""
		} else if r.Error == "" { // what came before the try
			r.At, r.Error = time.Now().UTC(), line(err.Error())
		}
		return r
	})
}
