package config

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// unknown fails on a key that nothing reads, and says which was meant.
func (d *decoder) unknown(k *yaml.Node, path string, fs []field) {
	var keys []string
	for _, f := range fs {
		keys = append(keys, f.key)
	}
	want := strings.Join(keys, ", ")
	if len(keys) > 1 {
		want = "one of " + want
	}
	if near := nearest(k.Value, keys); near != "" {
		want = near + ", perhaps"
	}
	d.fail(at(k, path), "unknown key", want)
}

// nearest returns the key that s was probably meant to be, or "".
func nearest(s string, keys []string) string {
	best, most := "", 3
	for _, k := range keys {
		if n := distance(strings.ToLower(s), strings.ToLower(k)); n < most && n < len(k) {
			best, most = k, n
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
