// Package idempotency reads the Idempotency-Key header
// (draft-ietf-httpapi-idempotency-key-header-07), by which a client says that
// several requests ask for one execution. Edges and gateways must agree on what
// is a key: the one repeats by it what the other deduplicates.
package idempotency

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Header is the client's.
const Header = "Idempotency-Key"

// HeaderOnce is how who may repeat a request elsewhere asks a region, on the
// backbone, to execute it by its key or not at all. HeaderUnclaimed is the
// region's word for "not at all", and why.
const (
	HeaderOnce      = "Meridian-Once"
	HeaderUnclaimed = "Meridian-Unclaimed"
)

// MaxKey is the most characters that a key may have.
const MaxKey = 255

// Key returns the key that the lines of the header name, "" if there are none. It
// is a string of structured fields (RFC 9651, section 3.3.3); what has no quotes
// is taken as it stands, as most clients write it, and names the same.
func Key(lines []string) (string, error) {
	switch {
	case len(lines) == 0:
		return "", nil
	case len(lines) > 1:
		return "", fmt.Errorf("%s: found %d lines; expected one", Header, len(lines))
	}
	text, key := strings.Trim(lines[0], " \t"), ""
	switch {
	case strings.HasPrefix(text, `"`):
		item, err := httpsfv.UnmarshalItem([]string{text})
		if err != nil {
			return "", fmt.Errorf("%s: found %.80q; expected a quoted string: %w", Header, text, err)
		}
		key, _ = item.Value.(string)
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == ',' || c == ';' || c == '\\' }):
		return "", fmt.Errorf("%s: found %.80q; expected a quoted string", Header, text)
	default:
		key = text
	}
	switch {
	case key == "":
		return "", errors.New(Header + ": found an empty key; expected a string that no other request has")
	case len(key) > MaxKey:
		return "", fmt.Errorf("%s: found %d characters; expected %d at most", Header, len(key), MaxKey)
	}
	return key, nil
}
