package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"meridian/identity"
)

// An edgeKey is what this edge seals identities with. It is used only once the
// store is seen to have it: a region could not open a seal that it never heard
// of, and verifies the original credential until then.
type edgeKey struct {
	record edgeKeyRecord
	known  atomic.Bool
}

// edgeKey reads this node's key from its folder, or makes one.
func (n *node) edgeKey() (*edgeKey, error) {
	path := filepath.Join(n.cfg.State, "edge.key")
	k := &edgeKey{}
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &k.record) == nil && len(k.record.Secret) > 0 {
		return k, nil
	}
	fresh := identity.NewEdgeKey(fmt.Sprintf("%s#%d", n.self.Name, time.Now().Unix()))
	k.record = edgeKeyRecord{ID: fresh.ID, Node: n.self.Name, Secret: fresh.Secret, Created: time.Now().UTC()}
	if err := os.WriteFile(path, mustJSON(k.record), 0o600); err != nil {
		return nil, fmt.Errorf("key of the edge: %w", err)
	}
	return k, nil
}

// use returns the key, or the zero key while regions may not know it.
func (k *edgeKey) use() identity.EdgeKey {
	if !k.known.Load() {
		return identity.EdgeKey{}
	}
	return identity.EdgeKey{ID: k.record.ID, Secret: k.record.Secret}
}

// edgeKeyRetry is how long the edge waits before it tells its key again.
const edgeKeyRetry = time.Second

// run puts the key into the store, and keeps at it.
func (k *edgeKey) run(ctx context.Context, n *node, ready func()) error {
	ready()
	want := string(mustJSON(k.record))
	for {
		watch := n.store.Watch()
		e, ok := n.store.Now().Get(edgeKeyPrefix + k.record.ID)
		k.known.Store(ok && string(e.Value) == want)
		retry := time.NewTimer(edgeKeyRetry)
		if !k.known.Load() {
			if err := n.store.Put(ctx, edgeKeyPrefix+k.record.ID, []byte(want)); err == nil {
				retry.Reset(0)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-retry.C:
		}
	}
}
