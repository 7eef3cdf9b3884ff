package edge

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Bounds of one 103: a client that is told of more than it can begin gains
// nothing.
const (
	maxHints     = 16      // links
	maxHintBytes = 4 << 10 // of them
)

// hint tells the client what a stored response linked to, before the origin has
// said that it holds still (RFC 8297). HTTP/1.1 is not told: too many clients
// take an interim response for the final one.
func (x *exchange) hint(stored http.Header) {
	h := http.Header{"Link": slices.Clone(stored["Link"])}
	if p := x.behavior.Response; p != nil {
		p.apply(h, x.r)
	}
	if links := early(h["Link"]); len(links) > 0 {
		(&interim{x: x}).pass(http.StatusEarlyHints, textproto.MIMEHeader{"Link": links})
	}
}

// early returns the links of header lines that a client can begin with: preload
// and preconnect.
func early(lines []string) (out []string) {
	size := 0
	for _, line := range lines {
		for _, link := range unquotedSplit(line, ',') {
			if link = textproto.TrimString(link); !begins(link) {
				continue
			}
			if size += len(link); len(out) == maxHints || size > maxHintBytes {
				return out
			}
			out = append(out, link)
		}
	}
	return out
}

// begins reports whether a link's relation is one of those (RFC 8288, section 3):
// the first rel counts, and may have several.
func begins(link string) bool {
	if !strings.HasPrefix(link, "<") {
		return false
	}
	for _, param := range unquotedSplit(link, ';')[1:] {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(textproto.TrimString(name), "rel") {
			continue
		}
		for rel := range strings.FieldsSeq(strings.Trim(textproto.TrimString(value), `"`)) {
			if strings.EqualFold(rel, "preload") || strings.EqualFold(rel, "preconnect") {
				return true
			}
		}
		return false
	}
	return false
}

// unquotedSplit splits at a separator that is neither quoted nor in <>.
func unquotedSplit(s string, sep byte) (out []string) {
	begin, quoted, angled := 0, false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !angled:
			quoted = !quoted
		case quoted:
		case c == '<':
			angled = true
		case c == '>':
			angled = false
		case c == sep && !angled:
			out = append(out, s[begin:i])
			begin = i + 1
		}
	}
	return append(out, s[begin:])
}
