package cache

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// directives are what a Cache-Control field says (RFC 9111, section 5.2), or a
// targeted one (RFC 9213). Names are compared without case; unknown ones are
// ignored.
type directives struct {
	noStore, noCache, private, public               bool
	mustRevalidate, proxyRevalidate, mustUnderstand bool
	onlyIfCached                                    bool
	noCacheFields, privateFields                    []string // of the qualified forms, in canonical form
	maxAge, sMaxAge, whileRevalidate, ifError       delta
	maxStale, minFresh                              delta
}

// A delta is a directive's delta-seconds (RFC 9111, section 1.2.2).
type delta struct {
	set bool // the directive is there
	bad bool // with a value that is none; a response is then stale
	d   time.Duration
}

// maxDelta stands for all that is longer: 2^31 seconds.
const maxDelta = (1 << 31) * time.Second

// parseDelta reads delta-seconds.
func parseDelta(s string) delta {
	if s == "" {
		return delta{set: true, bad: true}
	}
	var n time.Duration
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return delta{set: true, bad: true}
		}
		if n = n*10 + time.Duration(s[i]-'0'); n > maxDelta/time.Second {
			n = maxDelta / time.Second
		}
	}
	return delta{set: true, d: n * time.Second}
}

// parseDirectives reads the lines of a Cache-Control field. Of a directive that
// stands there twice the first holds (RFC 9111, section 4.2.1).
func parseDirectives(lines []string) (d directives) {
	for _, line := range lines {
		for line != "" {
			var part string
			part, line = cutList(line)
			name, value, has := strings.Cut(part, "=")
			value, _ = unquote(value)
			d.add(strings.ToLower(name), value, has)
		}
	}
	return d
}

func (d *directives) add(name, value string, has bool) {
	switch name {
	case "no-store":
		d.noStore = true
	case "no-cache":
		d.noCacheFields = addFields(&d.noCache, d.noCacheFields, value, has)
	case "private":
		d.privateFields = addFields(&d.private, d.privateFields, value, has)
	case "public":
		d.public = true
	case "must-revalidate":
		d.mustRevalidate = true
	case "proxy-revalidate":
		d.proxyRevalidate = true
	case "must-understand":
		d.mustUnderstand = true
	case "only-if-cached":
		d.onlyIfCached = true
	case "max-stale":
		if !has {
			value = "2147483648" // any staleness
		}
		d.maxStale.first(value)
	default:
		if to := d.delta(name); to != nil {
			to.first(value)
		}
	}
}

func (d *directives) delta(name string) *delta {
	switch name {
	case "max-age":
		return &d.maxAge
	case "s-maxage":
		return &d.sMaxAge
	case "stale-while-revalidate":
		return &d.whileRevalidate
	case "stale-if-error":
		return &d.ifError
	case "min-fresh":
		return &d.minFresh
	}
	return nil
}

func (v *delta) first(value string) {
	if !v.set {
		*v = parseDelta(value)
	}
}

// addFields notes a directive that may name fields: without any it is meant of
// the whole response.
func addFields(whole *bool, fields []string, value string, has bool) []string {
	n := len(fields)
	for name := range strings.SplitSeq(value, ",") {
		if name = textproto.TrimString(name); name != "" {
			fields = append(fields, http.CanonicalHeaderKey(name))
		}
	}
	if !has || len(fields) == n {
		*whole = true
	}
	return fields
}

// cutList returns the first member of a comma-separated list, trimmed, and the
// rest. A comma in a quoted string separates nothing.
func cutList(s string) (part, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == ',' && !quoted:
			return textproto.TrimString(s[:i]), s[i+1:]
		}
	}
	return textproto.TrimString(s), ""
}

// unquote returns the content of a quoted string, or s as it is.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s, false
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// members yields the members of a list field, trimmed, without empty ones.
func members(lines []string, yield func(string) bool) {
	for _, line := range lines {
		for line != "" {
			var part string
			if part, line = cutList(line); part != "" && !yield(part) {
				return
			}
		}
	}
}
