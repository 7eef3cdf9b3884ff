// Package pathpattern matches the paths of URLs against CloudFront's patterns:
// * is any bytes, none and / among them, ? is exactly one, and all else is
// itself. A leading / may be left out.
package pathpattern

import (
	"fmt"
	"strings"
)

// Match reports whether a pattern matches the whole of a path.
func Match(pattern, path string) bool { return Glob(Rooted(pattern), path) }

// Glob reports whether a pattern matches the whole of a text that is no path.
func Glob(pattern, text string) bool {
	p, s, star, mark := 0, 0, -1, 0
	for s < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, s
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[s]):
			p, s = p+1, s+1
		case star >= 0: // the last * takes one more
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Rooted returns a pattern with the leading / that may be left out.
func Rooted(pattern string) string {
	if strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "*") {
		return pattern
	}
	return "/" + pattern
}

// Normalize returns a raw path in the one spelling that all of its spellings
// share (RFC 3986, section 6.2.2): it decodes what needs no escape (RFC 3986, section 6.2.2.2), writes
// other escapes in upper case, and removes dot segments (section 5.2.4).
func Normalize(path string) string {
	if strings.Contains(path, "%") {
		path = escapes(path)
	}
	if !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	segments := strings.Split(path, "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
		case s != ".":
			out = append(out, s)
			last = false
		}
		if last { // what ends in a dot segment is a folder
			out = append(out, "")
		}
	}
	return strings.Join(out, "/")
}

func escapes(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			b.WriteString("%25") // it escapes nothing: it is itself
			continue
		}
		if c := unhex(path[i+1])<<4 | unhex(path[i+2]); unreserved(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		i += 2
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// unreserved reports whether c stands for itself in any part of a URI (RFC
// 3986, section 2.3).
func unreserved(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._~", c) >= 0
}

// Covers reports whether a matches every path that b matches. It may say no
// of patterns where the answer is yes only by chance, never the reverse.
func Covers(a, b string) bool { return covers(ordered(Rooted(a)), ordered(Rooted(b))) }

// ordered writes each run of wildcards with its ? first, and one *, which says
// the same.
func ordered(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); {
		run, star := i, false
		for ; i < len(p) && (p[i] == '*' || p[i] == '?'); i++ {
			if p[i] == '?' {
				b.WriteByte('?')
			}
			star = star || p[i] == '*'
		}
		if star {
			b.WriteByte('*')
		}
		if i == run {
			b.WriteByte(p[i])
			i++
		}
	}
	return b.String()
}

// covers matches a against b as against a path, in which a * stands for what
// only a * can take.
func covers(a, b string) bool {
	reach := make([]bool, len(b)+1) // reach[j]: what was read of a covers b[:j]
	reach[0] = true
	for i := range len(a) {
		next := make([]bool, len(b)+1)
		for j := range reach {
			switch {
			case a[i] == '*':
				next[j] = reach[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = reach[j-1] && b[j-1] != '*' && (a[i] == '?' || a[i] == b[j-1] && b[j-1] != '?')
			}
		}
		reach = next
	}
	return reach[len(b)]
}
