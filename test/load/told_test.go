package main

import (
	"net/http"
	"testing"

	"meridian/test/conduit"
)

// TestWhatAWorldWithFaultsMaySay: that it could not, and of a write that it does
// not know; nothing else.
func TestWhatAWorldWithFaultsMaySay(t *testing.T) {
	later := http.Header{"Retry-After": {"1"}}
	for _, c := range []struct {
		method string
		status int
		header http.Header
		want   bool
	}{
		{"GET", 503, later, true},
		{"GET", 503, nil, false},
		{"GET", 502, later, false},
		{"GET", 504, later, false},
		{"GET", 500, later, false},
		{"GET", 200, nil, false},
		{"POST", 503, later, true},
		{"POST", 503, nil, true},
		{"PUT", 502, nil, true},
		{"DELETE", 504, nil, true},
		{"POST", 500, later, false},
		{"POST", 409, nil, false},
	} {
		if got := told(c.method, &conduit.Answer{Status: c.status, Header: c.header}); got != c.want {
			t.Errorf("%s %d %v: %v", c.method, c.status, c.header, got)
		}
	}
}
