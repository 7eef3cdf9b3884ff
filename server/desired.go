package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/identity"
	"meridian/postgres/failover"
	"meridian/store"
)

// What the store holds, by key. Desired state and switches have prefixes of
// their own, so that neither can block the other.
const (
	primaryPrefix  = "switch/primary/" // + database: a failover.Record
	drainPrefix    = "switch/drain/"   // + region: a drainRecord
	rolloutKey     = "switch/rollout"  // a rollout.Record
	rulesPrefix    = "rollout/"        // + version: a part of a file, with the keys of edgeRules
	apiKeyPrefix   = "keys/"           // + id: an identity.APIKey
	edgeKeyPrefix  = "edge-keys/"      // + id: an edgeKeyRecord
	tokenKeyPrefix = "token-keys/"     // + period: a tokenKeyRecord
)

// A drainRecord says that an operator took a region out of steering.
type drainRecord struct {
	At time.Time `json:"at"`
}

// An edgeKeyRecord is the key with which one edge seals identities.
type edgeKeyRecord struct {
	ID      string    `json:"id"`
	Node    string    `json:"node"`
	Secret  []byte    `json:"secret"`
	Created time.Time `json:"created"`
}

// Desired is what the store says, read once and then never changed.
type desired struct {
	primary   map[string]failover.Record // by database
	drained   map[meridian.Region]drainRecord
	apiKeys   []identity.APIKey
	edgeKeys  []identity.EdgeKey
	tokenKeys []tokenKeyRecord // oldest first
}

// Entries is what interpret reads of a store.View.
type entries interface {
	Prefix(string) []store.Entry
}

// interpret reads a view of the store. An entry that cannot be read is left
// out and said, never a reason to lose the others (guarantee 6).
func interpret(v entries, log *slog.Logger) desired {
	d := desired{primary: map[string]failover.Record{}, drained: map[meridian.Region]drainRecord{}}
	each(v, primaryPrefix, log, func(db string, r failover.Record) { d.primary[db] = r })
	each(v, drainPrefix, log, func(region string, r drainRecord) { d.drained[meridian.Region(region)] = r })
	each(v, apiKeyPrefix, log, func(_ string, k identity.APIKey) { d.apiKeys = append(d.apiKeys, k) })
	each(v, edgeKeyPrefix, log, func(_ string, k edgeKeyRecord) {
		d.edgeKeys = append(d.edgeKeys, identity.EdgeKey{ID: k.ID, Secret: k.Secret})
	})
	each(v, tokenKeyPrefix, log, func(_ string, k tokenKeyRecord) { d.tokenKeys = append(d.tokenKeys, k) })
	slices.SortFunc(d.tokenKeys, func(a, b tokenKeyRecord) int { return a.Created.Compare(b.Created) })
	return d
}

func each[T any](v entries, prefix string, log *slog.Logger, f func(name string, t T)) {
	for _, e := range v.Prefix(prefix) {
		var t T
		if err := json.Unmarshal(e.Value, &t); err != nil {
			log.Error("entry of the store cannot be read, left out", "key", e.Key, "why", err.Error())
			continue
		}
		f(strings.TrimPrefix(e.Key, prefix), t)
	}
}

// has reports whether every region can be expected to know an edge's key.
func (d desired) has(edgeKey string) bool {
	for _, k := range d.edgeKeys {
		if k.ID == edgeKey {
			return true
		}
	}
	return false
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("server: %T has no JSON: %v", v, err))
	}
	return b
}
