package purge

import (
	"fmt"
	"strings"

	"meridian"
	"meridian/edge/cache"
)

// Limits of one purge, as CloudFront's.
const (
	maxPath = 8192 // bytes
	maxTag  = 256
	maxHost = 255
)

// Parse reads what an operator wrote of one purge: /a/path with all its queries
// and variants, /a/prefix*, or #tag.
func Parse(item string) (cache.Purge, error) {
	switch {
	case strings.HasPrefix(item, "/"):
		return parsePath(item)
	case strings.HasPrefix(item, "#"):
		return parseTag(item)
	}
	return cache.Purge{}, refuse(item, "a path such as /articles/1, a prefix such as /articles/*, or a tag such as #news")
}

func parsePath(item string) (cache.Purge, error) {
	path, prefix := strings.CutSuffix(item, "*")
	switch {
	case len(item) > maxPath:
		return cache.Purge{}, refuse(item, fmt.Sprintf("a path of at most %d bytes", maxPath))
	case strings.Contains(path, "*"):
		return cache.Purge{}, refuse(item, "one *, at the end: a path is compared from its start")
	case strings.Contains(path, "?"):
		return cache.Purge{}, refuse(item, "a path without a query: all its queries are purged with it")
	case strings.Contains(path, "#"):
		return cache.Purge{}, refuse(item, "a path, or a tag by itself: a request has no fragment")
	case !visible(path):
		return cache.Purge{}, refuse(item, "the path as it is sent: spaces and what is not ASCII are percent-encoded")
	case prefix:
		return cache.Purge{Prefix: path}, nil
	}
	return cache.Purge{Path: path}, nil
}

func parseTag(item string) (cache.Purge, error) {
	tag := strings.ToLower(item[1:])
	switch {
	case tag == "" || len(tag) > maxTag:
		return cache.Purge{}, refuse(item, fmt.Sprintf("# and a tag of 1 to %d characters", maxTag))
	case !visible(tag) || strings.ContainsAny(tag, ","):
		return cache.Purge{}, refuse(item, "one tag, without spaces or commas")
	case strings.Contains(tag, "*"):
		return cache.Purge{}, refuse(item, "a whole tag: tags have no wildcard")
	}
	return cache.Purge{Tag: tag}, nil
}

// checkHost returns a host as requests are compared with it.
func checkHost(host string) (string, error) {
	if len(host) > maxHost || !visible(host) || strings.ContainsAny(host, "/?#*@") {
		return "", meridian.WithKind(meridian.Invalid, fmt.Errorf("purge: host %q: expected a hostname such as api.example.test", clip(host)))
	}
	return strings.ToLower(host), nil
}

// visible reports whether a text has visible ASCII alone.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func refuse(item, expected string) error {
	return meridian.WithKind(meridian.Invalid, fmt.Errorf("purge %q: expected %s", clip(item), expected))
}

// clip keeps an answer about a long text short.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
