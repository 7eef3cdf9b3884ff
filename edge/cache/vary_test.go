package cache

import (
	"net/http"
	"strings"
	"testing"
)

// TestACodingThatVaryDoesNotNameIsForWhoAcceptsIt has an origin that encodes by what a
// viewer accepts, and does not say that it does.
func TestACodingThatVaryDoesNotNameIsForWhoAcceptsIt(t *testing.T) {
	in(t, func(r *rig) {
		always := false
		r.does(func(h http.Header) (*http.Response, error) {
			if always || strings.Contains(h.Get("Accept-Encoding"), "gzip") {
				return response(200, "zipped", "Cache-Control: max-age=60", "Content-Encoding: gzip"), nil
			}
			return response(200, "plain", "Cache-Control: max-age=60"), nil
		})
		r.want(r.do("GET /x", "Accept-Encoding: br,gzip"), 200, "zipped", Miss, 1)
		r.want(r.do("GET /x", "Accept-Encoding: gzip"), 200, "zipped", Hit, 1)
		r.want(r.do("GET /x", "Accept-Encoding: *"), 200, "zipped", Hit, 1)
		r.want(r.do("GET /x", "Accept-Encoding: identity"), 200, "plain", Miss, 2)
		r.want(r.do("GET /x", "Accept-Encoding: gzip"), 200, "plain", Hit, 2) // whoever asks may have it so
		always = true                                                         // an origin that asks nobody is asked once
		r.want(r.do("GET /y"), 200, "zipped", Miss, 3)
		r.want(r.do("GET /y"), 200, "zipped", Hit, 3)
		r.want(r.do("GET /y", "Accept-Encoding: gzip;q=0, br"), 200, "zipped", Hit, 3)
	})
}

func TestVary(t *testing.T) {
	for _, tt := range []struct {
		vary          string
		stored, asked http.Header
		language      string
		want          bool
	}{
		{"Foo", headers("Foo: 1"), headers("Foo: 1", "Bar: 2"), "", true},
		{"Foo", headers("Foo: 1"), headers("Foo: 2"), "", false},
		{"foo, bar", headers("Foo: 1"), headers("Foo: 1"), "", true},
		{"foo, bar", headers("Foo: 1"), headers("Foo: 1", "Bar: 1"), "", false},
		{"Foo", headers("Foo: 1, 2"), headers("Foo: 1", "Foo: 2"), "", true},
		{"Foo", headers("Foo: 1,2"), headers("Foo:  1 , 2 "), "", true},
		{"Foo", headers("Foo: 1,2"), headers("Foo: 2,1"), "", false},
		{"Foo", headers(`Foo: "a, b"`), headers(`Foo: "a,b"`), "", false},
		{"Accept-Language", headers("Accept-Language: en, de"), headers("Accept-Language: dE,EN"), "", true},
		{"Accept-Language", headers("Accept-Language: en, de"), headers("Accept-Language: fr;q=0.5, de;q=1.0"), "de", true},
		{"Accept-Language", headers("Accept-Language: en, de"), headers("Accept-Language: fr, de"), "de", false},
		{"Accept-Language", headers("Accept-Language: en, de"), headers("Accept-Language: fr, de;q=0.5"), "de", false},
		{"Accept-Language, Foo", headers("Accept-Language: en"), headers("Accept-Language: de", "Foo: 1"), "de", false},
	} {
		s := selectorOf(headers("Vary: "+tt.vary), tt.stored)
		if got := s.matches(tt.asked, tt.language); got != tt.want {
			t.Errorf("Vary: %s of %v, asked with %v: %v, want %v", tt.vary, tt.stored, tt.asked, got, tt.want)
		}
	}
}
