package server

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"log/slog"

	"meridian"
	"meridian/client"
	"meridian/config"
)

// stores returns two nodes' views of one key-value store, s.
func twoStores(t *testing.T) (shared *memoryLedger, a, b *kvs, far *ledgerEnd) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(file, []byte(`{"data": [{"key": "of/file", "value": "1"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &config.File{KeyValueStores: map[string]config.KeyValueStore{"s": {File: file}}}
	shared = newLedger()
	far = &ledgerEnd{memoryLedger: shared}
	for _, end := range []struct {
		to **kvs
		at *ledgerEnd
	}{{&a, &ledgerEnd{memoryLedger: shared}}, {&b, far}} {
		k, err := newKVS(f, end.at, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		*end.to = k
	}
	return shared, a, b, far
}

// TestAKeyFlipsAtEveryNode puts, changes and deletes keys at one node, and reads
// them in another's memory. Control: a node that does not follow sees nothing.
func TestAKeyFlipsAtEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := twoStores(t)
		if _, err := a.Put(t.Context(), "s", client.Pair{Key: "k", Value: "first"}); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.Snapshot("s").Get("k"); ok {
			t.Error("a node that does not follow has it")
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.run(ctx, func() {}) }()
		for _, step := range []struct {
			do   func() error
			key  string
			want string
			is   bool
		}{
			{func() error { return nil }, "k", "first", true},
			{func() error { _, err := a.Put(t.Context(), "s", client.Pair{Key: "k", Value: "second"}); return err }, "k", "second", true},
			{func() error { _, err := a.Put(t.Context(), "s", client.Pair{Key: "of/file", Value: "2"}); return err }, "of/file", "2", true},
			{func() error { return a.Delete(t.Context(), "s", client.Pair{Key: "of/file"}) }, "of/file", "", false},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // no time passes in the bubble: it is there as soon as the store shows it
			if got, ok := b.Snapshot("s").Get(step.key); got != step.want || ok != step.is {
				t.Errorf("%s: %q, %v", step.key, got, ok)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestAnETagIsOfOneKey changes one key and then another by what was read before.
func TestAnETagIsOfOneKey(t *testing.T) {
	_, a, _, far := twoStores(t)
	put := func(p client.Pair) (client.Pair, error) { return a.Put(t.Context(), "s", p) }
	x, err := put(client.Pair{Key: "x", Value: "1", ETag: none})
	if err != nil {
		t.Fatal(err)
	}
	y, err := put(client.Pair{Key: "y", Value: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(client.Pair{Key: "x", Value: "2", ETag: x.ETag}); err != nil {
		t.Errorf("another key was changed meanwhile: %v", err)
	}
	for what, p := range map[string]client.Pair{
		"an old etag":           {Key: "x", Value: "3", ETag: x.ETag},
		"a key that is there":   {Key: "y", Value: "2", ETag: none},
		"of the file, and not":  {Key: "y", Value: "2", ETag: ofFile},
		"a value too large":     {Key: "y", Value: string(make([]byte, 1025))},
		"a key too large":       {Key: string(make([]byte, 513)), Value: "v"},
		"a key that is nothing": {Value: "v"},
	} {
		if _, err := put(p); meridian.KindOf(err) != meridian.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := put(client.Pair{Key: "of/file", Value: "2", ETag: ofFile}); err != nil {
		t.Error(err)
	}
	if err := a.Delete(t.Context(), "s", client.Pair{Key: "y", ETag: y.ETag}); err != nil {
		t.Error(err)
	}
	if err := a.Delete(t.Context(), "s", client.Pair{Key: "y"}); meridian.KindOf(err) != meridian.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := a.Pairs("nobody"); meridian.KindOf(err) != meridian.NotFound {
		t.Errorf("a store that is not there: %v", err)
	}
	far.setCut(true) // what was read stays
	if got, _ := a.Snapshot("s").Get("of/file"); got != "1" {
		t.Errorf("a node that did not refresh: %q", got)
	}
}

// TestStoresOfANewFileAreTaken changes a store's file and adds one: what was put
// lies over the new file too, and a file that is wrong changes nothing.
func TestStoresOfANewFileAreTaken(t *testing.T) {
	_, a, _, _ := twoStores(t)
	if _, err := a.Put(t.Context(), "s", client.Pair{Key: "k", Value: "put"}); err != nil {
		t.Fatal(err)
	}
	a.refresh()
	file := filepath.Join(t.TempDir(), "s.json")
	take := func(text string) error {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		swap, err := a.prepare(&config.File{KeyValueStores: map[string]config.KeyValueStore{"s": {File: file}, "more": {}}})
		if err == nil {
			swap()
		}
		return err
	}
	if err := take(`{"data": [{"key": "k", "value": "file"}, {"key": "new", "value": "1"}]}`); err != nil {
		t.Fatal(err)
	}
	if err := take(`{"data": [`); err == nil {
		t.Error("a file that is broken is taken")
	}
	for key, want := range map[string]string{"k": "put", "new": "1", "of/file": ""} {
		if got, _ := a.Snapshot("s").Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if a.Snapshot("more") == nil {
		t.Error("a new store is not there")
	}
}
