package cache

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A span is a range of bytes of a representation: from first up to, not with,
// end.
type span struct{ first, end int64 }

func (s span) size() int64 { return s.end - s.first }

// holds reports whether t lies within s.
func (s span) holds(t span) bool { return s.first <= t.first && t.end <= s.end }

// maxRanges bounds how many ranges of one request are looked at.
const maxRanges = 32

// maxParts bounds how many parts of one representation are sent at once.
const maxParts = 16

// parseRange reads a Range header that asks for one range of a representation
// of size bytes. ok is false if it is to be ignored: it is malformed, of another
// unit, or asks for several parts. none is true if it asks only for what is not
// there, which is answered by 416.
func parseRange(s string, size int64) (r span, ok, none bool) {
	got, ok, none := parseRanges(s, size)
	switch {
	case !ok || len(got) > 1:
		return r, false, false
	case none:
		return r, true, true
	}
	return got[0], true, false
}

// parseRanges reads a Range header (RFC 9110, section 14.2). What of several
// ranges touches is made one, as section 15.3.7.2 recommends.
//
// Who wants more than two that overlap, or more parts than maxParts, gets the
// whole, as section 14.2 allows: that is no way to read anything.
func parseRanges(s string, size int64) (got []span, ok, none bool) {
	unit, set, found := strings.Cut(s, "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Count(set, ",") > maxRanges {
		return nil, false, false
	}
	asked := 0
	for part := range strings.SplitSeq(set, ",") {
		if part = strings.Trim(part, " \t"); part == "" {
			continue
		}
		one, valid, there := parseSpan(part, size)
		if !valid {
			return nil, false, false
		}
		if asked++; there {
			got = append(got, one)
		}
	}
	if asked == 0 {
		return nil, false, false
	}
	got, overlaps := merged(got)
	return got, len(got) <= maxParts && overlaps <= 2, len(got) == 0
}

// merged makes one of ranges that touch, where the first of them stands, and
// counts those that overlap others.
func merged(in []span) (out []span, overlaps int) {
	for _, r := range in {
		for again := true; again; {
			again = false
			for i, o := range out {
				if r.first > o.end || o.first > r.end {
					continue
				}
				if r.first < o.end && o.first < r.end {
					overlaps++
				}
				r = span{min(r.first, o.first), max(r.end, o.end)}
				out, again = slices.Delete(out, i, i+1), true
				break
			}
		}
		out = append(out, r)
	}
	return out, overlaps
}

// parseSpan reads one range-spec. there is false if no byte of it exists.
func parseSpan(s string, size int64) (r span, valid, there bool) {
	from, to, ok := strings.Cut(s, "-")
	if !ok || from == "" && to == "" || !digits(from) || !digits(to) {
		return r, false, false
	}
	first, err1 := number(from)
	last, err2 := number(to)
	switch {
	case err1 != nil || err2 != nil:
		return r, false, false
	case from == "":
		return span{max(size-last, 0), size}, true, last > 0 && size > 0
	case to == "":
		last = size - 1
	case last < first:
		return r, false, false
	}
	return span{first, min(last, size-1) + 1}, true, first < size
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// number reads digits; "" is 0. What is too large for int64 is its largest value.
func number(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil && n == 1<<63-1 {
		return n - 1, nil
	}
	return n, err
}

// parseContentRange reads what a 206 has of a representation (RFC 9110, section
// 14.4). size is -1 if it is not known.
func parseContentRange(s string) (r span, size int64, ok bool) {
	rest, found := strings.CutPrefix(s, "bytes ")
	at, total, found2 := strings.Cut(rest, "/")
	from, to, found3 := strings.Cut(at, "-")
	if !found || !found2 || !found3 || from == "" || to == "" || total == "" || !digits(from) || !digits(to) || total != "*" && !digits(total) {
		return r, 0, false
	}
	first, _ := number(from)
	last, _ := number(to)
	size = -1
	if total != "*" {
		size, _ = number(total)
	}
	if last < first || last >= 1<<62 || size >= 0 && last >= size {
		return r, 0, false
	}
	return span{first, last + 1}, size, true
}

// contentRange writes what parseContentRange reads.
func contentRange(r span, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.first, r.end-1, size)
}

// rangeHolds reports whether a request's If-Range lets its Range count on a
// stored response (RFC 9110, section 13.1.5): compared strongly.
func rangeHolds(request, stored http.Header) bool {
	cond := request.Get("If-Range")
	switch {
	case cond == "":
		return true
	case strings.HasPrefix(cond, `"`) || strings.HasPrefix(cond, "W/"):
		return strong(cond) && cond == stored.Get("Etag")
	}
	at, ok := parseDate(cond)
	modified, ok2 := parseDate(stored.Get("Last-Modified"))
	date, ok3 := parseDate(stored.Get("Date"))
	// A date is strong only if the representation cannot have changed twice in
	// its second (section 8.8.2.2).
	return ok && ok2 && ok3 && at.Equal(modified) && date.Sub(modified).Seconds() >= 1
}
