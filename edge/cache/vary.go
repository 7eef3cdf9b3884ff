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

// selectorOf returns what a response to that request depends on.
func selectorOf(response, request http.Header) (s selector) {
	for _, name := range varyOf(response) {
		s = append(s, selecting{name, normal(name, request[name])})
	}
	return s
}

// matches reports whether a request has the same selecting headers. language is
// the stored response's Content-Language.
func (s selector) matches(request http.Header, language string) bool {
	for _, x := range s {
		if normal(x.name, request[x.name]) == x.value {
			continue
		}
		if x.name != "Accept-Language" || language == "" || favourite(request[x.name]) != strings.ToLower(language) {
			return false
		}
	}
	return true
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
