package config

import (
	"fmt"
	"strconv"
	"strings"
)

// A Size is a number of bytes: 128MiB, 10MB, 512.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// ParseSize reads a size in bytes, with a decimal or a binary unit.
func ParseSize(s string) (Size, error) {
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if err != nil || n < 0 || n > (1<<62)/u.bytes {
				break
			}
			return Size(n * u.bytes), nil
		}
	}
	return 0, fmt.Errorf("%q is no size", s)
}

// String writes a size as ParseSize reads it, in the largest unit that is exact.
func (s Size) String() string {
	for _, u := range []int{2, 1, 0, 5, 4, 3} {
		if unit := sizeUnits[u]; s > 0 && int64(s)%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/unit.bytes, unit.suffix)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
