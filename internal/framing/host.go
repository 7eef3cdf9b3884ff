package framing

import (
	"net/netip"
	"strconv"
	"strings"
)

// ValidHost reports whether s is the authority of a URI of http or https
// (RFC 9110, section 4.2), in the form that every program reads alike: a name in
// the DNS's letters, or an address in brackets, and maybe a port. What RFC 3986,
// section 3.2.2, has beside that names no host: a user, %-escapes, and the marks
// between which some programs cut.
func ValidHost(s string) bool {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		address, port, ok := strings.Cut(rest, "]")
		a, err := netip.ParseAddr(address)
		return ok && err == nil && a.Is6() && a.Zone() == "" && (port == "" || port[0] == ':' && validPort(port[1:]))
	}
	name, port, ok := strings.Cut(s, ":")
	return validName(name) && (!ok || validPort(port))
}

// validName reports whether s is labels with dots between, and maybe one after.
// A label has letters, digits, hyphens and underscores.
func validName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		for _, c := range []byte(label) {
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
		if label == "" {
			return false
		}
	}
	return true
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '+'
}

// ValidMethod reports whether s is a method that every program reads alike: a
// token (RFC 9110, section 9.1) without small letters. Methods differ by case,
// and to some programs they do not: those would take head for HEAD, whose
// response has no body.
func ValidMethod(s string) bool {
	return isToken([]byte(s)) && strings.ToUpper(s) == s
}

// wellAddressed judges a target by its form (RFC 9112, section 3.2). An authority
// alone is for the handler to refuse, with the method CONNECT.
func wellAddressed(method, target string) (why string) {
	switch {
	case strings.Contains(target, "#"):
		return "a target with a fragment"
	case method == "CONNECT", target[0] == '/', target == "*" && method == "OPTIONS":
		return ""
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return "a target that is neither a path nor a URI of HTTP"
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	if !ValidHost(rest) {
		return "a target whose host is not one name"
	}
	return ""
}
