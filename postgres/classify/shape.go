package classify

import "bytes"

// In the simple protocol a statement's values are part of its text, so that each
// text comes once. Most of them differ from one another by whole numbers alone,
// which decide nothing: no rule looks into a number, but for the text of a setting
// or of a prepared statement, and those verdicts have effects. A shape is a text
// with its numbers taken out.

// holder stands in a shape for a number. No text has it that is understood.
const holder = 0x01

// shape appends text's shape to dst. It reports false if no number was taken out,
// or if something is in text that would have to be read to know what is a number:
// comments (they may hold hints), dollar quotes, backslashes.
func shape(dst, text []byte) (_ []byte, ok bool) {
	if bytes.IndexByte(text, '\\') >= 0 { // in a string, too: its end is elsewhere then
		return dst, false
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case isDigit(c):
			j := i + 1
			for j < len(text) && isDigit(text[j]) {
				j++
			}
			if j < len(text) && (isIdent(text[j]) || text[j] == '.') {
				return dst, false // 1e5, 0x1F, 1.5
			}
			dst, ok = append(dst, holder), true
			i = j
		case isIdentStart(c) || c == '$' && isDigit(at(text, i+1)):
			j := i + 1
			for j < len(text) && isIdent(text[j]) {
				j++
			}
			dst = append(dst, text[i:j]...)
			i = j
		case c == '\'' || c == '"':
			j := i + 1
			for j < len(text) && text[j] != c {
				j++
			}
			if j == len(text) {
				return dst, false
			}
			dst = append(dst, text[i:j+1]...)
			i = j + 1
		case c == '$' || c == '.' && isDigit(at(text, i+1)) || c < ' ' && !isSpace(c),
			c == '-' && at(text, i+1) == '-', c == '/' && at(text, i+1) == '*':
			return dst, false
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, ok
}

// shaped reports whether a verdict is that on all texts of the same shape.
func (v *Verdict) shaped() bool {
	return len(v.Effects) == 0 && v.Execute == "" && len(v.Uses) == 0 && v.Invalid == nil && v.Consistency == nil && !v.Signals && v.Block == NoBlock
}
