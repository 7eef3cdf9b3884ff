package cache

import (
	"net/http"
	"testing"
	"time"
)

func TestADateIsReadInItsThreeFormsAndNoOther(t *testing.T) {
	want := time.Date(2050, 8, 8, 2, 1, 18, 0, time.UTC)
	for s, ok := range map[string]bool{
		"Mon, 08 Aug 2050 02:01:18 GMT":    true,
		"Thu, 08 Aug 2050 02:01:18 GMT":    true, // the weekday says nothing
		"MON, 08 AUG 2050 02:01:18 gMT":    true,
		"Monday, 08-Aug-50 02:01:18 GMT":   true,
		"monday, 08-aug-50 02:01:18 gmt":   true,
		"Mon Aug  8 02:01:18 2050":         true,
		"mon aug 08 02:01:18 2050":         true,
		"Mon, 08 Aug 2050 02:01:18 UTC":    false,
		"Mon, 08 Aug 2050 02:01:18 CET":    false,
		"Mon, 08 Aug 2050 02:01:18 AEST":   false,
		"Mon, 08 Aug 2050 02:01:18 +0000":  false,
		"Mon, 08 Aug 2050 02:01:18":        false,
		"Mon, 08 Aug 2050 2:01:18 GMT":     false,
		"Mon, 08  Aug 2050 2:01:18 GMT":    false, // as long as one that is
		"Mon, 08  Aug  2050 02:01:18 GMT":  false,
		"Mon,  8 Aug 2050 02:01:18 GMT":    false,
		"Mon, 8 Aug 2050 02:01:18 GMT":     false,
		"Mon, 08 Aug 50 02:01:18 GMT":      false,
		"Mon 08 Aug 2050 02:01:18 GMT":     false,
		"Mon, 08-Aug-2050 02:01:18 GMT":    false,
		"Mon, 08 Aug 2050 02.01.18 GMT":    false,
		"Mon, 08 Aug 2050 25:01:18 GMT":    false,
		"Mon, 31 Jun 2050 02:01:18 GMT":    false,
		"Mon, 08 Foo 2050 02:01:18 GMT":    false,
		"Foo, 08 Aug 2050 02:01:18 GMT":    false,
		" Mon, 08 Aug 2050 02:01:18 GMT":   false,
		"Mon, 08-Aug-50 02:01:18 GMT":      false, // the short weekday with the form of the long one
		"Monday, 08-Aug-50 02:01:18 UTC":   false,
		"Monday, 08-Aug-2050 02:01:18 GMT": false,
		"Monday,  8-Aug-50 02:01:18 GMT":   false,
		"Mon Aug 8 02:01:18 2050":          false,
		"Mon Aug  8 2:01:18 2050":          false,
		"Mon Aug  8 02:01:18 50":           false,
		"0":                                false,
		"":                                 false,
		",":                                false,
	} {
		if got, is := parseDate(s); is != ok || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", s, got, is, ok)
		}
	}
}

func TestTwoDigitsOfAYearAreNeverMoreThanFiftyYearsAhead(t *testing.T) {
	for _, tt := range []struct{ date, now, want string }{
		{"Monday, 01-Jan-26", "2026-11-27", "2026"},
		{"Monday, 01-Jan-99", "2026-11-27", "1999"},
		{"Monday, 01-Jan-69", "2026-11-27", "2069"}, // time.Parse takes it for 1969
		{"Monday, 26-Nov-76", "2026-11-27", "2076"},
		{"Monday, 28-Nov-76", "2026-11-27", "1976"},
		{"Monday, 01-Jan-00", "2101-01-01", "2100"},
	} {
		d, err := time.Parse("Monday, 02-Jan-06", tt.date)
		now, err2 := time.Parse(time.DateOnly, tt.now)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if got := inCentury(d, now).Format("2006"); got != tt.want {
			t.Errorf("%s in %s: %s, want %s", tt.date, tt.now, got, tt.want)
		}
	}
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Mon, 08 Aug 2050 02:01:18 GMT", "Monday, 08-Aug-50 02:01:18 GMT", "Mon Aug  8 02:01:18 2050", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate(s)
		if !ok {
			return
		}
		if again, ok := parseDate(got.Format(http.TimeFormat)); !ok || !again.Equal(got) {
			t.Errorf("%q is %v, and that, written again, %v, %v", s, got, again, ok)
		}
	})
}
