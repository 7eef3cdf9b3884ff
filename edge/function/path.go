package function

import (
	"strings"
)

// pathOf returns a path as it may stand in a request line: what is no byte of a
// path is escaped, and a question mark is no query's.
func pathOf(uri string) (string, error) {
	if !strings.HasPrefix(uri, "/") {
		return "", bad("request.uri is %q; expected a path that begins with /", oneLine(uri))
	}
	if len(uri) > 8192 {
		return "", bad("request.uri has %d bytes; at most 8192", len(uri))
	}
	return escaped(uri, "?#"), nil
}

// queryOf writes a query.
func queryOf(list []many, bare map[string]bool) string {
	var pairs []string
	for _, m := range list {
		for _, value := range m.values {
			pair := escaped(m.name, "&#=")
			if value != "" || !bare[m.name] {
				pair += "=" + escaped(value, "&#")
			}
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "&")
}

// escaped escapes what is no character of a URL, and those of also.
func escaped(s, also string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7f || strings.IndexByte(also, c) >= 0 || c == '"' || c == '<' || c == '>':
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
