package route_test

import (
	"net/url"
	"slices"
	"strings"

	"meridian/gateway/route"
)

// oracle returns the index of the route of a request, or -1: of all routes
// that match, the first in the order of the package comment.
func oracle(keys []route.Key, method, path string) int {
	best, rank := -1, []int(nil)
	for i, k := range keys {
		r, ok := rankOf(k, method, path)
		if ok && (best < 0 || slices.Compare(r, rank) < 0) {
			best, rank = i, r
		}
	}
	return best
}

// rankOf returns what orders the routes that match a request: full paths,
// greedy ones, $default; then the segments from the left; then the method.
func rankOf(k route.Key, method, path string) (rank []int, ok bool) {
	if k.Path == route.Default {
		return []int{2}, true
	}
	if k.Method != method && k.Method != route.Any || !strings.HasPrefix(path, "/") {
		return nil, false
	}
	want, have := strings.Split(k.Path[1:], "/"), strings.Split(path[1:], "/")
	rank = []int{0}
	for i, seg := range want {
		if strings.HasSuffix(seg, "+}") {
			rank[0] = 1
			rank = append(rank, 2)
			have = have[:min(len(have), i+1)]
			if strings.Join(strings.Split(path[1:], "/")[min(i, len(have)):], "/") == "" {
				return nil, false
			}
			break
		}
		if i >= len(have) {
			return nil, false
		}
		switch {
		case strings.HasPrefix(seg, "{") && have[i] != "":
			rank = append(rank, 1)
		case !strings.HasPrefix(seg, "{") && plain(seg) == plain(have[i]):
			rank = append(rank, 0)
		default:
			return nil, false
		}
	}
	return append(rank, b2i(k.Method != method)), len(have) == len(want)
}

func plain(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
