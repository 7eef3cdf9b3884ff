package compress

import "strings"

// Weakened returns the entity tag of a representation that was encoded on its
// way. Its bytes are no longer those that a strong tag names, and may differ
// from one time to the next, so it is a weak one of the same text (RFC 9110,
// section 8.8.3.3): If-None-Match, which compares weakly, still finds it.
func Weakened(etag string) string {
	if etag == "" || strings.HasPrefix(etag, "W/") {
		return etag
	}
	return "W/" + etag
}

// Known returns the tag of a 304 as the viewer knows it: weakened, if that is
// what the viewer asked with. A strong one would not be that of what it has
// stored (RFC 9111, section 4.3.4).
func Known(etag string, ifNoneMatch []string) string {
	weak := false
	for _, line := range ifNoneMatch {
		for _, m := range members(line) {
			switch strings.TrimSpace(m) {
			case etag:
				return etag
			case Weakened(etag):
				weak = true
			}
		}
	}
	if weak {
		return Weakened(etag)
	}
	return etag
}

// Strengthened returns If-Match with the tags that Weakened may have made as
// they were. If-Match compares strongly, so that a viewer which saw an encoded
// representation could not say of a write that it is meant for that one. A tag
// that the origin itself made weak does not match in either form.
func Strengthened(ifMatch []string) []string {
	out := make([]string, len(ifMatch))
	for i, line := range ifMatch {
		all := members(line)
		for j, m := range all {
			if bare, ok := strings.CutPrefix(strings.TrimSpace(m), `W/"`); ok {
				all[j] = ` "` + bare
			}
		}
		out[i] = strings.TrimSpace(strings.Join(all, ","))
	}
	return out
}

// members splits a list of entity tags, in which a comma may stand too. Nothing is
// escaped there (RFC 9110, section 8.8.3).
func members(line string) (out []string) {
	begin, quoted := 0, false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ',' && !quoted:
			out = append(out, line[begin:i])
			begin = i + 1
		}
	}
	return append(out, line[begin:])
}
