package cache

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A selector is what a stored response says that it depends on (RFC 9111,
// section 4.1): the headers that Vary names, as the request had them that it
// answered.
type selector []selecting

type selecting struct{ name, value string }

// varyOf returns the names in Vary, in canonical form.
func varyOf(h http.Header) (names []string) {
	members(h["Vary"], func(name string) bool {
		if name = http.CanonicalHeaderKey(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
		return true
	})
	return names
}

// varies reports whether a response's Vary has a name.
func varies(h http.Header, name string) bool {
	return len(h["Vary"]) > 0 && slices.Contains(varyOf(h), name)
}

// coded marks a selecting value that is a coding which a request must accept.
const coded = "\x00"

// selectorOf returns what a response to that request depends on. One that is
// encoded and whose Vary says nothing of that depends on whether a request accepts
// the coding, as at CloudFront, whose key has it; but not where the request that it
// answers did not: that origin encodes for everybody.
func selectorOf(response, request http.Header) (s selector) {
	said := false
	for _, name := range varyOf(response) {
		s = append(s, selecting{name, normal(name, request[name])})
		said = said || name == "Accept-Encoding"
	}
	if coding := response.Get("Content-Encoding"); coding != "" && !said && accepts(request["Accept-Encoding"], coding) {
		s = append(s, selecting{"Accept-Encoding", coded + coding})
	}
	return s
}

// accepts reports whether Accept-Encoding names a coding, or *, and not with a
// weight of 0 (RFC 9110, section 12.5.3).
func accepts(lines []string, coding string) bool {
	named, any := 0, 0 // 1: yes, -1: no
	members(lines, func(m string) bool {
		name, weight, _ := strings.Cut(m, ";")
		says := 1
		if q, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q="); ok {
			if n, err := strconv.ParseFloat(q, 64); err == nil && n == 0 {
				says = -1
			}
		}
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, coding):
			named = says
		case name == "*":
			any = says
		}
		return true
	})
	return named > 0 || named == 0 && any > 0
}

// matches reports whether a request has the same selecting headers. language is
// the stored response's Content-Language.
func (s selector) matches(request http.Header, language string) bool {
	for _, x := range s {
		if coding, ok := strings.CutPrefix(x.value, coded); ok {
			if !accepts(request[x.name], coding) {
				return false
			}
			continue
		}
		if normal(x.name, request[x.name]) == x.value {
			continue
		}
		if x.name != "Accept-Language" || language == "" || favourite(request[x.name]) != strings.ToLower(language) {
			return false
		}
	}
	return true
}

// alike reports whether two requests have the same in all headers of these names.
func alike(names []string, a, b http.Header) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return normal(name, a[name]) != normal(name, b[name]) })
}

func (s selector) equal(o selector) bool { return slices.Equal(s, o) }

// normal returns a form of a header that all lists of the same members have
// (RFC 9111, section 4.1): lines are joined and whitespace around commas is
// dropped. In Accept-Language neither case nor, of equal weights, order counts.
func normal(name string, lines []string) string {
	if len(lines) == 0 {
		return "" // as an empty one: both say nothing
	}
	if len(lines) == 1 && name != "Accept-Language" && !strings.ContainsAny(lines[0], ", \t") {
		return lines[0]
	}
	var list []string
	members(lines, func(m string) bool { list = append(list, m); return true })
	if name == "Accept-Language" {
		for i, m := range list {
			list[i] = strings.ToLower(strings.ReplaceAll(m, " ", ""))
		}
		slices.Sort(list)
	}
	return strings.Join(list, ",")
}

// favourite returns the language that a request wants most, if it is one.
func favourite(lines []string) (best string) {
	top, tie := 0.0, false
	members(lines, func(m string) bool {
		tag, param, _ := strings.Cut(m, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ReplaceAll(param, " ", ""), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64) // 0 if it is none
		}
		switch {
		case q > top:
			best, top, tie = strings.ToLower(strings.TrimSpace(tag)), q, false
		case q == top:
			tie = true
		}
		return true
	})
	if tie {
		return ""
	}
	return best
}
