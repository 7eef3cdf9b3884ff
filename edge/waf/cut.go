package waf

import (
	"bytes"
	"encoding/json"
	"mime"
	"regexp"
	"slices"
	"strings"
)

// shown returns of a body what the rules are shown. The beginning of a longer one
// becomes a body that ends there, or its parser would take it for a broken one,
// and so for an attack. Of JSON's lists what is no text is left out: it cannot be
// an attack, and each of a thousand numbers would be asked of every rule.
func shown(typ string, body []byte, cut bool) []byte {
	typ = strings.ToLower(typ)
	switch {
	case isJSON.MatchString(typ):
		return reshaped(body, cut)
	case !cut:
		return body
	case strings.HasPrefix(typ, "multipart/"):
		return ended(typ, body)
	case strings.HasPrefix(typ, "application/x-www-form-urlencoded"):
		if i := bytes.LastIndexByte(body, '%'); i >= 0 && i > len(body)-3 {
			return body[:i]
		}
	}
	return body
}

// isJSON tells types that the recommended rules have read as JSON.
var isJSON = regexp.MustCompile(`^application/(json|[a-z0-9.-]+\+json)`)

// ended ends a multipart body behind its last part that has a head.
func ended(typ string, body []byte) []byte {
	_, params, err := mime.ParseMediaType(typ)
	mark := []byte("--" + params["boundary"])
	if err != nil || len(mark) == 2 || bytes.Contains(body, append(slices.Clone(mark), "--"...)) {
		return body
	}
	last := bytes.LastIndex(body, mark)
	if last >= 0 && !bytes.Contains(body[last:], []byte("\r\n\r\n")) {
		return slices.Concat(body[:last], mark, []byte("--\r\n"))
	}
	return slices.Concat(body, []byte("\r\n"), mark, []byte("--\r\n"))
}

// What may come next in a text of JSON (RFC 8259).
type next int

const (
	aValue next = iota
	aName
	aColon
	anEnd // of the value before: a comma, or what closes
)

// A shaper writes JSON anew.
type shaper struct {
	out   []byte
	open  []byte // { and [ that are not closed
	some  []bool // each of them has something in it
	fresh bool   // the last was just opened
	next  next
}

// reshaped returns JSON without blanks, and without what is no text in lists. If
// it was cut, it ends where it was. What is no JSON stays as it is.
func reshaped(body []byte, cut bool) []byte {
	s := &shaper{out: make([]byte, 0, len(body)+64)}
	for rest := body; len(rest) > 0; {
		n, ok := s.take(rest, cut)
		if !ok {
			return body
		}
		rest = rest[n:]
	}
	if len(s.open) > 0 && !cut || len(s.out) == 0 {
		return body
	}
	return s.closed()
}

// closed ends what is open.
func (s *shaper) closed() []byte {
	switch {
	case s.next == aColon:
		s.out = append(s.out, ":null"...)
	case s.next == aValue && s.inside() == '{':
		s.out = append(s.out, "null"...)
	}
	for _, c := range slices.Backward(s.open) {
		s.out = append(s.out, c+2) // ] and } stand two behind [ and {
	}
	return s.out
}

func (s *shaper) inside() byte {
	if len(s.open) == 0 {
		return 0
	}
	return s.open[len(s.open)-1]
}

// take takes one token, and returns its length. It fails for one that may not be
// there.
func (s *shaper) take(b []byte, cut bool) (n int, ok bool) {
	fresh := s.fresh
	switch c := b[0]; c {
	case ' ', '\t', '\r', '\n':
		return 1, true
	case '"':
		return s.text(b, cut)
	case '{', '[':
		if s.next != aValue {
			return 0, false
		}
		s.separate()
		s.out, s.open, s.some, s.fresh = append(s.out, c), append(s.open, c), append(s.some, false), true
		if c == '{' {
			s.next = aName
		}
		return 1, true
	case '}', ']':
		if s.inside() != c-2 || s.next != anEnd && !fresh {
			return 0, false
		}
		last := len(s.open) - 1
		s.out, s.open, s.some, s.fresh, s.next = append(s.out, c), s.open[:last], s.some[:last], false, anEnd
		return 1, true
	case ',':
		ok, s.next = s.next == anEnd && len(s.open) > 0, aValue
		if s.inside() == '{' {
			s.next = aName
		}
		return 1, ok
	case ':':
		ok, s.next, s.out = s.next == aColon, aValue, append(s.out, c)
		return 1, ok
	}
	return s.scalar(b, cut)
}

// separate writes the comma before a value of a list, or a name.
func (s *shaper) separate() {
	if s.fresh = false; len(s.some) == 0 || s.inside() == '{' && s.next == aValue {
		return
	}
	if some := &s.some[len(s.some)-1]; *some {
		s.out = append(s.out, ',')
	} else {
		*some = true
	}
}

// text takes a string, a name or a value. One that was cut ends before the escape
// that was.
func (s *shaper) text(b []byte, cut bool) (n int, ok bool) {
	if s.next != aValue && s.next != aName {
		return 0, false
	}
	end := 1
	for end < len(b) && b[end] != '"' {
		size := 1
		if b[end] == '\\' {
			if size = 2; end+1 < len(b) && b[end+1] == 'u' {
				size = 6
			}
		}
		if end+size > len(b) {
			break
		}
		end += size
	}
	whole := end < len(b) && b[end] == '"'
	if !whole && !cut {
		return 0, false
	}
	s.separate()
	s.out = append(append(s.out, b[:end]...), '"')
	if s.next = s.next + 1; s.next != aColon { // of a name
		s.next = anEnd
	}
	if !whole {
		return len(b), true
	}
	return end + 1, true
}

// scalar takes a number, or one of the three words. The last of a text that was
// cut may not be whole.
func (s *shaper) scalar(b []byte, cut bool) (n int, ok bool) {
	if n = bytes.IndexAny(b, " \t\r\n\",:{}[]"); n < 0 {
		n = len(b)
	}
	if s.next != aValue || n == 0 {
		return 0, false
	}
	if cut && n == len(b) && len(s.open) > 0 {
		return n, true
	}
	if !json.Valid(b[:n]) {
		return 0, false
	}
	if s.inside() != '[' {
		s.separate()
		s.out = append(s.out, b[:n]...)
	}
	s.fresh, s.next = false, anEnd
	return n, true
}
