package config

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnOutlineIsOfWhatAWorldIsAndNotWhere: another region, other paths and the
// nodes of a plan leave it as it is; anything else that is changed shows under
// its key.
func TestAnOutlineIsOfWhatAWorldIsAndNotWhere(t *testing.T) {
	const text = `domain: api.example.test
regions: {us-east-1: {primary: true}, eu-west-1: {}}
edges: [us-east-1]
api: openapi.yaml
database: {name: hello, durability: async}
dns: {ttl: 5s}
`
	outline := func(text string) map[string]string {
		t.Helper()
		dir := t.TempDir()
		for _, name := range []string{"openapi.yaml", "word"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Parse("meridian.yaml", dir, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return Outline(f)
	}
	was := outline(text)
	for what, c := range map[string]struct{ old, new, key string }{
		"another region":     {"eu-west-1: {}", "eu-west-1: {}, sa-east-1: {}", ""},
		"another edge":       {"[us-east-1]", "[us-east-1, eu-west-1]", ""},
		"a password's file":  {"name: hello,", "name: hello, password: word,", ""},
		"a node":             {"dns:", "nodes: [{name: a, region: us-east-1, address: 10.0.0.1, roles: [region, edge, control]}, {name: b, region: eu-west-1, address: 10.0.0.2, roles: [region]}]\ndns:", ""},
		"another database":   {"name: hello", "name: other", "database"},
		"another durability": {"durability: async", "durability: quorum", "database"},
		"another domain":     {"api.example", "www.example", "domain"},
		"another TTL":        {"ttl: 5s", "ttl: 6s", "dns"},
		"a witness":          {"dns:", "witness: eu-west-2\ndns:", "witness"},
	} {
		is := outline(strings.Replace(text, c.old, c.new, 1))
		for key := range maps.All(is) {
			if differs := is[key] != was[key]; differs != (key == c.key) {
				t.Errorf("%s: %s differs: %t", what, key, differs)
			}
		}
	}
}
