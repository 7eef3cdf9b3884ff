package admin

import (
	"net/http"

	"meridian"
)

// status turns a kind of failure into HTTP.
var status = map[meridian.Kind]int{
	meridian.Invalid:         http.StatusBadRequest,
	meridian.Unauthenticated: http.StatusUnauthorized,
	meridian.Forbidden:       http.StatusForbidden,
	meridian.NotFound:        http.StatusNotFound,
	meridian.Timeout:         http.StatusGatewayTimeout,
	meridian.Unavailable:     http.StatusServiceUnavailable,
}

func statusOf(err error) int {
	if code, ok := status[meridian.KindOf(err)]; ok {
		return code
	}
	return http.StatusInternalServerError
}
