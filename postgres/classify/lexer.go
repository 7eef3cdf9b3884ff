package classify

import "bytes"

// A kind is what a token is.
type kind byte

const (
	word   kind = iota // an identifier or keyword, unquoted
	quoted             // "an identifier"
	str                // a string constant of any sort
	number
	param // $1
	op    // an operator
	punct // one of ( ) [ ] , ; . :
	odd   // what this lexer does not take: an open quote, U&"", a control character
)

// A token is a piece of a text; whitespace and comments are between tokens.
type token struct {
	kind       kind
	start, end int
}

// lex appends text's tokens to dst. Strings follow
// standard_conforming_strings = on; a session that turns it off is pinned.
func lex(dst []token, text []byte) []token {
	for i := 0; i < len(text); {
		j, k := next(text, i)
		if j <= i { // whitespace or a comment to the end of the text
			return dst
		}
		if k >= 0 {
			dst = append(dst, token{kind(k), i, j})
		}
		i = j
	}
	return dst
}

// next returns where the token that starts at i ends, and its kind, or -1 for
// what is no token.
func next(s []byte, i int) (end, k int) {
	c := s[i]
	switch {
	case isSpace(c):
		return i + 1, -1
	case c == '-' && at(s, i+1) == '-':
		if n := bytes.IndexAny(s[i:], "\r\n"); n >= 0 {
			return i + n, -1
		}
		return len(s), -1
	case c == '/' && at(s, i+1) == '*':
		if end := comment(s, i); end > 0 {
			return end, -1
		}
		return len(s), int(odd)
	case c == '\'':
		return quote(s, i, '\'', false, str)
	case c == '"':
		return quote(s, i, '"', false, quoted)
	case (c == 'e' || c == 'E') && at(s, i+1) == '\'':
		return quote(s, i+1, '\'', true, str)
	case isPrefix(c) && at(s, i+1) == '\'':
		return quote(s, i+1, '\'', false, str)
	case (c == 'u' || c == 'U') && at(s, i+1) == '&' && at(s, i+2) == '\'':
		return quote(s, i+2, '\'', false, str)
	case (c == 'u' || c == 'U') && at(s, i+1) == '&' && at(s, i+2) == '"':
		return quote(s, i+2, '"', false, odd)
	case c == '$':
		return dollar(s, i)
	case isIdentStart(c):
		j := i + 1
		for j < len(s) && isIdent(s[j]) {
			j++
		}
		return j, int(word)
	case isDigit(c) || c == '.' && isDigit(at(s, i+1)):
		j := i + 1
		for j < len(s) && (isDigit(s[j]) || s[j] == '.' || isIdent(s[j])) {
			j++
		}
		return j, int(number)
	case bytes.IndexByte([]byte("()[],;.:"), c) >= 0:
		return i + 1, int(punct)
	case isOp(c):
		return operator(s, i), int(op)
	}
	return i + 1, int(odd)
}

// quote ends a quoted piece whose first quote is at i. A doubled quote stands
// for itself; so does a quote after a backslash in an escape string.
func quote(s []byte, i int, q byte, escapes bool, k kind) (int, int) {
	for j := i + 1; j < len(s); j++ {
		switch {
		case escapes && s[j] == '\\':
			j++
		case s[j] == q && at(s, j+1) == q:
			j++
		case s[j] == q:
			return j + 1, int(k)
		}
	}
	return len(s), int(odd)
}

// dollar ends a parameter ($1) or a dollar-quoted string ($tag$...$tag$).
func dollar(s []byte, i int) (int, int) {
	j := i + 1
	for j < len(s) && isDigit(s[j]) {
		j++
	}
	if j > i+1 {
		return j, int(param)
	}
	for j < len(s) && isIdent(s[j]) && s[j] != '$' {
		j++
	}
	if at(s, j) != '$' {
		return j, int(odd)
	}
	tag := s[i : j+1]
	if n := bytes.Index(s[j+1:], tag); n >= 0 {
		return j + 1 + n + len(tag), int(str)
	}
	return len(s), int(odd)
}

// comment ends a block comment, which nests; 0 if it is open.
func comment(s []byte, i int) int {
	depth := 0
	for j := i; j+1 < len(s); j++ {
		switch {
		case s[j] == '/' && s[j+1] == '*':
			depth++
			j++
		case s[j] == '*' && s[j+1] == '/':
			depth--
			j++
			if depth == 0 {
				return j + 1
			}
		}
	}
	return 0
}

// operator ends an operator, before a comment that begins within it. As in
// PostgreSQL, a trailing + or - belongs to it only if it has a character that
// SQL's own operators lack.
func operator(s []byte, i int) int {
	j := i
	special := false
	for j < len(s) && isOp(s[j]) {
		if j > i && (s[j] == '-' && at(s, j+1) == '-' || s[j] == '/' && at(s, j+1) == '*') {
			break
		}
		special = special || bytes.IndexByte([]byte("~!@#^&|`?%"), s[j]) >= 0
		j++
	}
	for !special && j > i+1 && (s[j-1] == '+' || s[j-1] == '-') {
		j--
	}
	return j
}

func at(s []byte, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isPrefix(c byte) bool {
	return c == 'b' || c == 'B' || c == 'x' || c == 'X' || c == 'n' || c == 'N'
}
func isOp(c byte) bool { return bytes.IndexByte([]byte("+-*/<>=~!@#%^&|`?"), c) >= 0 }
func isIdentStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
func isIdent(c byte) bool { return isIdentStart(c) || isDigit(c) || c == '$' }
