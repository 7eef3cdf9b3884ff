package cache

import (
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"
)

// The fields that speak to caches such as this one alone.
const (
	fieldTargeted  = "Cdn-Cache-Control" // RFC 9213
	fieldSurrogate = "Surrogate-Control" // Edge Architecture Specification, W3C Note of 2001
	fieldAble      = "Surrogate-Capability"
)

// surrogate is this cache's device token in Surrogate-Capability.
const surrogate = "meridian"

// Capability is what a request says of this cache in Surrogate-Capability.
const Capability = surrogate + `="Surrogate/1.0"`

// controls returns what a response's fields say, and whether they are targeted
// at caches such as this one: then Cache-Control and Expires say nothing here
// (RFC 9213, section 2.2).
func controls(h http.Header) (d directives, targeted bool) {
	if lines := h[fieldTargeted]; len(lines) > 0 {
		if d, ok := parseTargeted(lines); ok {
			return d, true
		}
	}
	if lines := h[fieldSurrogate]; len(lines) > 0 {
		if d, ok := parseSurrogate(lines); ok {
			return d, true
		}
	}
	return parseDirectives(h["Cache-Control"]), false
}

// parseTargeted reads a structured field (RFC 9213, section 2.1). One that is
// empty, malformed, or gives a directive a value of another type is ignored as
// a whole: nobody can tell what else of it is meant.
func parseTargeted(lines []string) (d directives, ok bool) {
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return d, false
	}
	for _, name := range dict.Names() {
		m, _ := dict.Get(name)
		item, isItem := m.(httpsfv.Item)
		if !isItem {
			if known(name) {
				return directives{}, false
			}
			continue
		}
		if !d.addItem(name, item.Value) {
			return directives{}, false
		}
	}
	return d, true
}

func known(name string) bool {
	var d directives
	return d.delta(name) != nil || name == "no-store" || name == "no-cache" || name == "private" || name == "public" ||
		name == "must-revalidate" || name == "proxy-revalidate" || name == "must-understand"
}

// addItem notes one directive; false if its value is of another type.
func (d *directives) addItem(name string, value any) bool {
	if !known(name) {
		return true
	}
	if to := d.delta(name); to != nil {
		n, ok := value.(int64)
		if !ok || n < 0 {
			return false
		}
		*to = delta{set: true, d: min(asSeconds(n), maxDelta)}
		return true
	}
	switch v := value.(type) {
	case bool:
		if v {
			d.add(name, "", false)
		}
		return true
	case string:
		d.add(name, v, true)
		return name == "no-cache" || name == "private"
	}
	return false
}

// parseSurrogate reads Surrogate-Control: directives as in Cache-Control, each
// for every surrogate or for the one that it names after a semicolon. It is
// ignored if it has nothing for this cache that this cache knows.
func parseSurrogate(lines []string) (d directives, ok bool) {
	members(lines, func(part string) bool {
		part, target, aimed := strings.Cut(part, ";")
		if aimed && strings.TrimSpace(target) != surrogate {
			return true
		}
		name, value, has := strings.Cut(part, "=")
		name = strings.ToLower(name)
		if name == "max-age" {
			value, _, _ = strings.Cut(value, "+") // what follows is how long it may be stale
		}
		if name == "max-age" || name == "no-store" {
			d.add(name, value, has)
			ok = true
		}
		return true
	})
	return d, ok
}
