package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// A logKey is the name of an object of the log.
type logKey struct {
	File    string // 24 hexadecimal digits, or 8 and .history
	Hash    string // of the content; "" of a partial one
	Partial bool
}

var logName = regexp.MustCompile(`^([0-9A-F]{24}|[0-9A-F]{8}\.history)\.(partial|[0-9a-f]{16})\.zst$`)

func parseLogKey(base string) (logKey, bool) {
	m := logName.FindStringSubmatch(base)
	if m == nil {
		return logKey{}, false
	}
	if m[2] == "partial" {
		return logKey{File: m[1], Partial: true}, len(m[1]) == 24
	}
	return logKey{File: m[1], Hash: m[2]}, true
}

func (k logKey) String() string {
	if k.Partial {
		return k.File + ".partial.zst"
	}
	return k.File + "." + k.Hash + ".zst"
}

// hashOf names a content: 64 bits are plenty against accidents.
func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

func logPrefix(system uint64) string  { return fmt.Sprintf("%d/wal/", system) }
func basePrefix(system uint64) string { return fmt.Sprintf("%d/base/", system) }

// logKeys picks the objects of the log out of a listing.
func logKeys(objects []Object) (out []logKey) {
	for _, o := range objects {
		if k, ok := parseLogKey(o.Key[strings.LastIndex(o.Key, "/")+1:]); ok {
			out = append(out, k)
		}
	}
	return out
}
