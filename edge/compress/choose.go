package compress

import (
	"fmt"
	"strconv"
	"strings"
)

// A Coding is a content coding (RFC 9110, section 8.4.1). "" is none.
type Coding string

// The codings.
const (
	Brotli Coding = "br"
	Zstd   Coding = "zstd"
	Gzip   Coding = "gzip"
)

// Kept is the order in which codings are preferred for a body that is encoded
// once and sent often: the smallest first. Passing is that for one that is
// encoded for one viewer: what costs least for what it saves. On 20 kB of JSON
// br takes 320 us, gzip 73 us and zstd 82 us, for 5.6, 6.8 and 5.9 % of the size.
func Kept() []Coding    { return []Coding{Brotli, Zstd, Gzip} }
func Passing() []Coding { return []Coding{Zstd, Gzip, Brotli} }

// Choose returns the coding that a viewer wants most of those in order, and of
// several that it wants alike the first; or "", and why none.
func Choose(accept []string, order []Coding) (c Coding, why string) {
	if len(accept) == 0 {
		return "", "the viewer does not say what it accepts"
	}
	best := 0
	for _, o := range order {
		if q := weightOf(accept, string(o)); q > best {
			c, best = o, q
		}
	}
	plain := weightOf(accept, "identity")
	switch {
	case c == "":
		return "", "the viewer accepts none of ours"
	case plain > best:
		return "", "the viewer wants it plain"
	}
	return c, fmt.Sprintf("the viewer accepts %s", c)
}

// weightOf returns what Accept-Encoding says of a coding (RFC 9110, section
// 12.5.3), in thousandths: by its name, or else by *. Identity that is not
// named is acceptable, and wanted least. A weight that is none counts as zero.
func weightOf(lines []string, coding string) int {
	named, any := -1, -1
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			name, param, _ := strings.Cut(member, ";")
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, coding), strings.EqualFold(name, "x-"+coding):
				named = max(named, weight(param))
			case name == "*":
				any = max(any, weight(param))
			}
		}
	}
	switch {
	case named >= 0:
		return named
	case coding == "identity":
		return 0
	}
	return max(any, 0)
}

// weight reads q=0.5 (RFC 9110, section 12.4.2).
func weight(param string) int {
	if param = strings.TrimSpace(param); param == "" {
		return 1000
	}
	name, value, _ := strings.Cut(param, "=")
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !strings.EqualFold(strings.TrimSpace(name), "q") || err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return int(q * 1000)
}
