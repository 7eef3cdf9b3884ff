package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/client"
	"meridian/identity"
	"meridian/store"
)

// keys is the authority over API keys: the store, from where all regions and
// edges learn of them.
type keys struct{ store store.Store }

// Create makes a key. Only its hash is kept.
func (k keys) Create(ctx context.Context, name string) (client.NewKey, error) {
	key, secret := identity.NewAPIKey(name)
	ok, err := k.store.CompareAndSwap(ctx, apiKeyPrefix+key.ID, 0, mustJSON(key))
	if err == nil && !ok {
		err = errors.New("its id is taken; try again")
	}
	if err != nil {
		return client.NewKey{}, fmt.Errorf("create key %s: %w", name, err)
	}
	return client.NewKey{ID: key.ID, Name: name, Key: secret}, nil
}

// List returns the keys, oldest first.
func (k keys) List() []client.Key {
	out := []client.Key{}
	for _, e := range k.store.Now().Prefix(apiKeyPrefix) {
		var key identity.APIKey
		if json.Unmarshal(e.Value, &key) == nil {
			out = append(out, shown(key))
		}
	}
	slices.SortFunc(out, func(a, b client.Key) int { return a.Created.Compare(b.Created) })
	return out
}

// Revoke makes a key worthless. It stays in the list: a missing key may only
// not have arrived yet, a revoked one is revoked.
func (k keys) Revoke(ctx context.Context, id string) (client.Key, error) {
	e, ok := k.store.Now().Get(apiKeyPrefix + id)
	var key identity.APIKey
	if !ok || json.Unmarshal(e.Value, &key) != nil {
		return client.Key{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no key %q; `meridian keys list` shows them", id))
	}
	key.Revoked = true
	if err := k.store.Put(ctx, e.Key, mustJSON(key)); err != nil {
		return client.Key{}, fmt.Errorf("revoke key %s: %w", id, err)
	}
	return shown(key), nil
}

func shown(k identity.APIKey) client.Key {
	return client.Key{ID: k.ID, Name: k.Name, Created: k.Created, Revoked: k.Revoked}
}

// drain takes a region out of steering, or lets it back in.
func (n *node) drain(ctx context.Context, region meridian.Region, out bool) error {
	if _, ok := n.atlas.Now().Region(region); !ok {
		return meridian.WithKind(meridian.NotFound, fmt.Errorf("there is no region %q; expected one of %s", region, n.regionNames()))
	}
	if out {
		return n.store.Put(ctx, drainPrefix+string(region), mustJSON(drainRecord{At: time.Now().UTC()}))
	}
	return n.store.Delete(ctx, drainPrefix+string(region))
}

func (n *node) regionNames() string {
	var names []string
	for _, r := range n.world().Regions {
		names = append(names, string(r.Name))
	}
	return strings.Join(names, ", ")
}
