package edge

import (
	"fmt"
	"net/url"
	"slices"
)

// headerBehavior tells the shield by which behaviour the first edge went, which the
// request alone does not show: a function may have given it another path since. Its
// value is the behaviour's pattern, percent-encoded as a query component is (RFC
// 3986, section 3.4). It stands beside headerVersion, which says of which rules the
// behaviour is. It travels between edges alone, whose link says that an edge wrote
// it: from a client it is dropped, and a region is never sent it.
const headerBehavior = "Meridian-Behavior"

// applied writes the header's value.
func applied(b *Behavior) string { return url.QueryEscape(b.Path) }

// MatchApplied returns the behaviour that the first edge chose, as the shield has
// it. Where it has none of that pattern, or was told none, the path decides: the
// request is then no worse off than one that came to the shield itself.
func MatchApplied(bs []Behavior, told, path string) Match {
	pattern, err := url.QueryUnescape(told)
	if err != nil || pattern == "" || len(pattern) > 255 {
		return MatchPath(bs, path)
	}
	if i := slices.IndexFunc(bs, func(b Behavior) bool { return b.Path == pattern }); i >= 0 {
		return Match{&bs[i], pattern + " is what the first edge went by"}
	}
	m := MatchPath(bs, path)
	switch {
	case pattern != everything.Path:
		m.Why = fmt.Sprintf("%s, which the first edge went by, is none here; %s", pattern, m.Why)
	case len(bs) > 0:
		m = Match{&everything, "no pattern matched at the first edge"}
	}
	return m
}
