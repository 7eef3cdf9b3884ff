package framing

import (
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxExtensions bounds the extensions of one chunk, in bytes: they say nothing
// here.
const maxExtensions = 256

// validExtensions reports whether s, what follows the first semicolon of a
// chunk's line, are chunk extensions: a name each, with a value that is a token
// or a quoted text (RFC 9112, section 7.1.1). Programs differ on where a line ends
// whose extension is none of that, as with a quotation that is left open.
func validExtensions(s string) bool {
	if len(s) > maxExtensions || strings.TrimRight(s, " \t") != s {
		return false
	}
	for {
		name, rest := token(blank(s))
		if name == "" {
			return false
		}
		if s = blank(rest); strings.HasPrefix(s, "=") {
			value, ok := extensionValue(blank(s[1:]))
			if !ok {
				return false
			}
			s = blank(value)
		}
		if s == "" {
			return true
		}
		if s[0] != ';' {
			return false
		}
		s = s[1:]
	}
}

// blank returns s without the spaces and tabs that it begins with.
func blank(s string) string { return strings.TrimLeft(s, " \t") }

// token returns the token that s begins with, and what follows.
func token(s string) (name, rest string) {
	i := 0
	for i < len(s) && httpguts.IsTokenRune(rune(s[i])) {
		i++
	}
	return s[:i], s[i:]
}

// extensionValue returns what follows the token or quoted text (RFC 9110,
// section 5.6.4) that s begins with.
func extensionValue(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest := token(s)
		return rest, value != ""
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
		case c == '\\':
			return "", false
		}
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", false
		}
	}
	return "", false
}
