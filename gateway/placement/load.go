package placement

import (
	"math"
	"strconv"
	"time"
)

// fade returns what is left of a load that was told so long ago.
func fade(load float64, age time.Duration) float64 {
	if load <= 0 || age <= 0 {
		return max(load, 0)
	}
	return load * math.Exp2(-float64(age)/float64(halfLife))
}

// FormatLoad writes a load for a header.
func FormatLoad(load float64) string { return strconv.FormatFloat(load, 'f', 2, 64) }

// ParseLoad reads what FormatLoad writes. It reports false for anything that
// is no load.
func ParseLoad(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f >= 0 && f <= 1e6
}
