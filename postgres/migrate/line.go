package migrate

import (
	"strings"
	"unicode/utf8"
)

// lineOfCharacter returns the line of PostgreSQL's error position, which
// counts characters from 1.
func lineOfCharacter(sql string, position int) int {
	at := 0
	for range position - 1 {
		_, n := utf8.DecodeRuneInString(sql[at:])
		at += n
	}
	return lineAt(sql, at)
}

func lineAt(sql string, at int) int { return 1 + strings.Count(sql[:min(at, len(sql))], "\n") }

// lineOfStatement returns the line on which the statement after the first n
// begins. It knows strings, names, dollar quotes and comments; a BEGIN ATOMIC
// body can mislead it, and then the line is off.
func lineOfStatement(sql string, n int) int {
	start, line := -1, 1
	for at := 0; at < len(sql); {
		size := token(sql[at:])
		switch t := sql[at : at+size]; {
		case t == ";":
			if start >= 0 {
				n--
			}
			start = -1
		case isSpace(t):
		case start < 0:
			start = at
			if line = lineAt(sql, at); n == 0 {
				return line
			}
		}
		at += size
	}
	return line // of the last, if there are fewer
}

func isSpace(t string) bool {
	return strings.TrimSpace(t) == "" || strings.HasPrefix(t, "--") || strings.HasPrefix(t, "/*")
}

// token returns the length of the token at the start of s, as far as it
// matters to where statements end.
func token(s string) int {
	switch {
	case strings.HasPrefix(s, "--"):
		return until(s, 2, "\n")
	case strings.HasPrefix(s, "/*"):
		return comment(s)
	case len(s) > 1 && (s[0] == 'e' || s[0] == 'E') && s[1] == '\'':
		return escaped(s)
	case s[0] == '\'' || s[0] == '"':
		return until(s, 1, s[:1]) // a doubled quote is two tokens: just as good
	case s[0] == '$':
		return dollar(s)
	case isWord(s[0]):
		n := 1
		for n < len(s) && (isWord(s[n]) || s[n] == '$') {
			n++
		}
		return n
	}
	return 1
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// until returns the length up to the end of mark, looked for from at; all of s
// if it is not there.
func until(s string, at int, mark string) int {
	i := strings.Index(s[at:], mark)
	if i < 0 {
		return len(s)
	}
	return at + i + len(mark)
}

// comment handles /* /* */ */: PostgreSQL's comments nest.
func comment(s string) int {
	depth := 0
	for i := 0; i < len(s)-1; i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// escaped handles E'it\'s'.
func escaped(s string) int {
	for i := 2; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\'':
			return i + 1
		}
	}
	return len(s)
}

// dollar handles $$...$$ and $tag$...$tag$.
func dollar(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 1
	}
	tag := s[:end+2]
	for _, c := range []byte(tag[1 : len(tag)-1]) {
		if !isWord(c) {
			return 1
		}
	}
	return until(s, len(tag), tag)
}
