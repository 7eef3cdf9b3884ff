package server

import (
	"fmt"
	"os"

	"meridian/config"
	"meridian/edge"
	"meridian/edge/limit"
	"meridian/edge/sign"
)

// guard returns who may come in at all.
func guard(f *config.File) edge.Guard {
	g := f.Guard
	return edge.Guard{Allow: g.Allow, Deny: g.Deny, Bots: g.Bots, Limits: limits(f, g.RateLimits)}
}

// guardOf returns who may come in by a behaviour.
func guardOf(f *config.File, b config.Behavior, keys map[string]sign.Keys) edge.Guard {
	return edge.Guard{Allow: b.Allow, Deny: b.Deny, Limits: limits(f, b.RateLimits), Signed: keys[b.Signed]}
}

func limits(f *config.File, names []string) (out []limit.Limit) {
	for _, name := range names {
		r := f.RateLimits[name]
		l := limit.Limit{Name: name, Requests: r.Requests, Per: r.Per, Burst: r.Burst, By: limit.By(r.By)}
		if h := r.HeaderOf(); h != "" {
			l.By, l.Header = limit.ByHeader, h
		}
		out = append(out, l)
	}
	return out
}

// keyGroups reads the public keys whose holders may sign URLs, by group.
func keyGroups(f *config.File) (map[string]sign.Keys, error) {
	all := sign.Keys{}
	for id, path := range f.TrustedKeys {
		text, err := os.ReadFile(path)
		if err == nil {
			all[id], err = sign.ParsePublicKey(text)
		}
		if err != nil {
			return nil, f.At("trustedKeys."+id, fmt.Errorf("%s: %w", path, err))
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
