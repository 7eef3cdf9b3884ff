package cache

import (
	"net/http"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Bounds of the tags of one response: CloudFront's.
const (
	maxTags   = 50
	maxTagLen = 256
)

// tagsOf returns by what names a response can be purged beside its path, in
// lower case: Cache-Tag (by commas), Surrogate-Key (by spaces), and Cache-Groups
// (RFC 9875, section 2).
func tagsOf(h http.Header) (tags []string) {
	add := func(tag string) bool {
		if tag = strings.ToLower(strings.TrimSpace(tag)); tag != "" && len(tag) <= maxTagLen && len(tags) < maxTags {
			tags = append(tags, tag)
		}
		return len(tags) < maxTags
	}
	for _, line := range h["Cache-Tag"] {
		for tag := range strings.SplitSeq(line, ",") {
			add(tag)
		}
	}
	for _, line := range h["Surrogate-Key"] {
		for tag := range strings.FieldsSeq(line) {
			add(tag)
		}
	}
	for _, group := range groups(h["Cache-Groups"]) {
		add(group)
	}
	return tags
}

// groups reads a list of strings; one that is malformed says nothing.
func groups(lines []string) (out []string) {
	if len(lines) == 0 {
		return nil
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil
	}
	for _, m := range list {
		if item, ok := m.(httpsfv.Item); ok {
			if s, ok := item.Value.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// concerns reports whether a purge is of an object.
func (p Purge) concerns(o *object) bool {
	if p.Host != "" && !strings.EqualFold(p.Host, o.host) {
		return false
	}
	switch {
	case p.Everything:
		return true
	case p.Path != "":
		return p.Path == o.path
	case p.Prefix != "":
		return strings.HasPrefix(o.path, p.Prefix)
	case p.Tag != "":
		for _, t := range o.tags {
			if strings.EqualFold(t, p.Tag) {
				return true
			}
		}
	}
	return false
}

// aims reports whether a purge may be of what a request for that target gets,
// before anything of the answer is known.
func (p Purge) aims(host, path string) bool {
	if p.Host != "" && !strings.EqualFold(p.Host, host) {
		return false
	}
	return p.Everything || p.Path != "" && p.Path == path || p.Path == "" && p.Prefix != "" && strings.HasPrefix(path, p.Prefix) || p.Tag != ""
}
