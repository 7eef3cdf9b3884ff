package cache

import (
	"net/http"
	"strings"
	"time"
)

// The forms of an HTTP-date (RFC 9110, section 5.6.7): 0 stands for a digit, a
// for a letter, _ for either a digit or a space. The weekday of the second is a
// whole word, and is looked at apart.
const (
	formFixed   = "aaa, 00 aaa 0000 00:00:00 GMT"
	formRFC850  = ", 00-aaa-00 00:00:00 GMT"
	formAsctime = "aaa aaa _0 00:00:00 0000"
)

// parseDate reads an HTTP-date in any of its three forms. Case makes no
// difference, and what has a zone other than GMT is none (RFC 9111, section 4.2).
//
// time.Parse alone takes what no form allows: any number of spaces, hours of one
// digit, other zones. So an Expires would be of the future that RFC 9111, section
// 5.3, wants to be of the past.
func parseDate(s string) (time.Time, bool) {
	n := len(s)
	switch {
	case ofForm(s, formFixed):
		t, err := time.Parse(http.TimeFormat, s[:n-3]+"GMT")
		return t, err == nil
	case ofForm(s, formAsctime):
		t, err := time.Parse(time.ANSIC, s)
		return t, err == nil
	}
	word := strings.IndexByte(s, ',')
	if word < 0 || !ofForm(s[word:], formRFC850) {
		return time.Time{}, false
	}
	t, err := time.Parse("Monday, 02-Jan-06 15:04:05 GMT", s[:n-3]+"GMT")
	return inCentury(t, time.Now()), err == nil
}

// inCentury returns t, of whose year only the last two digits were given, in the
// century that is meant: none more than 50 years ahead (RFC 9110, section 5.6.7).
func inCentury(t, now time.Time) time.Time {
	t = t.AddDate(now.Year()/100*100-t.Year()/100*100, 0, 0)
	if t.After(now.AddDate(50, 0, 0)) {
		t = t.AddDate(-100, 0, 0)
	}
	return t
}

// ofForm reports whether s has exactly a date's form.
func ofForm(s, form string) bool {
	if len(s) != len(form) {
		return false
	}
	for i := range len(s) {
		digit, letter := s[i]-'0' < 10, s[i]|0x20-'a' < 26
		switch form[i] {
		case '0':
			if !digit {
				return false
			}
		case 'a':
			if !letter {
				return false
			}
		case '_':
			if !digit && s[i] != ' ' {
				return false
			}
		default:
			if s[i] != form[i] && !(letter && s[i]&^0x20 == form[i]) {
				return false
			}
		}
	}
	return true
}
