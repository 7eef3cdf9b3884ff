package cache

import (
	"net/http"
	"testing"
)

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
