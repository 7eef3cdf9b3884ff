package server

import (
	"fmt"
	"os"

	"meridian/config"
	"meridian/edge/sign"
)

// keyGroups reads the public keys whose holders may sign URLs, by group.
func keyGroups(f *config.File) (map[string]sign.Keys, error) {
	all := sign.Keys{}
	for id, path := range f.TrustedKeys {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("trusted key %s: %w", id, err)
		}
		if all[id], err = sign.ParsePublicKey(text); err != nil {
			return nil, fmt.Errorf("trusted key %s: %s: %w", id, path, err)
		}
	}
	out := map[string]sign.Keys{}
	for name, ids := range f.KeyGroups {
		out[name] = sign.Keys{}
		for _, id := range ids {
			out[name][id] = all[id]
		}
	}
	return out, nil
}
