package event

import (
	"net/url"
	"strings"
)

// SplitQuery returns the decoded parameters of a raw query, several values of
// a name in their order. Pairs are separated by & alone; what does not decode
// stays as it was sent.
func SplitQuery(raw string) map[string][]string {
	var out map[string][]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if out == nil {
			out = map[string][]string{}
		}
		name = unescape(name)
		out[name] = append(out[name], unescape(value))
	}
	return out
}

func unescape(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

// SplitCookies returns the cookies of all Cookie headers, each as name=value
// as it was sent.
func SplitCookies(headers []string) (out []string) {
	for _, h := range headers {
		for c := range strings.SplitSeq(h, ";") {
			if c = strings.TrimSpace(c); c != "" {
				out = append(out, c)
			}
		}
	}
	return out
}
