package cache

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// keyOf returns what a request's stored responses stand under: all that the
// policy tells requests apart by. Methods are not in it: what is stored answers
// GET and HEAD.
func keyOf(q *Request) string {
	p := &q.Policy
	n := len(q.Host) + len(q.Path) + len(q.Query) + 2
	var b strings.Builder
	b.Grow(n)
	lower(&b, q.Host)
	b.WriteByte(0)
	b.WriteString(q.Path)
	switch {
	case p.Query.Mode == All && q.Query != "":
		b.WriteByte('?')
		b.WriteString(q.Query)
	case p.Query.Mode != None && p.Query.Mode != "" && q.Query != "":
		writeQuery(&b, q.Query, p.Query)
	}
	if p.Headers.Mode != "" && p.Headers.Mode != None {
		writeHeaders(&b, q.Header, p.Headers)
	}
	if p.Cookies.Mode != "" && p.Cookies.Mode != None {
		writeCookies(&b, q.Header["Cookie"], p.Cookies)
	}
	if q.Origin != "" {
		b.WriteString("\x00>")
		b.WriteString(q.Origin)
	}
	if q.Made != "" {
		b.WriteString("\x00=")
		b.WriteString(q.Made)
	}
	return b.String()
}

func lower(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
}

// writeQuery writes the parameters that count, in their order. Without any it is
// the key of no query at all.
func writeQuery(b *strings.Builder, query string, s Selection) {
	before := byte('?')
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && s.Has(ParameterName(pair)) {
			b.WriteByte(before)
			b.WriteString(pair)
			before = '&'
		}
	}
}

// ParameterName returns the name of a parameter of a raw query, decoded as the
// origin will read it: by another spelling nobody shall get into what is sent,
// and not into the key.
func ParameterName(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}

// writeHeaders writes the headers that count, by name.
func writeHeaders(b *strings.Builder, h http.Header, s Selection) {
	var names []string
	for name := range h {
		if s.Has(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteByte(0)
		b.WriteString(name)
		b.WriteByte(':')
		b.WriteString(normal(name, h[name]))
	}
}

// writeCookies writes the cookies that count, by name.
func writeCookies(b *strings.Builder, lines []string, s Selection) {
	var list []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			if name, _, _ := strings.Cut(pair, "="); name != "" && s.Has(name) {
				list = append(list, pair)
			}
		}
	}
	slices.Sort(list)
	for _, pair := range list {
		b.WriteString("\x00;")
		b.WriteString(pair)
	}
}
