package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"meridian/identity"
	"meridian/postgres/failover"
	"meridian/store"
)

// stored is a store of a few entries, by key.
type stored map[string][]byte

func (s stored) Prefix(p string) (out []store.Entry) {
	for k, v := range s {
		if strings.HasPrefix(k, p) {
			out = append(out, store.Entry{Key: k, Value: v})
		}
	}
	return out
}

func TestWhatTheStoreSaysIsRead(t *testing.T) {
	key, _ := identity.NewAPIKey("shop")
	d := interpret(stored{
		primaryPrefix + "hello":   mustJSON(failover.Record{Region: "eu-west-1", Term: 3}),
		drainPrefix + "us-east-1": mustJSON(drainRecord{}),
		apiKeyPrefix + key.ID:     mustJSON(key),
		edgeKeyPrefix + "e1":      mustJSON(edgeKeyRecord{ID: "e1", Node: "eu-west-1/edge", Secret: []byte("s")}),
		"elsewhere/x":             []byte("{"),
	}, slog.New(slog.DiscardHandler))
	if r := d.primary["hello"]; r.Region != "eu-west-1" || r.Term != 3 {
		t.Errorf("primary %v", d.primary)
	}
	if _, ok := d.drained["us-east-1"]; !ok || len(d.drained) != 1 {
		t.Errorf("drained %v", d.drained)
	}
	if len(d.apiKeys) != 1 || d.apiKeys[0] != key {
		t.Errorf("API keys %v", d.apiKeys)
	}
	if !d.has("e1") || d.has("e2") || string(d.edgeKeys[0].Secret) != "s" {
		t.Errorf("edge keys %v", d.edgeKeys)
	}
}

func TestAnEntryThatCannotBeReadIsLeftOutAndSaid(t *testing.T) {
	var log bytes.Buffer
	d := interpret(stored{
		primaryPrefix + "hello":   []byte(`{"region": 5}`),
		drainPrefix + "us-east-1": []byte("broken"),
		drainPrefix + "eu-west-1": mustJSON(drainRecord{}),
	}, slog.New(slog.NewTextHandler(&log, nil)))
	if len(d.primary) != 0 || len(d.drained) != 1 {
		t.Errorf("%v %v", d.primary, d.drained)
	}
	for _, key := range []string{primaryPrefix + "hello", drainPrefix + "us-east-1"} {
		if !strings.Contains(log.String(), "key="+key) {
			t.Errorf("%s is not named: %s", key, log.String())
		}
	}
}
