package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"meridian"
)

// A tokenKeyRecord is a key with which gateways seal consistency tokens.
type tokenKeyRecord struct {
	ID      string    `json:"id"`
	Secret  []byte    `json:"secret"`
	Created time.Time `json:"created"`
}

const (
	tokenKeyPeriod = 30 * 24 * time.Hour // each period has a key of its own
	tokenKeysKept  = 13                  // a caller that comes back within a year still has its floor
	tokenKeyRest   = 10 * time.Minute    // a key seals nothing before every region has surely heard of it
	tokenKeyRetry  = time.Second
)

// tokenKeys returns the keys that a node seals and believes tokens with: it
// seals with the newest that has rested, and believes all. The first key of a
// world need not rest: without it there is no token that could be lost.
func tokenKeys(known []tokenKeyRecord, now time.Time) (ks meridian.TokenKeys) {
	seals := 0
	for i, k := range known {
		if now.Sub(k.Created) >= tokenKeyRest {
			seals = i
		}
	}
	for i, k := range known {
		key := meridian.TokenKey{ID: k.ID, Secret: k.Secret}
		if i == seals {
			ks = append(meridian.TokenKeys{key}, ks...)
		} else {
			ks = append(ks, key)
		}
	}
	return ks
}

// sealsTokens returns this node's keys.
func (n *node) sealsTokens() meridian.TokenKeys {
	known := n.tokenKeys.Load()
	if known == nil {
		return nil
	}
	return tokenKeys(*known, time.Now())
}

// keepTokenKeys sees to it that there is a key for this period, and is ready
// once there is one at all. Any region makes it; the store lets one win.
func (n *node) keepTokenKeys(ctx context.Context, ready func()) error {
	for {
		watch := n.store.Watch()
		known := interpret(n.store.Now(), n.log).tokenKeys
		key := fmt.Sprintf("%s%08d", tokenKeyPrefix, time.Now().Unix()/int64(tokenKeyPeriod/time.Second))
		retry := time.Hour
		if _, ok := n.store.Now().Get(key); !ok {
			retry = tokenKeyRetry
			if _, err := n.store.CompareAndSwap(ctx, key, 0, mustJSON(newTokenKey(time.Now()))); err != nil && ctx.Err() == nil {
				n.log.Warn("no new key for consistency tokens", "why", err.Error())
			}
		} else if len(known) > tokenKeysKept {
			n.forgetTokenKeys(ctx)
		}
		if len(known) > 0 && ready != nil && n.sealsTokens() != nil {
			ready()
			ready = nil
		}
		if ready != nil { // the map takes the keys from the same view, maybe a moment later
			retry = min(retry, tokenKeyRetry/20)
		}
		t := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			return nil
		case <-watch:
		case <-t.C:
		}
		t.Stop()
	}
}

// forgetTokenKeys deletes the keys that are too old to keep.
func (n *node) forgetTokenKeys(ctx context.Context) {
	all := n.store.Now().Prefix(tokenKeyPrefix) // by period
	for _, e := range all[:max(0, len(all)-tokenKeysKept)] {
		if err := n.store.Delete(ctx, e.Key); err != nil && ctx.Err() == nil {
			n.log.Warn("an old key for consistency tokens stays", "key", e.Key, "why", err.Error())
		}
	}
}

func newTokenKey(now time.Time) tokenKeyRecord {
	b := make([]byte, 36)
	rand.Read(b) // never fails
	return tokenKeyRecord{ID: hex.EncodeToString(b[:4]), Secret: b[4:], Created: now.UTC()}
}
